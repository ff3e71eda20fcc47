import dataclasses
from pathlib import Path

import pytest

from image_assets.engine.errors import RunError
from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.library.prune import Orphans, find_orphans, prune_orphans
from image_assets.engine.run.partition import PartitionJob, compress_partition, list_sources
from image_assets.engine.storage.layout import Layout
from image_assets.engine.storage.ledger import (
    Key,
    Ledger,
    LedgerIndex,
    LedgerWriter,
    compact_parts,
    read_ledger,
)
from image_assets.engine.storage.naming import rendition_path
from image_assets_tests.engine.jobs import DAY, make_job
from image_assets_tests.libraries import DAY as DAY_OF_LIBRARY
from image_assets_tests.libraries import Library

FORMATS = ("avif", "webp")


@pytest.fixture
def job(tmp_path: Path) -> PartitionJob:
    job = make_job(tmp_path)
    job.source.mkdir()
    return job


def ledger_of(job: PartitionJob, count: int, status: str = "written") -> Ledger:
    """A ledger of sources 0, 1, 2, ..., with a file for every rendition."""
    ledger = Ledger()
    for number in range(count):
        for format_name in FORMATS:
            key = (f"{number}.jpg", "full", format_name)
            path = job.output / rendition_path(DAY, *key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"picture")
            ledger.rows[key] = {"status": status, "size_bytes": 7}
    return ledger


def catalogue_of(*numbers: int, status: str = "found") -> list[CatalogueRow]:
    return [CatalogueRow(f"{number}.jpg", 1, 1, status) for number in numbers]


def index_of(job: PartitionJob, ledger: Ledger) -> LedgerIndex:
    """The rows as a part on disk."""
    rows = [
        {"source_key": key[0], "variant": key[1], "format": key[2], **row}
        for key, row in ledger.rows.items()
    ]
    writer = LedgerWriter(job.output, DAY, "run", 1, 0)
    writer.append(rows)
    return LedgerIndex(job.output, DAY)


def left_in_ledger(job: PartitionJob) -> set[Key]:
    return set(read_ledger(job.output, DAY).rows)


def orphans_of(job: PartitionJob, ledger: Ledger, catalogue: list[CatalogueRow]) -> Orphans:
    there = {row.source_key for row in catalogue}
    return find_orphans(job.output, DAY, index_of(job, ledger), there)


def prune(
    job: PartitionJob, ledger: Ledger, catalogue: list[CatalogueRow], root: Path | None = None
) -> int:
    if job.source.is_dir():
        for row in catalogue:
            (job.source / row.source_key).touch()
    orphans = orphans_of(job, ledger, catalogue)
    index = index_of(job, ledger)
    gone = prune_orphans(job, root or job.source, index, catalogue, orphans)
    compact_parts(job.output, DAY, index, "run", gone)
    return len(gone)


def files(job: PartitionJob) -> set[str]:
    root = job.output / "renditions" / DAY
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_renditions_whose_source_is_gone_are_listed(job: PartitionJob) -> None:
    orphans = orphans_of(job, ledger_of(job, 3), catalogue_of(0, 2))
    assert orphans.source_keys == ("1.jpg",)
    assert set(orphans.paths.values()) == {
        f"renditions/{DAY}/1.jpg/full.avif",
        f"renditions/{DAY}/1.jpg/full.webp",
    }


@pytest.mark.parametrize("status", ["rejected", "failed"])
def test_a_source_now_unreadable_or_rejected_is_no_orphan(job: PartitionJob, status: str) -> None:
    catalogue = [*catalogue_of(0), *catalogue_of(1, status=status)]
    assert orphans_of(job, ledger_of(job, 2), catalogue).source_keys == ()


def test_what_has_no_file_is_no_orphan(job: PartitionJob) -> None:
    ledger = ledger_of(job, 2)
    for format_name in FORMATS:
        (job.output / rendition_path(DAY, "1.jpg", "full", format_name)).unlink()
    assert orphans_of(job, ledger, catalogue_of(0)).source_keys == ()
    assert orphans_of(job, ledger_of(job, 2, "rejected"), catalogue_of(0)).source_keys == ()


def test_orphans_are_removed_with_their_rows_and_nothing_else(job: PartitionJob) -> None:
    ledger = ledger_of(job, 10)
    before = files(job)
    assert prune(job, ledger, catalogue_of(*range(9))) == 2
    assert before - files(job) == {"9.jpg/full.avif", "9.jpg/full.webp"}
    assert {key[0] for key in left_in_ledger(job)} == {f"{number}.jpg" for number in range(9)}


def test_only_selected_formats_are_removed(job: PartitionJob, tmp_path: Path) -> None:
    ledger = ledger_of(job, 10)
    avif_only = make_job(tmp_path, formats=("avif",))
    before = files(job)
    assert prune(avif_only, ledger, catalogue_of(*range(9))) == 1
    assert before - files(job) == {"9.jpg/full.avif"}
    assert ("9.jpg", "full", "webp") in left_in_ledger(job)


def test_a_folder_that_is_emptied_goes_with_what_a_killed_run_left_in_it(
    job: PartitionJob,
) -> None:
    ledger = ledger_of(job, 10)
    root = job.output / "renditions" / DAY
    (root / "9.jpg/.full.avif.tmp").write_bytes(b"half")
    nested = ("sub/deeper/x.jpg", "full", "avif")
    path = job.output / rendition_path(DAY, *nested)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"picture")
    kept = root / "9.jpg/other.jpg/full.avif"  # of a source below a folder of that name
    kept.parent.mkdir()
    kept.write_bytes(b"picture")
    ledger.rows[nested] = {"status": "written", "size_bytes": 7}
    forced = dataclasses.replace(job, preset=dataclasses.replace(job.preset, prune_force=True))
    assert prune(forced, ledger, catalogue_of(*range(8))) == 5
    assert not (root / "8.jpg").exists()
    assert not (root / "sub").exists()
    assert list((root / "9.jpg").iterdir()) == [kept.parent]
    assert kept.exists()


def test_a_source_that_came_back_since_the_listing_is_no_orphan(job: PartitionJob) -> None:
    ledger = ledger_of(job, 20)
    (job.source / "19.jpg").touch()  # mounted again after an old listing
    before = files(job)
    assert prune(job, ledger, catalogue_of(*range(18))) == 2
    assert before - files(job) == {"18.jpg/full.avif", "18.jpg/full.webp"}


def test_an_empty_mount_point_under_an_old_listing_stops_it_even_by_force(
    job: PartitionJob, tmp_path: Path
) -> None:
    forced = make_job(tmp_path, prune_force=True)
    ledger, catalogue = ledger_of(job, 10), catalogue_of(*range(9))
    before = files(job)
    orphans = orphans_of(job, ledger, catalogue)
    with pytest.raises(RunError, match="none of the sources that were listed is there any more"):
        prune_orphans(forced, job.source, index_of(job, ledger), catalogue, orphans)
    assert files(job) == before


def test_a_tenth_is_counted_of_what_is_selected(job: PartitionJob, tmp_path: Path) -> None:
    ledger = ledger_of(job, 10)
    avif_only = make_job(tmp_path, formats=("avif",))
    with pytest.raises(RunError, match="2 of 10 renditions would go"):
        prune(avif_only, ledger, catalogue_of(*range(8)))


def test_a_missing_source_folder_stops_it(job: PartitionJob) -> None:
    ledger = ledger_of(job, 10)
    before = files(job)
    job.source.rmdir()
    with pytest.raises(RunError, match=f"partition {DAY}.*source folder is missing"):
        prune(job, ledger, catalogue_of(*range(9)))
    orphans = orphans_of(job, ledger, catalogue_of(*range(9)))
    with pytest.raises(RunError, match="source folder is missing"):
        prune_orphans(job, None, index_of(job, ledger), catalogue_of(*range(9)), orphans)
    assert files(job) == before


def test_an_empty_listing_stops_it_even_by_force(job: PartitionJob, tmp_path: Path) -> None:
    forced = make_job(tmp_path, prune_force=True)
    before_ledger = ledger_of(job, 10)
    before = files(job)
    with pytest.raises(RunError, match="listing of its sources is empty"):
        prune(forced, before_ledger, [])
    assert files(job) == before
    assert len(before_ledger.rows) == 20


def test_an_entry_that_could_not_be_read_stops_it_even_by_force(
    job: PartitionJob, tmp_path: Path
) -> None:
    forced = make_job(tmp_path, prune_force=True)
    catalogue = [*catalogue_of(*range(8)), *catalogue_of(77, status="failed")]
    ledger = ledger_of(job, 10)
    before = files(job)
    with pytest.raises(RunError, match=r"1 entries could not be read, such as 77\.jpg"):
        prune(forced, ledger, catalogue)
    assert files(job) == before


def test_more_than_a_tenth_stops_it_with_the_numbers(job: PartitionJob) -> None:
    ledger = ledger_of(job, 10)
    before = files(job)
    with pytest.raises(RunError, match="4 of 20 renditions would go, more than 10%; prune_force"):
        prune(job, ledger, catalogue_of(*range(8)))
    assert files(job) == before
    assert len(ledger.rows) == 20
    assert not ledger.changed


def test_force_lets_it_remove_more_than_a_tenth(job: PartitionJob, tmp_path: Path) -> None:
    ledger = ledger_of(job, 10)
    assert prune(make_job(tmp_path, prune_force=True), ledger, catalogue_of(0)) == 18
    assert files(job) == {"0.jpg/full.avif", "0.jpg/full.webp"}


def test_rejections_do_not_count_as_renditions(job: PartitionJob) -> None:
    ledger = ledger_of(job, 10)
    for number in range(100, 200):
        ledger.rows[f"{number}.jpg", "full", "avif"] = {"status": "rejected"}
    with pytest.raises(RunError, match="4 of 20 renditions"):
        prune(job, ledger, catalogue_of(*range(8)))


@pytest.mark.parametrize("layout", [Layout("flat", DAY_OF_LIBRARY), Layout("%Y-%m-%d")])
def test_a_source_that_is_not_there_ends_a_pruning_run_before_the_catalogue_is_replaced(
    tmp_path: Path, layout: Layout
) -> None:
    """Else a run that is taken up again after the disk is back works from an empty listing."""
    library = Library.below(tmp_path)
    folder = layout.folder_of(library.source, DAY_OF_LIBRARY)
    prefix = f"{folder.relative_to(library.source).as_posix()}/"
    job = dataclasses.replace(library.job({"prune": True, "prune_force": True}), layout=layout)
    library.fill(2, prefix=prefix)
    compress_partition(job)
    catalogue = library.output / "tables" / "catalogue" / f"{DAY_OF_LIBRARY}.parquet"
    before = catalogue.read_bytes(), library.identities()
    library.source.rename(tmp_path / "away")
    library.source.mkdir()

    with pytest.raises(RunError, match=rf"is (missing|empty) \({folder}\)\. Nothing was removed"):
        list_sources(job)

    assert (catalogue.read_bytes(), library.identities()) == before


def test_a_day_that_never_had_a_source_has_nothing_to_prune(tmp_path: Path) -> None:
    library = Library.below(tmp_path)
    job = dataclasses.replace(library.job({"prune": True}), layout=Layout("%Y-%m-%d"))
    assert compress_partition(job).orphans == []
