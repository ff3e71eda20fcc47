import hashlib
import os
import shutil
from pathlib import Path

import pytest

from image_assets.engine.errors import RunError, SettingError
from image_assets.engine.library.catalogue import (
    CatalogueRow,
    build_catalogue,
    read_catalogue,
)
from image_assets.engine.storage.naming import source_path
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
        assert (source / source_path(row.source_key)).is_file()


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


def test_links_and_fifos_are_rows_that_say_so(source: Path, output: Path) -> None:
    photo = save_photograph(source / "a.jpg")
    (source / "link.jpg").symlink_to(photo)
    os.mkfifo(source / "fifo.jpg")
    found = by_key(build_catalogue(source, output, DAY))
    assert {key: (row.status, row.reason) for key, row in found.items()} == {
        "a.jpg": ("found", None),
        "fifo.jpg": ("rejected", "not_a_file"),
        "link.jpg": ("rejected", "link"),
    }
    assert str(photo) in (found["link.jpg"].message or "")
    followed = by_key(build_catalogue(source, output, DAY, follow_links=True))
    assert (followed["link.jpg"].status, followed["link.jpg"].size_bytes) == (
        "found",
        photo.stat().st_size,
    )
    again = by_key(build_catalogue(source, output, DAY))
    assert again["link.jpg"].status == "rejected"


@pytest.mark.parametrize(
    ("data", "reason", "words"),
    [
        (b"", "empty", "empty"),
        (b"<!DOCTYPE html><title>404</title>", "not_an_image", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "unsupported_format", "Git LFS"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format", "SVG"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "unsupported_format", "video"),
        (b"%PDF-1.7", "unsupported_format", "PDF"),
        (bytes(range(256)) * 5000, "not_an_image", "no image format"),
    ],
)
def test_a_rejected_file_has_its_reason_a_sentence_its_size_and_its_sha256(
    source: Path, output: Path, data: bytes, reason: str, words: str
) -> None:
    (source / "photo.jpg").write_bytes(data)
    (row,) = build_catalogue(source, output, DAY)
    assert (row.status, row.reason, row.size_bytes) == ("rejected", reason, len(data))
    assert words in (row.message or "")
    assert row.sha256 == hashlib.sha256(data).hexdigest()


def test_a_rejected_file_is_looked_at_again_but_not_hashed_again(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "photo.xyz").write_bytes(b"a format of tomorrow")
    (first,) = build_catalogue(source, output, DAY)

    def refuse(*_: object) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr("image_assets.engine.storage.store.LocalStore.sha256", refuse)
    assert build_catalogue(source, output, DAY) == [first]
    # A decoder has come.
    monkeypatch.setattr("image_assets.engine.library.catalogue.sniff", lambda _prefix: "XYZ")
    (row,) = build_catalogue(source, output, DAY)
    assert (row.status, row.source_format) == ("found", "XYZ")


def test_the_output_of_a_run_below_the_source_is_refused_by_name(
    source: Path, output: Path
) -> None:
    save_photograph(source / "a.jpg")
    foreign = source / "backup" / "renditions of last year"
    (foreign / "tables").mkdir(parents=True)
    (foreign / "tables" / "layout.json").write_text("{}")
    with pytest.raises(SettingError, match="renditions of last year"):
        build_catalogue(source, output, DAY)
    assert read_catalogue(output, DAY) is None


def test_the_output_of_a_run_is_not_reached_through_a_followed_link(
    source: Path, output: Path
) -> None:
    save_photograph(source / "a.jpg")
    (output / "tables").mkdir(parents=True)
    (output / "tables" / "layout.json").write_text("{}")
    (source / "shared").symlink_to(output)
    assert by_key(build_catalogue(source, output, DAY))["shared"].reason == "link"
    with pytest.raises(SettingError, match="shared"):
        build_catalogue(source, output, DAY, follow_links=True)


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
