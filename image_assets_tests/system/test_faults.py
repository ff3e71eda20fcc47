"""Faults of machine and people, really done: what is on disk afterwards, what the rerun does.

Everywhere the same two questions: is every rendition that is to be seen whole, and does the rerun
come to exactly what an undisturbed run does?
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from image_assets.engine.errors import RunError
from image_assets.engine.run.monitor import Progress
from image_assets.engine.run.partition import (
    compress_partition,
    compress_shard,
    plan_partition,
    publish_partition,
)
from image_assets.engine.run.result import latest_run
from image_assets.engine.storage.layout import Layout
from image_assets.engine.storage.ledger import read_ledger
from image_assets_tests.libraries import DAY, Library, changed
from image_assets_tests.mounts import broken_sector, change, protected, small_disk, unmount
from image_assets_tests.photographs import encode_photograph, save_photograph
from image_assets_tests.processes import (
    SLOW,
    SLOW_SIZE,
    command,
    is_gone,
    run_command,
    settings_arguments,
    started,
    wait_until,
    worker_writing,
    workers_of,
)

pytestmark = pytest.mark.system

SEED: Final = 20_150_601
CHUNK: Final[dict[str, object]] = {"max_workers": 2, "chunk_size": 3}
IN_FLIGHT: Final = 2 * 3
"""Images of the chunks in flight under `CHUNK`."""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A source of twelve photographs and the renditions of an undisturbed run."""
    library = Library.below(tmp_path_factory.mktemp("twelve"))
    library.fill(12)
    library.compress()
    return library.source, library.rendition_bytes()


@pytest.fixture
def filled(library: Library, twelve: tuple[Path, dict[str, bytes]]) -> Library:
    """A library of these photographs."""
    for path in twelve[0].iterdir():
        shutil.copy2(path, library.source)
    return library


def visible(library: Library) -> dict[str, bytes]:
    """What somebody who serves the renditions would serve."""
    return {n: d for n, d in library.rendition_bytes().items() if "/." not in n}


def hidden(library: Library) -> list[str]:
    """What killed runs left, in renditions and tables."""
    return [str(path) for path in library.output.rglob(".*") if path.is_file()]


def ledger_rows(library: Library) -> dict[Any, Any]:
    return read_ledger(library.output, _day(library)).rows


def _day(library: Library) -> str:
    return next(path.name for path in (library.output / "tables/ledger").iterdir())


def assert_whole(library: Library, undisturbed: dict[str, bytes]) -> None:
    for name, data in visible(library).items():
        assert data == undisturbed[name], f"{name} is whole"


# -- kill -9 --------------------------------------------------------------------------------------

RUN_KILLS: Final = 20
WORKER_KILLS: Final = 30
"""Fifty in all; a run costs a second to start again, a worker a third of one."""


def _digests(rows: dict[Any, Any]) -> dict[str, str]:
    """Sha256 by rendition, as the ledger has it."""
    extensions = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}
    return {f"{k[0]}/{k[1]}.{extensions[k[2]]}": row["sha256"] for k, row in rows.items()}


def test_a_run_that_is_killed_again_and_again_comes_to_what_an_undisturbed_one_does(
    tmp_path: Path,
) -> None:
    """On disk after each kill: whole renditions, hidden leftovers, the ledger of whole chunks.

    The rerun does nothing again that the ledger has; at most the chunks in flight are lost.
    """
    moment = random.Random(SEED)  # noqa: S311 - no secret
    source = tmp_path / "source"
    for seed in range(30):
        save_photograph(source / f"{seed:02d}.jpg", (150, 100), seed=seed)
    # Two settings in turn, so that there is always work to be killed in.
    settings = [{**CHUNK}, {**CHUNK, "full_px": 140, "thumbnail_px": 60}]
    undisturbed = []
    for index, overrides in enumerate(settings):
        output = tmp_path / f"undisturbed {index}"
        done = run_command("compress", source, output, *settings_arguments(overrides))
        assert done.returncode == 0, done.stderr
        library = Library(source, output)
        undisturbed.append((_flat(library), ledger_rows(library)))
    library = Library(source, tmp_path / "output")
    killed = turn = lost_most = 0
    known: dict[str, str] = {}
    while killed < RUN_KILLS:
        words = command("compress", source, library.output, *settings_arguments(settings[turn]))
        before = _identities(library)
        with started(words, errors=tmp_path / "errors.txt") as process:
            _wait_for(process, library, before, moment)
            if process.poll() is None:
                workers = workers_of(process.pid)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                _wait_until_gone(workers)
                killed += 1
            else:
                assert process.returncode == 0, (tmp_path / "errors.txt").read_text()
        if not (library.output / "tables/ledger").is_dir():
            continue
        files = _flat(library)
        for name, data in files.items():
            assert data in (undisturbed[0][0][name], undisturbed[1][0][name]), f"{name} is whole"
        now = _digests(ledger_rows(library))
        again = {n for n in known if before.get(n) != _identities(library).get(n)}
        assert again == set(), "nothing that the ledger had is done again"
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        lost = {name.split("/")[0] for name, digest in sums.items() if now.get(name) != digest}
        lost_most = max(lost_most, len(lost))
        assert len(lost) <= IN_FLIGHT, "images that were made and are not known"
        wanted = {n: hashlib.sha256(d).hexdigest() for n, d in undisturbed[turn][0].items()}
        known = {name: digest for name, digest in now.items() if wanted[name] == digest}
        if len(known) == len(wanted):
            turn, known = 1 - turn, {}
    for overrides, (renditions, rows) in zip(settings, undisturbed, strict=True):
        done = run_command("compress", source, library.output, *settings_arguments(overrides))
        assert done.returncode == 0, done.stderr
        assert _flat(library) == renditions
        assert ledger_rows(library) == rows
        assert hidden(library) == [], "what was left half-written is gone"
    assert lost_most > 0, "runs were met in the middle of their work"


def _wait_for(
    process: "subprocess.Popen[bytes]",
    library: Library,
    before: dict[str, tuple[int, int]],
    moment: random.Random,
) -> None:
    """Return at a random moment of a run: so many renditions and milliseconds after its start.

    Counted in renditions, so that a busy machine does not move all moments before the first.
    """
    target, more_s = moment.randint(0, 45), moment.uniform(0.0, 0.06)
    made = 0
    while process.poll() is None and made < target:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
        made = len(changed(before, _identities(library)))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(more_s if target else moment.uniform(0.0, 1.0))


def _wait_until_gone(workers: list[psutil.Process]) -> None:
    wait_until(lambda: all(map(is_gone, workers)), "no worker lives", 5)


def _root(library: Library) -> Path:
    return next(iter((library.output / "renditions").glob("*")), library.output / "none")


def _flat(library: Library) -> dict[str, bytes]:
    root = _root(library)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def _identities(library: Library) -> dict[str, tuple[int, int]]:
    root = _root(library)
    found = {}
    for path in root.rglob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):  # a run is at work
            if path.is_file():
                status = path.stat()
                found[path.relative_to(root).as_posix()] = status.st_ino, status.st_mtime_ns
    return found


class _Killer(threading.Thread):
    """Kills workers of this process at random moments of their work."""

    def __init__(self, kills: int, moment: random.Random) -> None:
        super().__init__()
        self.left, self._moment, self._ended = kills, moment, threading.Event()

    def run(self) -> None:
        seen: set[psutil.Process] = set()
        while self.left and not self._ended.wait(self._moment.uniform(0.0, 0.15)):
            alive = workers_of(os.getpid())
            # One that has written is past its start: three dead starts end the run, rightly.
            seen = {w for w in alive if w in seen or _has_written(w)}
            if seen:
                victim = self._moment.choice(sorted(seen, key=lambda worker: worker.pid))
                victim.kill()
                self.left -= 1
                seen.discard(victim)

    def end(self) -> None:
        self._ended.set()
        self.join()


def _has_written(worker: psutil.Process) -> bool:
    try:
        return worker.io_counters().write_bytes > 0
    except psutil.Error:
        return False


def test_a_killed_worker_costs_the_image_in_flight_and_nothing_else(tmp_path: Path) -> None:
    """On disk after each run: whole renditions only. The next makes exactly what was lost."""
    library = Library.below(tmp_path)
    overrides = {**CHUNK, "quarantine_attempts": 100}
    killer = _Killer(WORKER_KILLS, random.Random(SEED))  # noqa: S311 - no secret
    killer.start()
    count, killed = 0, 0
    lost: set[str] = set()
    try:
        while killer.left or lost:
            expected = set(lost)
            if killer.left:  # there is work left to be killed in
                expected |= set(_more(library, count, 30))
                count += 30
            result = library.compress(overrides)
            kills, killed = WORKER_KILLS - killer.left - killed, WORKER_KILLS - killer.left
            lost = {bad.source_key for bad in result.not_compressed}
            # Killed from outside is what the system does where memory is short.
            reasons = {bad.reason for bad in result.not_compressed}
            assert reasons <= {"worker_died", "out_of_memory"}
            assert len(lost) <= kills, "one image a worker, and none for one between two"
            written = library.by_status(result).get("written", set())
            assert {name.split("/")[0] for name in written} == expected - lost
            assert len(written) == 6 * len(expected - lost)
            assert hidden(library) == []
    finally:
        killer.end()
    undisturbed = Library(library.source, tmp_path / "undisturbed")
    undisturbed.compress(CHUNK)
    assert library.rendition_bytes() == undisturbed.rendition_bytes()
    assert ledger_rows(library) == ledger_rows(undisturbed)


def _more(library: Library, start: int, count: int) -> list[str]:
    keys = [f"{seed:03d}.jpg" for seed in range(start, start + count)]
    for seed, key in enumerate(keys, start):
        save_photograph(library.source / key, (150, 100), seed=seed)
    return keys


def test_what_a_killed_run_left_of_a_source_that_is_gone_is_swept(library: Library) -> None:
    """On disk: `.full.avif.tmp`, hidden. The rerun removes it, though nobody takes it over."""
    save_photograph(library.source / "slow.jpg", SLOW_SIZE)
    save_photograph(library.source / "other.jpg", (48, 32))
    words = command("compress", library.source, library.output, *settings_arguments(SLOW))
    part = "renditions/*/slow.jpg/.full.avif.tmp"
    with started(words) as process:
        wait_until(
            lambda: list(library.output.glob(part)) or process.poll() is not None,
            "the photograph is in work",
        )
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert list(library.output.glob(part))
    (library.source / "slow.jpg").unlink()

    done = run_command("compress", library.source, library.output)

    assert done.returncode == 0, done.stderr
    assert hidden(library) == []
    assert not (library.output / "tables/ledger" / _day(library) / "begun").exists()


# -- disk full ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "size", "made_again"),
    [
        (f"renditions/{DAY}", "96k", None),
        (f"tables/ledger/{DAY}", "8k", 72),  # the ledger knows of nothing
        (f"tables/outcomes/{DAY}", "4k", 0),
        (f"tables/performance/{DAY}", "4k", 0),
        ("tables/variants", "4k", 0),
        ("tables/catalogue", "4k", 72),
    ],
)
def test_a_full_disk_ends_the_run_loudly_and_the_rerun_goes_on(
    filled: Library,
    twelve: tuple[Path, dict[str, bytes]],
    place: str,
    size: str,
    made_again: int | None,
) -> None:
    """On disk: what was finished, whole. The rerun makes the rest, and nothing twice."""
    with small_disk(filled.output / place, size) as disk:
        if size == "4k":
            _ballast(disk)
        with pytest.raises(RunError, match=r"No space left on device") as caught:
            filled.compress(CHUNK)
        assert os.fspath(disk) in str(caught.value), "the path is named"
        assert "\n" not in str(caught.value)
        assert_whole(filled, twelve[1])
        assert [p for p in hidden(filled) if "/renditions/" in p] == []
        before, kept = filled.identities(), _digests(read_ledger(filled.output, DAY).rows)
        change(disk, "size=20m")

        again = filled.compress(CHUNK)

        assert (again.counts.rejected, again.counts.failed) == (0, 0), "no image is to blame"
        assert again.counts.written + again.counts.skipped == 72
        assert visible(filled) == twelve[1]
        assert hidden(filled) == []
        if made_again is not None:
            assert again.counts.written == made_again
        else:
            assert 0 < again.counts.written < 72, "what was finished is kept"
        assert not changed(before, filled.identities()) & set(kept)


def test_a_disk_that_fills_up_says_what_is_left_to_need(
    filled: Library, twelve: tuple[Path, dict[str, bytes]]
) -> None:
    filled.output.mkdir()
    with small_disk(filled.output, "3m") as disk:

        def fill(progress: Progress) -> None:
            if progress.done == 4:
                _ballast(disk)

        with pytest.raises(RunError, match=r"What is left needs about \d\.\d MB, 0\.0 MB are free"):
            filled.compress(CHUNK, on_progress=fill)
        assert_whole(filled, twelve[1])
        assert len(visible(filled)) >= 4 * 6
        (disk / "ballast").unlink()
        assert filled.compress(CHUNK).counts.failed == 0
        assert visible(filled) == twelve[1]


def _ballast(disk: Path) -> None:
    with open(disk / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_disk_too_small_for_the_forecast_is_refused_before_any_rendition(
    filled: Library,
) -> None:
    for name in ("big.png", "bigger.png"):
        save_photograph(filled.source / name, (400, 300), format="PNG")
    filled.output.mkdir()
    with small_disk(filled.output, "600k") as disk:
        with pytest.raises(
            RunError, match=r"Expected \d\.\d MB of free disk for 84 renditions, received 0\.\d MB"
        ) as caught:
            filled.compress()
        assert os.fspath(disk) in str(caught.value)
        assert not (disk / "renditions").exists()
        change(disk, "size=30m")
        assert filled.compress().counts.written == 84


def test_a_quota_on_the_size_of_files_is_the_machines_fault_too(
    filled: Library, twelve: tuple[Path, dict[str, bytes]]
) -> None:
    """Where nobody may mount: a limit on file size is met by the parent as by workers."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(progress: Progress) -> None:
        if progress.done == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (600, limits[1]))

    try:
        with pytest.raises(RunError, match=r"tables/ledger/.*File too large"):
            filled.compress({"max_workers": 1, "chunk_size": 12}, on_progress=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert visible(filled) == twelve[1]
    assert filled.compress().counts.failed == 0
    assert visible(filled) == twelve[1]


def test_an_output_that_turns_read_only_ends_the_run_and_keeps_what_is_finished(
    filled: Library, twelve: tuple[Path, dict[str, bytes]]
) -> None:
    with ExitStack() as stack:

        def protect(progress: Progress) -> None:
            if progress.done == 4:
                stack.enter_context(protected(filled.output))

        with pytest.raises(RunError, match="Read-only file system") as caught:
            filled.compress(CHUNK, on_progress=protect)
        assert os.fspath(filled.output) in str(caught.value)
        assert_whole(filled, twelve[1])
        with pytest.raises(RunError, match=r"an output folder that can be written.*Read-only"):
            filled.compress(CHUNK)
    kept = len(visible(filled))
    assert kept >= 4 * 6

    again = filled.compress(CHUNK)

    assert again.counts.failed == 0
    assert visible(filled) == twelve[1]
    assert hidden(filled) == []


# -- the source -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["removed", "unmounted"])
def test_a_source_that_goes_while_it_is_read_ends_the_run_and_is_no_bad_image(
    library: Library, twelve: tuple[Path, dict[str, bytes]], fault: str
) -> None:
    """On disk: what was finished. No row blames an image; the rerun goes on."""
    away = library.source.with_name("away")
    with ExitStack() as stack:
        if fault == "unmounted":
            stack.enter_context(small_disk(library.source, "10m"))
        for path in twelve[0].iterdir():
            shutil.copy2(path, library.source)

        def take_away(progress: Progress) -> None:
            if progress.done == 3:
                if fault == "unmounted":
                    unmount(library.source)
                else:
                    library.source.rename(away)

        with pytest.raises(RunError, match="Expected the source folder to stay") as caught:
            library.compress({"max_workers": 1, "chunk_size": 3}, on_progress=take_away)
    assert os.fspath(library.source) in str(caught.value)
    assert_whole(library, twelve[1])
    assert len(visible(library)) >= 3 * 6
    before = library.identities()
    shutil.rmtree(library.source, ignore_errors=True)
    shutil.copytree(twelve[0], library.source, copy_function=shutil.copy2)

    again = library.compress()

    assert again.counts.failed == 0
    assert again.counts.skipped >= 3 * 6
    assert len(changed(before, library.identities())) == again.counts.written
    assert visible(library) == twelve[1]


@pytest.mark.parametrize("moment", ["listing", "reading"])
@pytest.mark.parametrize("broken", [1, 11])
def test_a_bad_sector_is_a_row_and_a_broken_disk_ends_the_run(
    filled: Library, moment: str, broken: int
) -> None:
    """Ten input/output errors in a row, none read between them, are no ten bad images."""
    job = dataclasses.replace(filled.job({"max_workers": 1}), relist=False)
    with ExitStack() as stack:
        if moment == "reading":
            plan = plan_partition(job)  # the listing is from before
        for path in sorted(filled.source.iterdir())[:broken]:
            stack.enter_context(broken_sector(path))
        if moment == "listing":
            if broken > 1:
                with pytest.raises(RunError, match="'Input/output error' from 10 files in a row"):
                    plan_partition(job)
                return
            plan = plan_partition(job)
        if broken > 1:
            with pytest.raises(RunError, match="'Input/output error' from 10 files in a row"):
                compress_shard(job, plan)
            assert visible(filled) == {}
        else:
            result = publish_partition(job, plan, [compress_shard(job, plan)])
            [bad] = result.not_compressed
            assert (bad.status, bad.reason) == ("failed", "unreadable")
            assert "Input/output error" in bad.message
            assert result.counts.written == 11 * 6
    again = filled.compress()
    assert (again.counts.failed, again.counts.written + again.counts.skipped) == (0, 72)


def test_a_source_that_is_written_to_while_it_is_in_work_is_a_row_and_never_half_and_half(
    library: Library,
) -> None:
    """On disk: nothing of it. The rerun makes it from what the file then is."""
    one, two = (encode_photograph((600, 400), format="BMP", seed=seed) for seed in (1, 2))
    assert len(one) == len(two)
    path = library.source / "upload.bmp"
    path.write_bytes(two[: len(two) // 2] + one[len(one) // 2 :])  # half of the upload is there
    part = library.folder_of("upload.bmp") / ".full.avif.tmp"

    def finish_upload() -> None:
        wait_until(lambda: worker_writing(part), "its rendition is in work")
        with open(path, "r+b") as file:
            file.seek(len(two) // 2)
            file.write(two[len(two) // 2 :])

    uploader = threading.Thread(target=finish_upload)
    uploader.start()
    try:
        slow: dict[str, object] = {"full_avif_quality": 95, "avif_speed": 3}
        result = library.compress(slow, variants=("full",), formats=("avif",))
    finally:
        uploader.join()

    assert {bad.reason for bad in result.not_compressed} == {"changed_while_read"}
    assert visible(library) == {}
    clean = Library.below(library.source.parent, "clean ")
    (clean.source / "upload.bmp").write_bytes(two)
    library.compress()
    clean.compress()
    assert visible(library) == visible(clean)


def test_a_file_that_is_written_all_the_time_gives_one_version_or_a_row(library: Library) -> None:
    pair = [encode_photograph((600, 400), format="BMP", seed=seed) for seed in (1, 2)]
    path = library.source / "busy.bmp"
    expected: set[bytes] = set()
    for index, data in enumerate(pair):
        clean = Library.below(library.source.parent, f"clean {index} ")
        (clean.source / "busy.bmp").write_bytes(data)
        clean.compress(formats=("webp",))
        expected.update(clean.rendition_bytes().values())
    path.write_bytes(pair[0])
    ended = threading.Event()

    def write_on() -> None:
        with open(path, "r+b", buffering=0) as file:
            while not ended.is_set():
                for data in pair:
                    file.seek(0)
                    for start in range(0, len(data), 65_536):
                        file.write(data[start : start + 65_536])

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        for _ in range(3):
            result = library.compress(formats=("webp",))
            rows = library.rows(result).renditions.to_pylist()
            assert {row["reason"] for row in rows} <= {None, "changed_while_read"}
            assert set(visible(library).values()) <= expected
    finally:
        ended.set()
        writer.join()


def test_a_source_unmounted_before_a_run_with_pruning_on_loses_nothing(
    library: Library, twelve: tuple[Path, dict[str, bytes]]
) -> None:
    """What a backfill of every day meets: an empty mount point, or no folder of the day."""
    for layout, folder in ((Layout("flat", DAY), "."), (Layout("%Y-%m-%d"), DAY)):
        output = library.output.with_name(f"output {layout.template.replace('%', '')}")
        job = dataclasses.replace(
            library.job({"prune": True, "prune_force": True}), layout=layout, output=output
        )
        with small_disk(library.source, "10m"):
            (library.source / folder).mkdir(exist_ok=True)
            for path in twelve[0].iterdir():
                shutil.copy2(path, library.source / folder)
            compress_partition(job)
        there = Library(library.source, output)
        before = there.identities()
        assert len(before) == 72
        unmounted = dataclasses.replace(job, run_id="unmounted", relist=True)
        with pytest.raises(RunError, match=r"Expected a safe prune .* received that (the|its)"):
            compress_partition(unmounted)
        # By the catalogue of before, which the run above has left as it was, nothing is gone.
        listed = compress_partition(dataclasses.replace(unmounted, relist=False))
        assert (listed.counts.skipped, listed.counts.written) == (72, 0)
        assert there.identities() == before
        assert {row["status"] for row in ledger_rows(there).values()} == {"written"}


# -- clock, handles, others -----------------------------------------------------------------------


def test_a_clock_that_was_set_back_changes_nothing(filled: Library) -> None:
    """Dates of files and names of runs order nothing: generations do."""
    dates = (-2_000_000_000, 0, 1, 4_000_000_000, 10_000_000_000)
    for date_s, path in zip(dates, sorted(filled.source.iterdir()), strict=False):
        os.utime(path, (date_s, date_s))
    first = dataclasses.replace(filled.job({"full_webp_quality": 60}), run_id="20260101T000000-zz")
    second = dataclasses.replace(filled.job(), run_id="20250101T000000-aa")
    assert compress_partition(first).counts.written == 72
    for path in filled.output.rglob("*"):
        if path.is_file():
            os.utime(path, (4_000_000_000, 4_000_000_000))
    assert compress_partition(second).counts.written == 12
    for path in filled.output.rglob("*20250101*"):
        os.utime(path, (1, 1))

    third = compress_partition(dataclasses.replace(filled.job(), run_id="20240101T000000-mm"))

    assert (third.counts.written, third.counts.skipped, third.counts.failed) == (0, 72, 0)
    assert latest_run(filled.output, DAY) == "20240101T000000-mm"
    assert {
        row["quality"] for key, row in ledger_rows(filled).items() if key[1:] == ("full", "webp")
    } == {80}


@pytest.mark.parametrize("handles", [64, 20, 10])
def test_few_file_handles_are_enough_or_one_sentence(
    filled: Library, twelve: tuple[Path, dict[str, bytes]], handles: int
) -> None:
    report = filled.output.with_suffix(".json")
    words = ("compress", filled.source, filled.output, "--json", report)

    done = run_command(
        *words,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (handles, handles)),
    )

    if handles < 64 and done.returncode:
        assert done.returncode == 1
        assert done.stderr.startswith("image-assets: Expected"), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        done = run_command(*words)
    assert done.returncode == 0, done.stderr
    summary = json.loads(report.read_text())
    assert (summary["rejected"], summary["failed"]) == (0, 0)
    assert sorted(_flat(filled).values()) == sorted(twelve[1].values())


def test_of_two_runs_at_once_the_second_waits_and_finds_nothing_to_do(
    filled: Library, tmp_path: Path, twelve: tuple[Path, dict[str, bytes]]
) -> None:
    reports = [tmp_path / "one.json", tmp_path / "two.json"]
    wait = settings_arguments({"lease_wait_s": 60})
    with ExitStack() as stack:
        runs = [
            stack.enter_context(
                started(
                    command("compress", filled.source, filled.output, *wait, "--json", report),
                    errors=report.with_suffix(".txt"),
                )
            )
            for report in reports
        ]
        for run, report in zip(runs, reports, strict=True):
            assert run.wait(60) == 0, report.with_suffix(".txt").read_text()
    summaries = [json.loads(report.read_text()) for report in reports]
    assert sorted(summary["written"] for summary in summaries) == [0, 72]
    assert sorted(summary["skipped"] for summary in summaries) == [0, 72]
    assert sorted(_flat(filled).values()) == sorted(twelve[1].values())
    assert hidden(filled) == []


def test_a_renamed_layout_of_days_never_prunes(library: Library) -> None:
    """2015-06-01 becomes 2015/06/01: to a run that knows the former, the day is missing."""
    day = library.source / DAY
    for index in range(3):
        save_photograph(day / f"{index}.jpg", (48, 32), seed=index)
    job = dataclasses.replace(
        library.job({"prune": True, "prune_force": True}), layout=Layout("%Y-%m-%d")
    )
    compress_partition(job)
    before = library.identities()
    day.rename(library.source / "moving")
    (library.source / "2015/06").mkdir(parents=True)
    (library.source / "moving").rename(library.source / "2015/06/01")

    with pytest.raises(RunError, match="the partition's source folder is missing"):
        compress_partition(dataclasses.replace(job, run_id="renamed"))

    assert library.identities() == before


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    """Whatever a test did to the machine."""
    yield
    assert workers_of(os.getpid()) == []
