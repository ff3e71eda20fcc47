"""A backfill with pruning on, over GraphQL, of days whose source is not there: nothing is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from image_assets.engine.api import compress_folder
from image_assets.engine.storage.ledger import read_ledger
from image_assets_tests.libraries import Library
from image_assets_tests.mounts import RemovableDisk, removable_disk
from image_assets_tests.photographs import save_photograph
from image_assets_tests.system.backfills import (
    BackfillRun,
    launch_backfill,
    reexecute_backfill,
    wait_for_backfill,
)
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
            compress_folder(library.source, library.output, partition_key=day)
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


def assert_pruning_was_refused(run: BackfillRun, day: str, source: Path) -> None:
    assert run.status == "FAILURE"
    # At the first step, so that re-executing from it lists the sources anew.
    assert run.failures == {
        "raw_images": f"Expected a safe prune of partition {day}, received that the "
        f"partition's source folder is missing ({source / day}). Nothing was removed."
    }
    assert run.counts == {}, "nothing is shown as made"


def assert_nothing_was_redone(run: BackfillRun) -> None:
    assert run.status == "SUCCESS", run.failures
    statistics = run.counts["performance_statistics"]
    assert (statistics["written"], statistics["skipped"]) == (0, RENDITIONS)


def test_days_that_are_unmounted_lose_nothing_and_are_as_they_were_when_mounted_again(
    operated: Operated, disk: RemovableDisk
) -> None:
    library, server = operated.library, operated.server
    before, known = renditions(library), ledgers(library)
    disk.take_out()
    assert list(library.source.iterdir()) == [], "the empty mount point is there"

    failed = launch_backfill(server, DAYS, PRUNE)
    status, runs = wait_for_backfill(server, failed)

    assert status == "COMPLETED_FAILED"
    assert set(runs) == set(DAYS)
    for day, run in runs.items():
        assert_pruning_was_refused(run, day, library.source)
    assert renditions(library) == before
    assert ledgers(library) == known

    disk.put_in()
    status, runs = wait_for_backfill(server, reexecute_backfill(server, failed))

    assert status == "COMPLETED_SUCCESS"
    assert set(runs) == set(DAYS)
    for run in runs.values():
        assert_nothing_was_redone(run)
    assert renditions(library) == before
    assert ledgers(library) == known


def test_a_day_without_its_folder_fails_alone(operated: Operated, disk: RemovableDisk) -> None:
    library, server = operated.library, operated.server
    before, known = renditions(library), ledgers(library)
    gone, there = DAYS[:2]
    (library.source / gone).rename(library.source / "being moved")

    status, runs = wait_for_backfill(server, launch_backfill(server, (gone, there), PRUNE))

    assert status == "COMPLETED_FAILED"
    assert_pruning_was_refused(runs[gone], gone, library.source)
    assert_nothing_was_redone(runs[there])
    assert renditions(library) == before
    assert ledgers(library) == known
