"""A backfill with pruning on, over GraphQL, of days whose source is not there: nothing is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from image_assets.engine.ledger import read_ledger
from image_assets_tests.libraries import Library
from image_assets_tests.mounts import RemovableDisk, removable_disk
from image_assets_tests.photographs import save_photograph
from image_assets_tests.processes import run_command
from image_assets_tests.system.backfills import BackfillRun, launch_backfill, wait_for_backfill
from image_assets_tests.system.conftest import Operated

pytestmark = pytest.mark.system

DAYS: Final = ("2026-03-01", "2026-03-02", "2026-03-03")
PRUNE: Final = {"prune": True}
RENDITIONS: Final = 2 * 6
"""Of a day: two photographs in two sizes and three formats."""


@pytest.fixture(scope="module")
def disk(operated: Operated) -> Iterator[RemovableDisk]:
    """The source's disk, mounted, with three days on it that are compressed."""
    library = operated.library
    with removable_disk(library.source) as disk:
        disk.put_in()
        for number, day in enumerate(DAYS):
            for index in range(2):
                path = library.source / day / f"{index}.jpg"
                save_photograph(path, (48, 32), seed=10 * number + index)
            done = run_command("compress", library.source, library.output, "--partition", day)
            assert done.returncode == 0, done.stderr
        assert len(renditions(library)) == len(DAYS) * RENDITIONS
        yield disk


def renditions(library: Library) -> dict[str, tuple[int, int, bytes]]:
    """Every file below the renditions: inode, date and bytes, by path."""
    root = library.output / "renditions"
    return {
        path.relative_to(root).as_posix(): _identity(path)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def _identity(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


def ledgers(library: Library) -> dict[str, dict[Any, Any]]:
    return {day: read_ledger(library.output, day).rows for day in DAYS}


def backfill(operated: Operated) -> tuple[str, dict[str, BackfillRun]]:
    """Backfill all assets of these days, with pruning on."""
    return wait_for_backfill(operated.server, launch_backfill(operated.server, DAYS, PRUNE))


def assert_pruning_was_refused(run: BackfillRun, day: str, source: Path) -> None:
    assert run.status == "FAILURE"
    assert run.failures == {
        "compress.publish": f"Expected a safe prune of partition {day}, received that the "
        f"partition's source folder is missing ({source / day}). Nothing was removed."
    }
    # What was not made new is not shown as new.
    assert set(run.counts) == {"raw_images"}


def assert_nothing_was_redone(run: BackfillRun) -> None:
    assert run.status == "SUCCESS", run.failures
    statistics = run.counts["performance_statistics"]
    assert (statistics["written"], statistics["skipped"]) == (0, RENDITIONS)


def test_days_that_are_unmounted_lose_nothing_and_each_says_so(
    operated: Operated, disk: RemovableDisk
) -> None:
    library = operated.library
    before, known = renditions(library), ledgers(library)

    disk.take_out()
    assert list(library.source.iterdir()) == [], "the empty mount point is there"
    status, runs = backfill(operated)

    assert status == "COMPLETED_FAILED"
    assert set(runs) == set(DAYS)
    for day, run in runs.items():
        assert_pruning_was_refused(run, day, library.source)
    assert renditions(library) == before
    assert ledgers(library) == known

    # Mounted again but for one folder: that day fails by name, whatever the others do.
    disk.put_in()
    gone, *there = DAYS
    away = library.source / "being moved"
    (library.source / gone).rename(away)
    status, runs = backfill(operated)

    assert status == "COMPLETED_FAILED"
    assert_pruning_was_refused(runs[gone], gone, library.source)
    for day in there:
        assert_nothing_was_redone(runs[day])
    assert renditions(library) == before
    assert ledgers(library) == known

    away.rename(library.source / gone)
    status, runs = backfill(operated)

    assert status == "COMPLETED_SUCCESS"
    for day in DAYS:
        assert_nothing_was_redone(runs[day])
    assert renditions(library) == before
    assert ledgers(library) == known
