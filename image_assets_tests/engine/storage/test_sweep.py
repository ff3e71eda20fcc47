import fcntl
from pathlib import Path

import pytest

from image_assets.engine.storage.sweep import (
    begin,
    sweep_after_killed_runs,
    sweep_partition,
    sweep_source,
)

DAY = "2015-06-01"


@pytest.fixture
def leftovers(tmp_path: Path) -> list[Path]:
    """What killed runs leave, and what must stay."""
    folders = (f"renditions/{DAY}/a/b.jpg", f"tables/ledger/{DAY}", f"tables/outcomes/{DAY}/run")
    found = []
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        for name in (".x.tmp", "x.tmp", ".hidden", "full.avif"):
            (tmp_path / folder / name).touch()
        found.append(tmp_path / folder / ".x.tmp")
    return found


def remaining(leftovers: list[Path]) -> list[Path]:
    return [path for path in leftovers if path.exists()]


def test_an_undisturbed_run_looks_for_nothing(tmp_path: Path, leftovers: list[Path]) -> None:
    assert sweep_after_killed_runs(tmp_path, DAY, "run") == 0
    begin(tmp_path, DAY, "run", 0)
    begin(tmp_path, DAY, "run", 1)
    assert sweep_after_killed_runs(tmp_path, DAY, "run") == 0
    assert remaining(leftovers) == leftovers
    assert not (tmp_path / "tables/ledger" / DAY / "begun").exists()


@pytest.mark.parametrize("killed", ["killed", "run"])
def test_after_a_run_that_did_not_publish_the_next_one_sweeps(
    tmp_path: Path, leftovers: list[Path], killed: str
) -> None:
    begin(tmp_path, DAY, killed, 0)  # and no more; `run` is re-executed under its own name
    begin(tmp_path, DAY, "run", 0)
    assert sweep_after_killed_runs(tmp_path, DAY, "run") == 3
    assert remaining(leftovers) == []
    kept = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert kept == sorted([".hidden", "full.avif", "x.tmp"] * 3)
    assert sweep_after_killed_runs(tmp_path, DAY, "run") == 0


def test_what_a_live_process_writes_is_left_alone(tmp_path: Path, leftovers: list[Path]) -> None:
    with open(leftovers[0], "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert sweep_partition(tmp_path, DAY) == 2
    assert remaining(leftovers) == leftovers[:1]


def test_one_source_is_swept_alone(tmp_path: Path, leftovers: list[Path]) -> None:
    assert sweep_source(tmp_path, DAY, "a/b.jpg") == 1
    assert remaining(leftovers) == leftovers[1:]
    assert sweep_source(tmp_path, DAY, "none.jpg") == 0


def test_a_source_that_is_called_like_a_temporary_file_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "renditions" / DAY
    (folder / ".upload.jpg.tmp").mkdir(parents=True)
    (folder / ".upload.jpg.tmp" / "full.avif").touch()
    (folder / ".link.tmp").symlink_to("elsewhere")
    assert sweep_partition(tmp_path, DAY) == 0
    assert sweep_source(tmp_path, DAY, "gone.jpg") == 0
    assert (folder / ".upload.jpg.tmp" / "full.avif").is_file()
