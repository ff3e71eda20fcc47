import dataclasses
import os
import shutil
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from image_assets.engine.errors import RunError, SettingError
from image_assets.engine.pixels.profiles import display_p3_profile
from image_assets.engine.run.monitor import Progress
from image_assets.engine.run.partition import (
    check_folders,
    compress_partition,
    compress_shard,
    list_sources,
    plan_partition,
    publish_partition,
)
from image_assets.engine.run.result import RunRows, load_result
from image_assets.engine.storage import tables
from image_assets.engine.storage.layout import Layout
from image_assets.engine.storage.lease import hold_lease
from image_assets.engine.storage.ledger import LedgerWriter
from image_assets_tests.libraries import DAY, FILES, Library, changed, files_of, listing
from image_assets_tests.photographs import encode_photograph, save_photograph

SMALLER: dict[str, object] = {"full_px": 120, "thumbnail_px": 50}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def _save_variety(source: Path) -> None:
    """Every orientation, mode and container that the pipeline treats in a way of its own."""
    for orientation in range(1, 9):
        save_photograph(
            source / f"turned/{orientation}.jpg", orientation=orientation, seed=orientation
        )
    save_photograph(source / "wide colour.jpg", icc=display_p3_profile(), seed=9)
    save_photograph(source / "grey.jpg", mode="L", seed=10)
    save_photograph(source / "press.jpg", mode="CMYK", seed=11)
    save_photograph(source / "clear.png", mode="RGBA", format="PNG", seed=12)
    save_photograph(source / "clear.webp", mode="RGBA", format="WEBP", seed=13)
    save_photograph(source / "palette.gif", mode="P", format="GIF", seed=14)
    save_photograph(source / "deep.png", mode="I;16", format="PNG", seed=15)
    save_photograph(source / "scan.tif", format="TIFF", seed=16)
    save_photograph(source / "tiny.png", (3, 2), format="PNG", seed=17)
    save_photograph(source / "Küste/100%.jpg", (90, 200), seed=18)


def _upright(path: Path) -> Image.Image:
    """What a viewer shows of a source, as RGB on white; Pillow's own turning, not ours."""
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image)
    if turned.mode == "I;16":
        turned = turned.point(lambda value: value / 257).convert("L")
    return _on_white(turned)


def _on_white(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, "#ffffff")
    return Image.alpha_composite(ground, image).convert("RGB")


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255, at a size that forgives compression."""
    small = [image.resize((12, 12), Image.Resampling.BOX) for image in (one, other)]
    return max(ImageStat.Stat(ImageChops.difference(*small)).mean)


def test_every_rendition_opens_upright_in_its_dimensions_and_mode(library: Library) -> None:
    _save_variety(library.source)

    result = library.compress(SMALLER)

    sources = sorted(path for path in library.source.rglob("*") if path.is_file())
    assert len(sources) == result.counts.images == 18
    assert result.counts.written == len(library.rendition_paths()) == 18 * 6
    rows = {
        (row["source_key"], row["variant"], row["format"]): row
        for row in library.rows(result).renditions.to_pylist()
    }
    for source in sources:
        key = source.relative_to(library.source).as_posix().replace("%", "%25")
        shown = _upright(source)
        for variant, longest in (("full", 120), ("thumbnail", 50)):
            scale = min(1.0, longest / max(shown.size))
            size = tuple(max(1, round(side * scale)) for side in shown.size)
            for format_name, ending in (("avif", "avif"), ("webp", "webp"), ("jpeg", "jpg")):
                path = library.folder_of(key) / f"{variant}.{ending}"
                with Image.open(path) as image:
                    image.load()
                    assert image.format == format_name.upper()
                    assert image.size == size, path
                    assert image.mode in ("L", "RGB") if ending == "jpg" else ("RGB", "RGBA")
                    has_alpha = "clear" in key and ending != "jpg"
                    assert ("A" in image.getbands()) == has_alpha, path
                    assert image.getexif().get(0x0112, 1) == 1, path
                    assert "icc_profile" not in image.info, path
                    if "wide" not in key and "press" not in key and "tiny" not in key:
                        assert _difference(_on_white(image), shown) < 8, path
                row = rows[key, variant, format_name]
                assert (row["width_px"], row["height_px"]) == size
                assert row["size_bytes"] == path.stat().st_size > 0
                same_size = size == shown.size
                larger = same_size and path.stat().st_size > source.stat().st_size
                assert row["larger_than_source"] == larger, path
                assert larger or not same_size or path.stat().st_size <= source.stat().st_size


def test_a_rendition_that_outweighs_its_source_is_reported(library: Library) -> None:
    save_photograph(library.source / "squeezed.jpg", quality=5)
    save_photograph(library.source / "plain.png", format="PNG")

    result = library.compress({"full_jpeg_quality": 100, "thumbnail_px": 1000})

    source_bytes = {path.name: path.stat().st_size for path in library.source.iterdir()}
    larger = set()
    for row in library.rows(result).renditions.to_pylist():
        assert row["larger_than_source"] == (row["size_bytes"] > source_bytes[row["source_key"]])
        if row["larger_than_source"]:
            larger.add((row["source_key"], row["variant"], row["format"]))
    assert ("squeezed.jpg", "full", "jpeg") in larger
    assert ("plain.png", "full", "jpeg") not in larger
    assert result.table[-1]["larger_than_source"] == len(larger)


def test_a_second_run_writes_nothing_and_touches_no_file(library: Library) -> None:
    _save_variety(library.source)
    first = library.compress(SMALLER)
    before = library.identities()

    second = library.compress(SMALLER)

    assert second.counts.written == 0
    assert second.counts.skipped == first.counts.written == 18 * 6
    assert second.nothing_to_do
    assert second.images_per_s is None
    assert library.identities() == before
    assert library.rows(second).sources.num_rows == 0, "no image was given to a worker"
    assert (second.source_bytes, second.output_bytes) == (first.source_bytes, first.output_bytes)


def test_another_quality_of_one_rendition_makes_only_that_again(library: Library) -> None:
    keys = library.fill(4)
    library.compress()
    before = library.identities()

    result = library.compress({"full_avif_quality": 60})

    assert changed(before, library.identities()) == {f"{key}/full.avif" for key in keys}
    assert (result.counts.written, result.counts.skipped) == (4, 20)


def test_another_size_makes_what_is_resized_from_it_again_too(library: Library) -> None:
    keys = library.fill(2, (200, 150))
    library.compress()
    before = library.identities()
    library.compress({"thumbnail_px": 60})
    small = library.identities()
    assert changed(before, small) == {
        f"{key}/{name}" for key in keys for name in FILES if "thumbnail" in name
    }

    library.compress({"thumbnail_px": 60, "full_px": 100})

    assert changed(small, library.identities()) == set(small)


def test_another_preset_makes_what_differs_and_the_first_makes_it_back(library: Library) -> None:
    library.fill(3, (200, 150))
    library.compress(preset="balanced")
    first = library.rendition_bytes()
    library.compress(preset="throughput")
    assert library.rendition_bytes() != first

    library.compress(preset="balanced")

    assert library.rendition_bytes() == first


def test_a_new_date_with_the_same_bytes_makes_nothing_again(library: Library) -> None:
    keys = library.fill(3)
    library.compress()
    before = library.identities()
    os.utime(library.source / keys[1], ns=(1, 1))

    result = library.compress()

    assert library.identities() == before
    assert (result.counts.written, result.counts.skipped) == (0, 18)
    looked_at = library.rows(result).sources.to_pylist()
    assert [row["source_key"] for row in looked_at] == [keys[1]], "the bytes were compared"
    again = library.compress()
    assert library.rows(again).sources.num_rows == 0, "the new date is remembered"
    assert library.identities() == before


def test_new_bytes_of_one_source_make_that_source_again(library: Library) -> None:
    keys = library.fill(4)
    library.compress()
    before = library.identities()
    save_photograph(library.source / keys[2], (48, 32), seed=77)

    result = library.compress()

    assert changed(before, library.identities()) == files_of(keys[2])
    assert (result.counts.written, result.counts.skipped) == (6, 18)


def test_new_bytes_of_the_same_size_and_date_are_found_by_verify(library: Library) -> None:
    for name, seed in (("a.bmp", 1), ("b.bmp", 2)):
        save_photograph(library.source / name, (48, 32), format="BMP", seed=seed)
    library.compress()
    before = library.identities()
    victim = library.source / "a.bmp"
    status = victim.stat()
    save_photograph(victim, (48, 32), format="BMP", seed=3)
    os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert victim.stat().st_size == status.st_size

    trusting = library.compress()
    assert trusting.counts.written == 0
    result = library.compress({"verify": True})

    assert changed(before, library.identities()) == files_of("a.bmp")
    assert (result.counts.written, result.counts.skipped) == (6, 6)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.unlink(), id="deleted"),
        pytest.param(lambda path: path.write_bytes(b""), id="emptied"),
        pytest.param(lambda path: os.truncate(path, path.stat().st_size - 1), id="cut short"),
    ],
)
def test_a_lost_or_damaged_rendition_is_made_again_alone(
    library: Library, damage: Callable[[Path], None]
) -> None:
    keys = library.fill(3)
    library.compress()
    bytes_before, before = library.rendition_bytes(), library.identities()
    damage(library.folder_of(keys[1]) / "thumbnail.webp")

    result = library.compress()

    assert (result.counts.written, result.counts.skipped) == (1, 17)
    assert library.rendition_bytes() == bytes_before
    assert changed(before, library.identities()) == {f"{keys[1]}/thumbnail.webp"}


def test_a_new_source_is_the_only_one_compressed(library: Library) -> None:
    library.fill(3)
    library.compress()
    before = library.identities()
    save_photograph(library.source / "new.jpg", (48, 32), seed=50)

    result = library.compress()

    assert changed(before, library.identities()) == files_of("new.jpg")
    assert (result.counts.images, result.counts.written, result.counts.skipped) == (4, 6, 18)


@pytest.mark.parametrize(
    ("variants", "formats", "names"),
    [
        (("thumbnail",), ("avif",), {"thumbnail.avif"}),
        (("thumbnail",), None, {"thumbnail.avif", "thumbnail.jpg", "thumbnail.webp"}),
        (None, ("jpeg", "webp"), {name for name in FILES if "avif" not in name}),
    ],
)
def test_a_subset_run_writes_only_what_was_selected_with_the_bytes_of_a_whole_run(
    tmp_path: Path,
    library: Library,
    variants: tuple[str, ...] | None,
    formats: tuple[str, ...] | None,
    names: set[str],
) -> None:
    keys = library.fill(2, (200, 150))
    whole = Library(library.source, tmp_path / "whole")
    whole.compress(SMALLER)

    result = library.compress(SMALLER, variants=variants, formats=formats)

    assert set(library.rendition_paths()) == {f"{key}/{name}" for key in keys for name in names}
    assert result.counts.written == result.renditions_expected == 2 * len(names)
    rest = library.compress(SMALLER)
    assert (rest.counts.written, rest.counts.skipped) == (12 - 2 * len(names), 2 * len(names))
    assert library.rendition_bytes() == whole.rendition_bytes()


def test_a_subset_run_leaves_what_is_not_selected_alone(library: Library) -> None:
    keys = library.fill(2)
    library.compress()
    before = library.identities()
    other: dict[str, object] = {"full_avif_quality": 50, "full_jpeg_quality": 50}

    library.compress(other, variants=("full",), formats=("jpeg",))

    assert changed(before, library.identities()) == {f"{key}/full.jpg" for key in keys}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library compressed in one go, read only."""
    library = Library.below(tmp_path_factory.mktemp("reference"))
    library.fill(6, (160, 120))
    # Large enough that encoder threads would divide it.
    save_photograph(library.source / "large.jpg", (1200, 900), seed=20)
    save_photograph(library.source / "clear.png", mode="RGBA", format="PNG", seed=21)
    library.compress()
    return library


@pytest.mark.parametrize(
    "overrides",
    [
        {"max_workers": 1},
        {"max_workers": 3, "chunk_size": 1},
        {"max_workers": 1, "chunk_size": 100},
        {"chunk_size": 3, "chunk_bytes": 5_000},
        {"images_per_shard": 3},
        {"avif_threads": 4},
        {"memory_budget_bytes": 320_000_000},
    ],
    ids=lambda overrides: ", ".join(f"{key}={value}" for key, value in overrides.items()),
)
def test_outputs_are_the_same_bytes_however_the_work_is_divided(
    tmp_path: Path, reference: Library, overrides: dict[str, object]
) -> None:
    library = Library(reference.source, tmp_path / "output")

    result = library.compress(overrides)

    assert result.counts.written == 8 * 6
    assert library.rendition_bytes() == reference.rendition_bytes()
    assert library.compress().counts.skipped == 8 * 6, "how it was divided is no part of a recipe"


def test_outputs_are_the_same_bytes_in_another_order(
    tmp_path: Path, library: Library, reference: Library
) -> None:
    originals = sorted(reference.source.iterdir())
    new_names = {}
    for index, path in enumerate(originals):
        name = f"{len(originals) - index:02d}{path.suffix}"
        shutil.copy(path, library.source / name)
        new_names[path.name] = name

    library.compress({"max_workers": 1, "chunk_size": 100})

    found = library.rendition_bytes()
    for name, content in reference.rendition_bytes().items():
        key, _, rendition = name.rpartition("/")
        assert found[f"{new_names[key]}/{rendition}"] == content


def test_shards_share_the_work_without_overlap(library: Library) -> None:
    keys = library.fill(7)
    job = library.job({"images_per_shard": 3})
    plan = plan_partition(job)

    assert plan.shards == 3
    shards = [compress_shard(job, plan, index) for index in reversed(range(plan.shards))]
    result = publish_partition(job, plan, shards)

    assert result.counts.written == 7 * 6
    assert sorted(row["source_key"] for row in library.rows(result).sources.to_pylist()) == keys


def test_bad_images_are_rows_and_never_end_the_night(library: Library) -> None:
    keys = library.fill(5)
    good = encode_photograph(seed=1)
    bad = {
        "bad/empty.jpg": (b"", "empty"),
        "bad/page.jpg": (b"<html><body>404</body></html>", "not_an_image"),
        "bad/noise.png": (bytes(range(256)), "not_an_image"),
        "bad/paper.jpg": (b"%PDF-1.7", "unsupported_format"),
        "bad/cut.jpg": (good[: len(good) // 2], "truncated"),
        "bad/header.png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "corrupt"),
    }
    for name, (content, _) in bad.items():
        path = library.source / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    # One worker: what comes after a bad image is done by the process that had it.
    result = library.compress({"max_workers": 1})

    assert {item.source_key: (item.status, item.reason) for item in result.not_compressed} == {
        name: ("rejected", reason) for name, (_, reason) in bad.items()
    }
    assert all(item.message.endswith(".") for item in result.not_compressed)
    assert result.counts.images == 11
    assert (result.counts.written, result.counts.rejected, result.counts.failed) == (30, 6, 0)
    assert result.renditions == result.renditions_expected == 30
    assert set(library.rendition_paths()) == {f"{k}/{name}" for k in keys for name in FILES}
    rejected = library.by_status(result)["rejected"]
    assert len(rejected) == 6 * 6, "one row per rendition that is not there"


@pytest.mark.parametrize(
    ("limit", "low", "high", "reason"),
    [
        ("max_pixels", 240 * 160 - 1, 240 * 160, "too_many_pixels"),
        ("max_source_bytes", 2_000, 1_000_000, "file_too_large"),
    ],
)
def test_a_rejection_by_a_limit_is_remembered_until_the_limit_changes(
    library: Library, limit: str, low: int, high: int, reason: str
) -> None:
    library.fill(2)
    save_photograph(library.source / "large.jpg", (240, 160), seed=9)
    first = library.compress({limit: low})
    assert [bad.reason for bad in first.not_compressed] == [reason]

    second = library.compress({limit: low})
    assert second.not_compressed == first.not_compressed
    assert second.counts.rejected == 1
    assert library.rows(second).sources.num_rows == 0, "it was not looked at again"

    third = library.compress({limit: high})
    assert third.not_compressed == []
    assert (third.counts.written, third.counts.skipped) == (6, 12)


def test_a_rejection_is_remembered_until_the_bytes_change(library: Library) -> None:
    path = library.source / "cut.jpg"
    good = encode_photograph((48, 32))
    path.write_bytes(good[: len(good) - 200])
    first = library.compress()
    second = library.compress()
    assert [bad.reason for bad in first.not_compressed] == ["truncated"]
    assert second.not_compressed == first.not_compressed
    assert library.rows(first).sources.num_rows == 1
    assert library.rows(second).sources.num_rows == 0

    path.write_bytes(good)

    assert library.compress().counts.written == 6


def test_a_source_that_turns_bad_keeps_its_renditions(library: Library) -> None:
    keys = library.fill(2)
    library.compress()
    before = library.identities()
    (library.source / keys[0]).write_bytes(b"no longer an image")

    result = library.compress()

    assert [bad.source_key for bad in result.not_compressed] == [keys[0]]
    assert library.identities() == before


def test_an_image_beyond_the_whole_machine_is_rejected_by_name_and_not_remembered(
    library: Library,
) -> None:
    keys = library.fill(2)
    side = (1_000_000).to_bytes(4, "big")
    header = b"IHDR" + side + side + b"\x08\x02\x00\x00\x00"
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    (library.source / "vast.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            (len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks
        )
    )

    result = library.compress({"max_pixels": 10**13})

    [bad] = result.not_compressed
    assert (bad.source_key, bad.status) == ("vast.png", "rejected")
    assert bad.reason == "needs_too_much_memory"
    assert result.counts.written == len(keys) * 6
    again = library.compress({"max_pixels": 10**13})
    looked_at = [row["source_key"] for row in library.rows(again).sources.to_pylist()]
    assert looked_at == ["vast.png"], "another machine, or this one tomorrow, may have the memory"


def test_a_source_that_vanished_after_the_listing_is_a_row_and_tried_again(
    library: Library,
) -> None:
    keys = library.fill(3)
    away = library.source.parent / "away.jpg"
    job = library.job()
    plan = plan_partition(job)
    (library.source / keys[1]).rename(away)

    result = publish_partition(job, plan, [compress_shard(job, plan)])

    [bad] = result.not_compressed
    assert (bad.source_key, bad.status, bad.reason) == (keys[1], "failed", "vanished")
    assert (result.counts.images, result.counts.written, result.counts.failed) == (3, 12, 1)
    away.rename(library.source / keys[1])
    again = library.compress()
    assert (again.counts.written, again.counts.skipped, again.counts.failed) == (6, 12, 0)


def test_a_source_that_became_unreadable_is_a_row_and_tried_again(library: Library) -> None:
    keys = library.fill(2)
    job = library.job()
    plan = plan_partition(job)
    # What is a link by now is not followed, so it cannot be read, by root neither.
    original = library.source.parent / "original.jpg"
    (library.source / keys[0]).rename(original)
    (library.source / keys[0]).symlink_to(original)

    result = publish_partition(job, plan, [compress_shard(job, plan)])

    [bad] = result.not_compressed
    assert (bad.source_key, bad.status, bad.reason) == (keys[0], "failed", "unreadable")
    (library.source / keys[0]).unlink()
    original.rename(library.source / keys[0])
    assert library.compress().counts.written == 6


def test_the_source_is_never_written(library: Library) -> None:
    _save_variety(library.source)
    (library.source / "empty folder").mkdir()
    (library.source / "note.txt").write_text("not an image")
    before = listing(library.source)

    library.compress(SMALLER)
    library.compress({**SMALLER, "full_jpeg_quality": 50, "prune": True, "verify": True})

    assert listing(library.source) == before


def test_sources_of_one_stem_and_of_folder_like_names_do_not_share_renditions(
    library: Library,
) -> None:
    names = ["a.jpg", "a.png", "a.jpg.jpg", "b/full.avif.jpg", "b.jpg"]
    for seed, name in enumerate(names):
        save_photograph(library.source / name, (48, 32), seed=seed)

    result = library.compress()

    assert result.counts.written == len(names) * 6 == len(library.rendition_paths())
    contents = {library.folder_of(name).joinpath("full.webp").read_bytes() for name in names}
    assert len(contents) == len(names)


def test_the_renditions_of_a_source_that_is_gone_are_listed_and_kept(library: Library) -> None:
    keys = library.fill(3)
    library.compress()
    before = library.identities()
    (library.source / keys[0]).unlink()

    result = library.compress()

    assert result.orphans == [keys[0]]
    assert (result.counts.images, result.counts.skipped) == (2, 12)
    assert library.identities() == before


def test_prune_removes_the_renditions_of_a_source_that_is_gone(library: Library) -> None:
    keys = library.fill(3)
    library.compress()
    before = library.identities()
    (library.source / keys[0]).unlink()
    with pytest.raises(RunError, match="prune_force"):
        library.compress({"prune": True})
    assert library.identities() == before, "a third of all is too much to remove unasked"

    library.compress({"prune": True, "prune_force": True})

    assert changed(before, library.identities()) == files_of(keys[0])
    assert library.compress().orphans == []


def test_an_empty_source_is_a_run_that_has_nothing_to_do(library: Library) -> None:
    result = library.compress()

    assert result.counts.images == 0
    assert result.nothing_to_do
    assert library.rendition_paths() == {}


def test_a_day_is_one_folder_of_a_source_that_has_day_folders(library: Library) -> None:
    save_photograph(library.source / "2015-06-01/a.jpg", (48, 32))
    save_photograph(library.source / "2015-06-02/b.jpg", (48, 32))
    job = library.job()
    day = type(job)(
        **{
            **{name: getattr(job, name) for name in job.__dataclass_fields__},
            "layout": Layout("%Y-%m-%d"),
        }
    )

    result = compress_partition(day)

    assert result.counts.images == 1
    assert set(library.rendition_paths()) == files_of("a.jpg")


@pytest.mark.parametrize("linked", ["2015/06/01", "2015"])
def test_a_day_folder_that_is_a_link_is_refused_unless_links_are_followed(
    library: Library, tmp_path: Path, linked: str
) -> None:
    elsewhere = tmp_path / "another disk"
    save_photograph(elsewhere / Path("2015/06/01").relative_to(linked) / "a.jpg", (48, 32))
    link = library.source / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    layout = Layout("%Y/%m/%d")

    with pytest.raises(SettingError, match=r"a day folder that is no link.*another disk"):
        compress_partition(dataclasses.replace(library.job(), layout=layout))
    followed = compress_partition(
        dataclasses.replace(library.job({"follow_links": True}), layout=layout)
    )

    assert followed.counts.images == 1
    assert set(library.rendition_paths()) == files_of("a.jpg")


def test_masters_are_lossless_and_made_only_where_asked_for(library: Library) -> None:
    save_photograph(library.source / "a.png", (100, 80), format="PNG", seed=4)
    library.compress()
    assert not any("master" in name for name in library.rendition_paths())

    result = library.compress({"keep_masters": True})

    assert (result.counts.written, result.counts.skipped) == (2, 6)
    with (
        Image.open(library.folder_of("a.png") / "full.master.webp") as master,
        Image.open(library.source / "a.png") as original,
    ):
        assert master.convert("RGB").tobytes() == original.convert("RGB").tobytes()


def test_progress_counts_every_image_up_to_the_total(library: Library) -> None:
    library.fill(5)
    (library.source / "bad.jpg").write_bytes(b"no image")
    seen: list[Progress] = []

    library.compress(on_progress=seen.append)

    # The bad one is known from the listing: it needs no work and counts from the start.
    assert [progress.done for progress in seen] == [2, 3, 4, 5, 6]
    assert {progress.total for progress in seen} == {6}
    assert {(progress.rejected, progress.failed) for progress in seen} == {(1, 0)}
    assert seen[-1].source_bytes == sum(
        path.stat().st_size for path in library.source.glob("0*.jpg")
    )
    assert seen[-1].output_bytes == sum(
        path.stat().st_size for path in library.rendition_paths().values()
    )


def test_a_partition_that_another_run_holds_is_refused_with_one_sentence(
    library: Library,
) -> None:
    library.fill(1)
    with (
        hold_lease(library.output, DAY, "the-other-run", 0),
        pytest.raises(RunError, match="the-other-run is compressing it") as caught,
    ):
        library.compress()

    assert "\n" not in str(caught.value)
    assert library.rendition_paths() == {}
    assert library.compress().counts.written == 6


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "bit", "gone"])
def test_a_damaged_ledger_is_rebuilt_from_what_can_be_verified(
    library: Library, damage: str
) -> None:
    """On disk afterwards: the same files, a whole ledger, the damaged part set aside."""
    keys = library.fill(4)
    library.compress()
    first, before = library.rendition_bytes(), library.identities()
    [part] = (library.output / "tables/ledger" / DAY).glob("part-*.parquet")
    data = part.read_bytes()
    if damage == "gone":
        part.unlink()
    else:
        part.write_bytes(
            {
                "cut": data[: len(data) // 2],
                "garbage": b"PAR1" + bytes(1000) + b"PAR1",
                "empty": b"",
                "bit": data[:900] + bytes([data[900] ^ 1]) + data[901:],
            }[damage]
        )
    # Bytes that are not what a run recorded, though of the same length: nobody may trust them.
    touched = library.folder_of(keys[0]) / "full.webp"
    touched.write_bytes(touched.read_bytes()[:-1] + b"?")
    (library.folder_of(keys[1]) / "thumbnail.jpg").unlink()

    result = library.compress()

    [message] = result.messages
    assert "22 renditions are taken back" in message
    assert "2 are made again" in message
    assert (result.counts.skipped, result.counts.written) == (22, 2)
    assert library.rendition_bytes() == first
    assert len(changed(before, library.identities())) == 2
    damaged = list((library.output / "tables/ledger" / DAY).glob("*.damaged"))
    assert len(damaged) == (0 if damage == "gone" else 1)
    again = library.compress()
    assert (again.counts.skipped, again.messages) == (24, [])


def test_what_a_damaged_part_may_have_replaced_is_not_trusted_either(library: Library) -> None:
    library.fill(2)
    library.compress()
    library.compress({"full_webp_quality": 60})
    [part] = (library.output / "tables/ledger" / DAY).glob("part-*.parquet")
    part.write_bytes(b"")
    older = tables.read(
        sorted((library.output / "tables/outcomes" / DAY).glob("*/renditions-*.parquet"))[0],
        tables.OUTCOMES,
    )
    LedgerWriter(library.output, DAY, "older", 1, 0).append(older.to_pylist())

    result = library.compress()

    assert result.counts.written == 2, "the older part speaks of files that are others by now"
    assert {row["quality"] for row in _of(library.rows(result), "full", "webp")} == {80}


def _of(rows: RunRows, variant: str, format_name: str) -> list[dict[str, Any]]:
    return [
        row
        for row in rows.renditions.to_pylist()
        if (row["variant"], row["format"]) == (variant, format_name)
    ]


@pytest.mark.parametrize("table", ["catalogue", "variants"])
def test_a_damaged_table_beside_the_ledger_is_written_anew(library: Library, table: str) -> None:
    library.fill(2)
    library.compress()
    path = library.output / f"tables/{table}/{DAY}.parquet"

    def said() -> list[tuple[Any, ...]]:
        rows = tables.read(path).drop_columns(["resize_ms"] if table == "variants" else [])
        return sorted(tuple(row.values()) for row in rows.to_pylist())

    before = said()
    path.write_bytes(b"PAR1 no more")

    for formats in (("webp",), ("avif", "jpeg", "webp")):
        assert library.compress(formats=formats).counts.written == 0
        assert said() == before


def test_verify_reads_renditions_too_and_makes_again_what_was_changed(library: Library) -> None:
    keys = library.fill(2)
    library.compress()
    first = library.rendition_bytes()
    touched = library.folder_of(keys[0]) / "full.avif"
    touched.write_bytes(touched.read_bytes()[:-1] + b"?")
    assert library.compress().counts.written == 0, "of the recorded size, it is not read"

    result = library.compress({"verify": True})

    assert f"{keys[0]}/full/avif" in library.by_status(result)["written"]
    assert not any(name.startswith(keys[1]) for name in library.by_status(result)["written"])
    assert library.rendition_bytes() == first


def test_finished_chunks_are_kept_when_the_run_ends_early(library: Library) -> None:
    library.fill(8)

    def stop(progress: Progress) -> None:
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.compress({"max_workers": 1, "chunk_size": 2}, on_progress=stop)

    again = library.compress()
    assert again.counts.skipped == 5 * 6, "two chunks, and what the third had finished"
    assert again.counts.written == 3 * 6


@pytest.mark.parametrize(
    ("source", "output", "sentence"),
    [
        ("missing", "output", "existing source folder"),
        ("file", "output", "existing source folder"),
        ("source", "source", "outside the source"),
        ("source", "source/output", "outside the source"),
        ("source", "link/output", "outside the source"),
        ("output/source", "output", "outside the output"),
        ("source", "file", "an output folder"),
        ("source", "file/output", "can be written"),
        ("other/renditions/2015-06-01", "output", "a source folder of originals.*other"),
        ("other", "output", "a source folder of originals"),
        ("renditions by link", "output", "a source folder of originals"),
        ("source", "other/below", "outside the output .*other"),
        ("source", "originals", "an empty folder or an output of image_assets.*'a.jpg' and 1 more"),
        ("source", "originals by link", "an empty folder or an output of image_assets"),
    ],
)
def test_folders_that_cannot_work_are_refused_before_anything_is_written(
    tmp_path: Path, source: str, output: str, sentence: str
) -> None:
    save_photograph(tmp_path / "source/a.jpg", (48, 32))
    save_photograph(tmp_path / "output/source/a.jpg", (48, 32))
    for name in ("a.jpg", "b.jpg"):
        save_photograph(tmp_path / "originals" / name, (48, 32))
    save_photograph(tmp_path / "other/renditions/2015-06-01/a.jpg/full.jpg", (48, 32))
    (tmp_path / "other/tables").mkdir()
    (tmp_path / "other/tables/layout.json").write_text("{}")
    (tmp_path / "renditions by link").symlink_to(tmp_path / "other/renditions")
    (tmp_path / "originals by link").symlink_to(tmp_path / "originals")
    (tmp_path / "link").symlink_to(tmp_path / "source")
    (tmp_path / "file").write_text("a file")
    before = listing(tmp_path)

    with pytest.raises(SettingError, match=sentence) as caught:
        check_folders(tmp_path / source, tmp_path / output)

    assert "\n" not in str(caught.value)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["lost+found", ".hidden", "web", "renditions", "tables"])
def test_an_output_may_hold_what_a_disk_or_a_run_puts_there(library: Library, name: str) -> None:
    (library.output / name).mkdir(parents=True)
    check_folders(library.source, library.output)


def test_an_output_of_ours_may_hold_what_a_person_adds(library: Library) -> None:
    library.fill(1)
    library.compress()
    (library.output / "README.txt").write_text("Renditions. Do not edit.")
    assert library.compress().counts.skipped == 6


def test_a_day_that_is_a_link_to_renditions_is_refused(library: Library, tmp_path: Path) -> None:
    other = Library.below(tmp_path, "other ")
    other.fill(1)
    other.compress()
    (library.source / DAY).symlink_to(other.output / "renditions" / DAY)
    with pytest.raises(SettingError, match=r"a source folder of originals.*other output"):
        compress_partition(dataclasses.replace(library.job(), layout=Layout("%Y-%m-%d")))


def test_runs_that_begin_at_once_do_not_disturb_each_other_at_the_checks(
    library: Library,
) -> None:
    library.fill(3)
    failures: list[BaseException] = []

    def check() -> None:
        try:
            for _ in range(20):
                check_folders(library.source, library.output)
                list_sources(library.job())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert [row.source_key for row in list_sources(library.job())] == ["00.jpg", "01.jpg", "02.jpg"]
    assert list(library.output.rglob("*.tmp")) == []


def test_a_memory_budget_below_one_image_is_a_wrong_setting(library: Library) -> None:
    library.fill(1)

    with pytest.raises(SettingError, match="memory budget of at least"):
        library.compress({"memory_budget_bytes": 200_000_000})

    assert library.rendition_paths() == {}


def test_every_table_of_a_run_carries_the_schema_version(library: Library) -> None:
    library.fill(1)
    library.compress()

    found = sorted((library.output / "tables").rglob("*.parquet"))

    assert {path.relative_to(library.output / "tables").parts[0] for path in found} == {
        "catalogue",
        "ledger",
        "outcomes",
        "performance",
        "variants",
    }
    for path in found:
        assert tables.read(path).schema.metadata[b"schema_version"] == b"2", path


# Columns that schema version 2 added; in version 1 recipes had other digests too.
ADDED = {
    *("source_frames", "sha256", "lossless", "frames", "content", "colour_note", "note"),
    *("attempts", "failing_since_run", "orientation"),
}


def _as_version_1(path: Path) -> None:
    table = tables.read(path)
    kept = table.select([name for name in table.schema.names if name not in ADDED])
    if "recipe_digest" in kept.schema.names:
        place = kept.schema.names.index("recipe_digest")
        other = pc.binary_join_element_wise("old", kept.column(place), "")
        kept = kept.set_column(place, kept.schema.field(place), other)
    metadata = {**(table.schema.metadata or {}), b"schema_version": b"1"}
    pq.write_table(kept.replace_schema_metadata(metadata), path)


def test_the_output_of_the_version_before_is_made_anew_once_and_its_results_are_read(
    library: Library,
) -> None:
    keys = library.fill(3)
    (library.source / "cut.jpg").write_bytes(encode_photograph()[:-200])
    before = library.compress()
    for path in (library.output / "tables").rglob("*.parquet"):
        _as_version_1(path)

    again = library.compress()
    assert (again.counts.written, again.counts.rejected) == (len(keys) * len(FILES), 1)
    assert (again.counts.failed, again.messages, again.orphans) == (0, [], [])
    assert library.compress().counts.skipped == len(keys) * len(FILES)
    assert load_result(library.output, DAY, before.run_id) == before
    assert library.rows(before).renditions.num_rows == 4 * len(FILES)


def test_the_listing_of_an_hour_without_the_disk_is_not_taken_for_the_day(library: Library) -> None:
    library.fill(3)
    away = library.source.rename(library.source.with_name("away"))
    library.source.mkdir()  # what is left of a disk that is not mounted
    assert library.compress().counts.images == 0
    library.source.rmdir()
    away.rename(library.source)

    later = dataclasses.replace(library.job(), relist=False)
    assert len(list_sources(later)) == 3
