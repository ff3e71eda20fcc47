import os
import shutil
from pathlib import Path

import pytest

from image_assets.engine.catalogue import (
    CatalogueRow,
    absolute_path,
    build_catalogue,
    read_catalogue,
)
from image_assets.engine.errors import RunError
from image_assets_tests.photographs import save_photograph

DAY = "2015-01-02"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def by_key(rows: list[CatalogueRow]) -> dict[str, CatalogueRow]:
    return {row.source_key: row for row in rows}


def test_every_source_is_a_row_good_or_rejected_with_its_reason(source: Path, output: Path) -> None:
    good = save_photograph(source / "trip" / "good.jpg")
    (source / "empty.jpg").write_bytes(b"")
    (source / "notes.txt").write_text("what I saw")
    (source / "paper.pdf").write_bytes(b"%PDF-1.7 ...")
    rows = build_catalogue(source, output, DAY)
    assert [row.source_key for row in rows] == [
        "empty.jpg",
        "notes.txt",
        "paper.pdf",
        "trip/good.jpg",
    ]
    assert [(row.status, row.reason) for row in rows] == [
        ("rejected", "empty"),
        ("rejected", "not_an_image"),
        ("rejected", "unsupported_format"),
        ("found", None),
    ]
    assert rows[-1].size_bytes == good.stat().st_size
    assert rows[-1].mtime_ns == good.stat().st_mtime_ns
    assert all(row.message for row in rows[:-1])


def test_content_decides_whatever_the_extension_says(source: Path, output: Path) -> None:
    save_photograph(source / "really a png.jpg", format="PNG")
    (row,) = build_catalogue(source, output, DAY)
    assert (row.status, row.source_format) == ("found", "PNG")


def test_the_stored_catalogue_says_the_same(source: Path, output: Path) -> None:
    assert read_catalogue(output, DAY) is None
    save_photograph(source / "100 %.jpg")
    (source / os.fsdecode(b"caf\xe9\n.jpg")).write_bytes(b"")
    rows = build_catalogue(source, output, DAY)
    assert read_catalogue(output, DAY) == rows
    assert set(by_key(rows)) == {"100 %25.jpg", "caf%E9%0A.jpg"}
    for row in rows:
        assert absolute_path(source, row.source_key).is_file()


def test_a_partition_without_a_folder_has_an_empty_catalogue(output: Path) -> None:
    assert build_catalogue(None, output, DAY) == []
    assert read_catalogue(output, DAY) == []


def test_a_missing_folder_ends_the_run_and_keeps_the_last_catalogue(
    source: Path, output: Path
) -> None:
    save_photograph(source / "a.jpg")
    rows = build_catalogue(source, output, DAY)
    shutil.rmtree(source)
    with pytest.raises(RunError, match=str(source)):
        build_catalogue(source, output, DAY)
    assert read_catalogue(output, DAY) == rows


def test_links_and_fifos_are_no_sources(source: Path, output: Path) -> None:
    photo = save_photograph(source / "a.jpg")
    (source / "link.jpg").symlink_to(photo)
    os.mkfifo(source / "fifo.jpg")
    assert list(by_key(build_catalogue(source, output, DAY))) == ["a.jpg"]


def test_a_file_of_the_same_size_and_date_is_not_looked_at_again(
    source: Path, output: Path
) -> None:
    path = save_photograph(source / "a.jpg")
    first = build_catalogue(source, output, DAY)
    status = path.stat()
    path.write_bytes(b"x" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build_catalogue(source, output, DAY) == first


@pytest.mark.parametrize("change", ["date", "size"])
def test_a_changed_file_is_looked_at_again(source: Path, output: Path, change: str) -> None:
    path = save_photograph(source / "a.jpg")
    build_catalogue(source, output, DAY)
    status = path.stat()
    later = 1 if change == "date" else 0
    path.write_bytes(b"x" * (status.st_size + 1 - later))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + later))
    (row,) = build_catalogue(source, output, DAY)
    assert (row.status, row.reason) == ("rejected", "not_an_image")


def test_a_source_that_is_gone_leaves_the_catalogue(source: Path, output: Path) -> None:
    save_photograph(source / "a.jpg")
    save_photograph(source / "b.jpg", seed=1)
    build_catalogue(source, output, DAY)
    (source / "a.jpg").unlink()
    assert list(by_key(build_catalogue(source, output, DAY))) == ["b.jpg"]


def test_a_damaged_catalogue_ends_the_run_by_name(source: Path, output: Path) -> None:
    save_photograph(source / "a.jpg")
    build_catalogue(source, output, DAY)
    (path,) = (output / "tables" / "catalogue").iterdir()
    path.write_bytes(b"damaged")
    with pytest.raises(RunError, match=path.name):
        read_catalogue(output, DAY)
