import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from image_assets import cli
from image_assets_tests.libraries import FILES, listing
from image_assets_tests.photographs import save_photograph
from image_assets_tests.processes import (
    IMPORTS_SHOWN,
    SLOW,
    SLOW_SIZE,
    UNWANTED_IN_WORKERS,
    assert_lean,
    command,
    environment,
    is_gone,
    obey_file_modes,
    run_command,
    settings_arguments,
    started,
    wait_until,
    worker_writing,
    workers_of,
)

# Photographs of half a second each, in chunks of two: a run that can be met half-way.
UNHURRIED = settings_arguments(
    {"avif_speed": 0, "webp_method": 6, "chunk_size": 2, "full_avif_quality": 90}
)
UNHURRIED_IMAGES = 12


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with three small photographs."""
    folder = tmp_path / "source"
    for seed in range(3):
        save_photograph(folder / f"{seed}.jpg", (120, 80), seed=seed)
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def _renditions(output: Path) -> dict[str, bytes]:
    """What a web server would see; the day of the run is left out."""
    root = output / "renditions"
    return {
        "/".join(path.relative_to(root).parts[1:]): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


# -- a run and its summary ------------------------------------------------------------------------


def test_compress_writes_renditions_a_summary_and_json(
    source: Path, output: Path, tmp_path: Path
) -> None:
    (source / "bad.jpg").write_bytes(b"<html>")
    report = tmp_path / "report.json"

    done = run_command("compress", source, output, "--json", report, "--preset", "throughput")

    assert done.returncode == 0, done.stderr
    renditions = _renditions(output)
    assert set(renditions) == {f"{seed}.jpg/{name}" for seed in range(3) for name in FILES}
    summary = json.loads(report.read_text())
    assert {name: summary[name] for name in ("images", "written", "skipped")} == {
        "images": 4,
        "written": 18,
        "skipped": 0,
    }
    assert (summary["rejected"], summary["failed"], summary["preset"]) == (1, 0, "throughput")
    assert summary["output_bytes"] == sum(map(len, renditions.values()))
    assert summary["source_bytes"] == sum(p.stat().st_size for p in source.glob("[0-9].jpg"))
    for name in ("elapsed_s", "images_per_s", "peak_memory_bytes", "cpu_s"):
        assert summary[name] > 0, name
    pairs = {(row["format"], row["variant"]) for row in summary["by_format_variant"]}
    assert {(f, v) for f in ("avif", "webp", "jpeg") for v in ("full", "thumbnail")} < pairs
    assert ("all", "all") in pairs
    assert "18 renditions written, 0 skipped, 1 images rejected, 0 failed." in done.stdout
    assert "rejected bad.jpg: not_an_image: The file is an HTML page" in done.stdout
    assert str(output / "renditions") in done.stdout
    assert re.search(r"avif +full +3 +3 +0", done.stdout)


@pytest.mark.parametrize("target", [".", "nowhere/report.json"])
def test_a_summary_that_could_not_be_written_is_refused_before_the_run(
    source: Path, output: Path, tmp_path: Path, target: str
) -> None:
    done = run_command("compress", source, output, "--json", tmp_path / target)
    assert done.returncode == 2
    assert "Expected a file in a folder that can be written" in done.stderr
    assert not output.exists()


def test_a_second_run_says_that_nothing_needed_doing(source: Path, output: Path) -> None:
    run_command("compress", source, output)
    before = listing(output / "renditions")

    done = run_command("compress", source, output)

    assert done.returncode == 0
    assert "nothing needed doing; all 18 renditions of 3 images are current." in done.stdout
    assert listing(output / "renditions") == before


def test_settings_on_the_command_line_win_over_the_preset(source: Path, output: Path) -> None:
    done = run_command(
        "compress", source, output, "--set", "full_px=60", "--set", "thumbnail_px=20"
    )

    assert done.returncode == 0, done.stderr
    for name, sides in (("full", (60, 40)), ("thumbnail", (20, 13))):
        for path in output.rglob(f"{name}.*"):
            with Image.open(path) as image:
                assert image.size == sides


def test_a_day_is_compressed_by_its_name(tmp_path: Path, output: Path) -> None:
    for day in ("2015-06-01", "2015-06-02"):
        save_photograph(tmp_path / "source" / day / "a.jpg", (48, 32))

    done = run_command("compress", tmp_path / "source", output, "--partition", "2015-06-02")

    assert done.returncode == 0, done.stderr
    assert [path.name for path in (output / "renditions").iterdir()] == ["2015-06-02"]


def test_a_file_of_variants_is_named_by_the_environment(
    source: Path, output: Path, tmp_path: Path
) -> None:
    file = tmp_path / "own.toml"
    file.write_text('formats = ["webp"]\n[variants.hero]\npx = 50\n')

    done = run_command("compress", source, output, extra={"IMAGE_ASSETS_SETTINGS": str(file)})

    assert done.returncode == 0, done.stderr
    assert set(_renditions(output)) == {f"{seed}.jpg/hero.webp" for seed in range(3)}


def test_an_empty_source_is_done_at_once(tmp_path: Path, output: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = run_command("compress", tmp_path / "empty", output)

    assert done.returncode == 0
    assert "no images found; nothing to do." in done.stdout


def test_the_version_and_the_list_of_settings_are_printed(source: Path, output: Path) -> None:
    version = run_command("--version")
    assert version.stdout.startswith("image-assets 0.")
    listed = run_command("compress", source, output, "--set", "help")
    assert listed.returncode == 0
    assert "full_avif_quality" in listed.stdout
    assert "memory_budget_bytes" in listed.stdout
    assert not output.exists()


def test_doctor_looks_at_everything_and_ends_well() -> None:
    done = run_command("doctor")

    assert done.returncode == 0, done.stdout
    for name in ("python", "pillow", "avif", "webp", "jpeg", "cores", "memory", "disk"):
        assert re.search(rf"^(ok|warning) +{name} ", done.stdout, re.MULTILINE), name
    assert "PROBLEM" not in done.stdout


# -- wrong usage and runs that cannot be completed ------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["S", "O", "--preset", "fastest"], "a preset of balanced.*received 'fastest'"),
        (["S", "O", "--set", "full_avif_quality=140"], "between 1 and 100, received 140"),
        (["S", "O", "--set", "full_px=0"], "full_px between 1 and 16383, received 0"),
        (["S", "O", "--set", "full_px=large"], "a whole number, received 'large'"),
        (["S", "O", "--set", "full_px=1", "--set", "full_px=2"], "each key once"),
        (["S", "O", "--set", "sharpness=3"], "a setting that .*received 'sharpness'"),
        (["S", "O", "--set", "animation=keep"], "alike are thumbnail_animation, full_animation"),
        (["S", "O", "--set", "ful_px=3"], "override; alike are full_px"),
        (["S", "O", "--set", "full_px"], "key=value, received 'full_px'"),
        (["S", "O", "--set", "background=red"], "a colour as #rrggbb, received 'red'"),
        (["missing", "O"], "an existing source folder, received .*missing"),
        (["S/0.jpg", "O"], "an existing source folder"),
        (["S", "S/output"], "an output folder outside the source"),
        (["S", "S"], "an output folder outside the source"),
        (["S/inner", "S"], "a source folder outside the output"),
        (["S", "S/0.jpg/output"], "outside the source"),
        (["S", "file"], "an output folder, received .*a file"),
        (["S", "file/output"], "an output folder that can be written"),
        (["S", "O", "--json", "missing/report.json"], "a file in a folder that can be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_setting_ends_with_status_2_and_one_sentence_before_anything_is_written(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    (source / "inner").mkdir()
    (tmp_path / "file").write_text("a file")
    monkeypatch.chdir(tmp_path)
    places = {"S": "source", "O": "output"}
    words = [re.sub(r"^[SO](?=/|$)", lambda m: places[m.group()], word) for word in arguments]
    before = listing(tmp_path)

    done = run_command("compress", *words)

    assert done.returncode == 2
    assert re.match(rf"image-assets: Expected .*{sentence}", done.stderr), done.stderr
    assert done.stderr.count("\n") == 1, "one line"
    assert done.stdout == ""
    assert listing(tmp_path) == before


def test_an_output_that_this_user_cannot_write_is_a_wrong_setting(
    source: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    before = listing(tmp_path)

    done = run_command("compress", source, locked / "output", preexec_fn=obey_file_modes)

    assert done.returncode == 2
    assert "an output folder that can be written" in done.stderr
    assert "Permission denied" in done.stderr
    assert done.stderr.count("\n") == 1
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "words", [[], ["compress"], ["compress", "source"], ["shrink", "a", "b"], ["compress", "--x"]]
)
def test_wrong_usage_ends_with_status_2_and_says_how_to_use_it(words: list[str]) -> None:
    done = run_command(*words)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: image-assets")
    assert "Traceback" not in done.stderr


def test_a_day_that_is_not_there_is_a_wrong_setting(tmp_path: Path, output: Path) -> None:
    save_photograph(tmp_path / "source/2015-06-01/a.jpg", (48, 32))

    done = run_command("compress", tmp_path / "source", output, "--partition", "2015-06-09")

    assert done.returncode == 2
    assert "a partition of 2015-06-01" in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path for path in output.rglob("*") if path.is_file()] == []


def test_an_unreadable_source_is_listed_and_tried_again(source: Path, output: Path) -> None:
    (source / "1.jpg").chmod(0)

    done = run_command("compress", source, output, preexec_fn=obey_file_modes)
    assert done.returncode == 0, done.stderr
    assert "failed 1.jpg: unreadable: The file cannot be read: Permission denied" in done.stdout
    assert set(_renditions(output)) == {f"{k}.jpg/{name}" for k in (0, 2) for name in FILES}

    (source / "1.jpg").chmod(0o644)
    done = run_command("compress", source, output, preexec_fn=obey_file_modes)
    assert "6 renditions written, 12 skipped, 0 images rejected, 0 failed." in done.stdout


def test_a_source_that_cannot_be_written_need_not_be(source: Path, output: Path) -> None:
    inner = source / "inner"
    save_photograph(inner / "a.jpg", (48, 32))
    for path in (*source.rglob("*.jpg"), inner, source):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = listing(source)
    try:
        done = run_command("compress", source, output, preexec_fn=obey_file_modes)
        assert done.returncode == 0, done.stderr
        assert "24 renditions written" in done.stdout
        assert listing(source) == before
    finally:
        for path in (source, inner):
            path.chmod(0o755)


def test_an_output_that_breaks_during_the_run_is_status_1_and_one_sentence(
    source: Path, output: Path
) -> None:
    run_command("compress", source, output, "--set", "full_px=50")
    [day] = (output / "renditions").iterdir()
    locked = day / "1.jpg"
    locked.chmod(0o555)
    try:
        done = run_command("compress", source, output, preexec_fn=obey_file_modes)
    finally:
        locked.chmod(0o755)

    assert done.returncode == 1
    assert done.stderr.startswith("image-assets: Expected to be able to write")
    assert "1.jpg" in done.stderr
    assert done.stderr.count("\n") == 1
    assert run_command("compress", source, output).returncode == 0


# -- what is imported -----------------------------------------------------------------------------


def test_neither_dagster_nor_pandas_is_imported_in_a_whole_run(source: Path, output: Path) -> None:
    program = (
        "import sys; from image_assets.cli import main; "
        "status = main(sys.argv[1:]); print('modules', *sys.modules); sys.exit(status)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, "compress", source, output],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    modules = done.stdout.splitlines()[-1].split()
    assert modules[0] == "modules"
    assert "image_assets.engine.run.partition" in modules
    assert {name.partition(".")[0] for name in modules} & {"dagster", "pandas"} == set()


def test_the_command_starts_without_loading_the_engines_tables() -> None:
    program = "import sys; import image_assets.cli; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    roots = {name.partition(".")[0] for name in done.stdout.split()}
    assert roots & (UNWANTED_IN_WORKERS | {"PIL", "rich", "numpy"}) == set()


@pytest.fixture
def slow_source(source: Path) -> Path:
    """A folder with a photograph that keeps a worker busy for long under `SLOW`."""
    save_photograph(source / "slow.jpg", SLOW_SIZE)
    return source


def _slow_part(output: Path) -> Path | None:
    """The file that the slow photograph is being written to."""
    return next(iter(output.glob("renditions/*/slow.jpg/.full.avif.tmp")), None)


def _console_script(folder: Path) -> list[str]:
    """The command as pip installs it: a script that imports the entry point at its top."""
    script = folder / "image-assets"
    script.write_text(
        f"#!{sys.executable}\n"
        "import re\nimport sys\nimport pandas\nimport pyarrow\n"
        "from image_assets.cli import main\n"
        'if __name__ == "__main__":\n'
        '    sys.argv[0] = re.sub(r"(-script\\.pyw|\\.exe)?$", "", sys.argv[0])\n'
        "    sys.exit(main())\n"
    )
    return [sys.executable, os.fspath(script)]


@pytest.mark.parametrize("way", ["python -m image_assets", "image-assets", "from Python"])
def test_a_live_worker_is_lean_however_the_run_was_started(
    slow_source: Path, output: Path, tmp_path: Path, way: str
) -> None:
    words = ["compress", str(slow_source), str(output), *settings_arguments(SLOW)]
    program = (
        "import dagster, pandas; from image_assets import compress_folder; "
        f"compress_folder({str(slow_source)!r}, {str(output)!r}, overrides={SLOW!r})"
    )
    start = {
        "python -m image_assets": command(*words),
        "image-assets": [*_console_script(tmp_path), *words],
        "from Python": [sys.executable, "-W", "ignore", "-c", program],
    }[way]
    with started(start, IMPORTS_SHOWN) as process:
        wait_until(lambda: _slow_part(output) or process.poll() is not None, "an image in work")
        part = _slow_part(output)
        assert part is not None, "the run did not end before"
        worker = worker_writing(part, process.pid)
        assert worker is not None
        assert_lean(worker)


# -- ending early ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unhurried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A source for runs that are disturbed, and the renditions of one that was not."""
    folder = tmp_path_factory.mktemp("unhurried")
    for seed in range(UNHURRIED_IMAGES):
        save_photograph(folder / f"source/{seed:02d}.jpg", (560, 400), seed=seed)
    done = run_command("compress", folder / "source", folder / "output", *UNHURRIED)
    assert done.returncode == 0, done.stderr
    return folder / "source", _renditions(folder / "output")


def _interrupt_group(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: workers get it too


def _terminate(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()


@pytest.mark.parametrize(
    ("end", "status"),
    [(_interrupt_group, 130), (_terminate, 130), (_kill, -signal.SIGKILL)],
)
def test_a_run_that_is_ended_early_leaves_whole_files_and_the_next_completes_it(
    unhurried: tuple[Path, dict[str, bytes]],
    output: Path,
    tmp_path: Path,
    end: Callable[["subprocess.Popen[bytes]"], None],
    status: int,
) -> None:
    source, undisturbed = unhurried
    errors = tmp_path / "errors.txt"
    with started(command("compress", source, output, *UNHURRIED), errors=errors) as process:
        parts = output / "tables" / "ledger"
        wait_until(
            lambda: list(parts.glob("*/part-*.parquet")) or process.poll() is not None,
            "a chunk is finished",
        )
        workers = workers_of(process.pid)
        began = time.monotonic()
        end(process)
        process.wait(30)
        elapsed_s = time.monotonic() - began
        assert process.returncode == status
        assert elapsed_s < 5
        assert workers
        wait_until(lambda: all(map(is_gone, workers)), "no worker is left", 5)
    if status == 130:
        assert "image-assets: stopped." in errors.read_text()  # a slow machine has told progress
        assert errors.read_text().count("\n") == 1
    early = _renditions(output)
    assert 0 < len(early) < len(undisturbed), "it was met half-way"
    for name, content in early.items():
        assert content == undisturbed[name], f"{name} is whole"

    report = tmp_path / "report.json"
    again = run_command("compress", source, output, *UNHURRIED, "--json", report)

    assert again.returncode == 0, again.stderr
    summary = json.loads(report.read_text())
    assert summary["skipped"] >= 2 * 6, "the finished chunk is not done again"
    assert summary["written"] + summary["skipped"] == len(undisturbed)
    assert _renditions(output) == undisturbed
    hidden = [path for path in (output / "renditions").rglob(".*") if path.is_file()]
    assert hidden == [], "what was left half-written was taken over"


def test_a_stopped_worker_does_not_hold_up_ctrl_c(slow_source: Path, output: Path) -> None:
    words = command("compress", slow_source, output, *settings_arguments(SLOW))
    with started(words) as process:
        wait_until(lambda: _slow_part(output), "the slow photograph is in work")
        workers = workers_of(process.pid)
        for worker in workers:
            worker.suspend()
        began = time.monotonic()
        _interrupt_group(process)
        process.wait(30)
        assert process.returncode == 130
        assert time.monotonic() - began < 5
        wait_until(lambda: all(map(is_gone, workers)), "no worker is left", 5)


def test_a_second_run_of_a_partition_at_once_is_refused_with_one_sentence(
    slow_source: Path, output: Path
) -> None:
    # Nothing is ended for its time, and the first is held: it goes on however slow the machine is.
    words = ["compress", slow_source, output]
    words += settings_arguments({**SLOW, "image_time_limit_s": 600})
    with started(command(*words)) as process:
        wait_until(lambda: _slow_part(output), "the slow photograph is in work")
        for worker in workers_of(process.pid):
            worker.suspend()

        second = run_command(*words)

        assert second.returncode == 1
        assert re.match(
            r"image-assets: Expected partition \d{4}-\d\d-\d\d to be free, received that run "
            r"\S+ is compressing it",
            second.stderr,
        )
        assert second.stderr.count("\n") == 1
        assert process.poll() is None, "the first goes on"


# -- progress -------------------------------------------------------------------------------------


class _Terminal:
    """A terminal with a child in it, and all that it has shown."""

    def __init__(self, words: list[str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            words,
            env=environment({"TERM": "xterm"}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how the end of a terminal is told
            while data := os.read(self._master, 65_536):
                self._shown += data

    @property
    def text(self) -> str:
        """What was shown, without the control sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._shown.decode(errors="replace"))

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        os.close(self._master)


@contextlib.contextmanager
def _terminal(words: list[str]) -> Iterator[_Terminal]:
    terminal = _Terminal(words)
    try:
        yield terminal
    finally:
        terminal.close()


def test_a_terminal_gets_a_progress_bar(source: Path, output: Path) -> None:
    with _terminal(command("compress", source, output)) as terminal:
        assert terminal.process.wait(60) == 0
        wait_until(lambda: "Rows of this run" in terminal.text, "the summary is shown")
        text = terminal.text

    assert re.search(r"3/3 +\d+\.\d images/s +-?\d+\.\d % saved", text), text
    assert "18 renditions written" in text


def test_ctrl_c_in_a_terminal_stops_the_run(slow_source: Path, output: Path) -> None:
    words = command("compress", slow_source, output, *settings_arguments(SLOW))
    with _terminal(words) as terminal:
        wait_until(lambda: _slow_part(output), "the slow photograph is in work")
        workers = workers_of(terminal.process.pid)

        terminal.press(b"\x03")

        assert terminal.process.wait(5) == 130
        wait_until(lambda: "image-assets: stopped." in terminal.text, "it says so")
        wait_until(lambda: all(map(is_gone, workers)), "no worker is left", 5)
        assert "Traceback" not in terminal.text


def test_a_pipe_gets_plain_lines(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_LINE_INTERVAL_S", 0.0)  # else one every few seconds
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert cli.main(["compress", str(source), str(output)]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)

    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d: 3 of 3 images, \d+\.\d images/s, -?\d+\.\d % saved, "
        r"0 rejected, 0 failed, 0 s left",
        lines[-1],
    )
    assert "\x1b" not in shown.err + shown.out
    assert "\r" not in shown.err + shown.out
