import json
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from image_assets.defs import partitions
from image_assets.defs.instance import close_dead_runs, process_tag, recall_library
from image_assets.defs.run_once import main
from image_assets_tests.defs.library import draw_image

Folders = tuple[Path, Path]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    """A source with one image, and the output that it gets; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    # Set, so that what main sets is undone.
    monkeypatch.setenv("DAGSTER_HOME", "")
    draw_image(tmp_path / "holiday" / "beach" / "photo.jpg")
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path / "holiday", tmp_path / "output" / "holiday"
    signal.signal(signal.SIGTERM, before)


def _today() -> str:
    return partitions.today().isoformat()


def test_a_first_run_makes_and_a_second_finds_nothing_to_do(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = folders

    assert main(["--source", str(source)]) == 0
    first = capsys.readouterr().out
    made = {p: p.stat().st_mtime_ns for p in (output / "renditions").rglob("*.*") if p.is_file()}
    assert main(["--source", str(source)]) == 0
    second = capsys.readouterr().out

    assert len(made) == 6
    assert "6 renditions written" in first
    assert str(output / "renditions" / _today()) in first
    assert "make ui" in first
    assert "DEBUG" not in first
    assert "nothing needed doing" in second
    assert {p: p.stat().st_mtime_ns for p in made} == made
    assert recall_library(tmp_path / ".dagster_home") == {
        "IMAGE_ASSETS_SOURCE": str(source),
        "IMAGE_ASSETS_OUTPUT": str(output),
        "IMAGE_ASSETS_LAYOUT": "flat",
    }


def test_the_day_of_the_first_run_is_kept(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = folders

    assert main(["--source", str(source), "--partition", "2026-03-01"]) == 0
    assert main(["--source", str(source)]) == 0

    assert "nothing needed doing" in capsys.readouterr().out
    assert json.loads((output / "tables" / "layout.json").read_text())["partition"] == "2026-03-01"


def test_day_folders_are_one_partition_unless_a_day_is_named(
    tmp_path: Path, folders: Folders
) -> None:
    source = tmp_path / "days"
    draw_image(source / "2026-03-01" / "photo.jpg")
    draw_image(source / "2026-03-02" / "photo.jpg")

    assert main(["--source", str(source), "--output", "flat"]) == 0
    assert main(["--source", str(source), "--output", "daily", "--partition", "2026-03-01"]) == 0
    # The output was begun with days: without one, the newest.
    assert main(["--source", str(source), "--output", "daily"]) == 0

    assert [p.name for p in (tmp_path / "flat" / "renditions").iterdir()] == [_today()]
    assert sorted(p.name for p in (tmp_path / "daily" / "renditions").iterdir()) == [
        "2026-03-01",
        "2026-03-02",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--preset", "qualty"],
            "Expected a preset of balanced, throughput, quality, memory_efficient, "
            "received 'qualty' (preset).",
        ),
        (
            ["--set", "full_px=0"],
            "Expected full_px between 1 and 16383, received 0 (preset 'balanced', full_px).",
        ),
        (["--set", "full_px"], "Expected key=value, received 'full_px' (--set)."),
        (
            ["--partition", "yesterday"],
            "Expected a day as YYYY-MM-DD, received 'yesterday' (--partition).",
        ),
        (
            ["--partition", "1999-01-01"],
            "Expected a day from 2015-01-01 to {today}, received '1999-01-01' (partition).",
        ),
        (
            ["--output", "{source}/web"],
            "Expected an output folder outside the source {source}, "
            "received '{source}/web' (output).",
        ),
        (
            ["--source", "/nowhere"],
            "Expected an existing source folder, received '/nowhere' (source).",
        ),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_starts_nothing(
    folders: Folders,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    source, output = folders
    words = {"source": source, "today": _today()}

    status = main(["--source", str(source), *(word.format(**words) for word in arguments)])

    assert status == 2
    assert capsys.readouterr().err == f"image-assets: {sentence.format(**words)}\n"
    assert not (tmp_path / ".dagster_home").exists()
    assert not (output / "renditions").exists()
    assert not (output / "tables" / "layout.json").exists()


def test_overrides_reach_the_run_with_their_types(folders: Folders) -> None:
    source, _ = folders
    pairs = ["full_px=64", "draft_margin=1.5", "verify=true", "background=#000000"]

    status = main(["--source", str(source), *(f"--set={pair}" for pair in pairs)])

    assert status == 0
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    wanted = {
        "preset": "balanced",
        "full_px": 64,
        "draft_margin": 1.5,
        "verify": True,
        "background": "#000000",
    }
    assert run.run_config["ops"] == {"compress": {"config": wanted}}


def test_a_run_whose_process_is_gone_is_closed() -> None:
    @dg.job
    def job() -> None: ...

    alive = process_tag()
    (tag,) = alive
    # Of a process id that is in use, but by a process that started at another time.
    gone = {tag: f"{psutil.Process().pid} since 0.00"}
    with dg.DagsterInstance.ephemeral() as instance:
        runs = [
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
            for tags in (alive, gone, {})
        ]

        close_dead_runs(instance)

        states = [instance.get_run_by_id(run.run_id) for run in runs]
    assert [state.status.value for state in states if state] == ["STARTED", "FAILURE", "STARTED"]
