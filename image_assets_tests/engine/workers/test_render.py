import hashlib
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import blurhash
import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from image_assets.engine.pixels import profiles
from image_assets.engine.pixels.colour import to_srgb
from image_assets.engine.pixels.resize import resize
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets.engine.run.partition import plan_partition, recipe_digests, render_setup
from image_assets.engine.storage.tables import STAGES
from image_assets.engine.workers.render import (
    RenderSetup,
    SourceResult,
    SourceTask,
    Stopwatch,
    TooDearError,
    describe,
    refuse,
    render_source,
)
from image_assets_tests.libraries import Library, files_of
from image_assets_tests.photographs import (
    COPYRIGHT,
    GPS_MARK,
    camera_exif,
    drawing,
    picture,
    save_photograph,
)

PLENTY_BYTES = 1_000_000_000


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def _setup(library: Library, overrides: dict[str, object] | None = None) -> RenderSetup:
    job = library.job(overrides)
    return render_setup(job, plan_partition(job), recipe_digests(job))


def _task(library: Library, key: str, *pairs: tuple[str, str]) -> SourceTask:
    path = library.source / key
    size = path.stat().st_size if path.exists() else 100
    return SourceTask(key, size, pairs or tuple(library.job().wanted()))


def _render(library: Library, key: str, overrides: dict[str, object] | None = None) -> SourceResult:
    return render_source(_task(library, key), _setup(library, overrides), PLENTY_BYTES)


def test_one_decode_feeds_every_variant_and_format(library: Library) -> None:
    path = save_photograph(library.source / "a.jpg", (300, 200))

    result = _render(library, "a.jpg", {"full_px": 150, "thumbnail_px": 60})

    assert set(library.rendition_paths()) == files_of("a.jpg")
    assert len(result.outcomes) == 6
    sizes = {(row["variant"], row["width_px"], row["height_px"]) for row in result.outcomes}
    assert sizes == {("full", 150, 100), ("thumbnail", 60, 40)}
    source = result.source
    assert (source["source_width_px"], source["source_height_px"]) == (300, 200)
    assert source["source_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source["source_format"], source["source_mode"]) == ("JPEG", "RGB")
    assert source["source_mtime_ns"] == path.stat().st_mtime_ns


def test_a_row_says_what_was_asked_for_and_what_the_encoder_was_told(library: Library) -> None:
    save_photograph(library.source / "a.jpg", (300, 200))

    result = _render(library, "a.jpg", {"full_avif_quality": 70, "full_webp_quality": 33})

    rows = {(row["variant"], row["format"]): row for row in result.outcomes}
    avif, webp = rows["full", "avif"], rows["full", "webp"]
    assert (avif["quality"], avif["encoder"]) == (70, "svt")
    assert avif["native_quality"] != 70, "another encoder, another scale"
    assert (webp["quality"], webp["native_quality"], webp["encoder"]) == (33, 33, "libwebp")
    assert all(re.fullmatch(r"[0-9a-f]{16}", row["recipe_digest"]) for row in rows.values())
    assert len({row["recipe_digest"] for row in rows.values()}) == 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_renditions_are_upright_whatever_the_orientation(
    library: Library, orientation: int
) -> None:
    path = save_photograph(library.source / "a.jpg", (120, 80), orientation=orientation)

    result = _render(library, "a.jpg")

    with Image.open(path) as image:
        shown = ImageOps.exif_transpose(image).convert("RGB")
    assert result.source["source_width_px"] == shown.width
    with Image.open(library.folder_of("a.jpg") / "full.webp") as rendition:
        assert rendition.size == shown.size
        difference = ImageChops.difference(rendition.convert("RGB"), shown)
    assert max(ImageStat.Stat(difference).mean) < 6
    assert max(ImageStat.Stat(ImageChops.difference(shown, ImageOps.flip(shown))).mean) > 20


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_colours_of_a_profile_are_the_same_before_and_after_a_resize(
    library: Library, orientation: int
) -> None:
    """A large picture is converted once it is small; the other way round would look the same."""
    profile = profiles.display_p3_profile()
    save_photograph(
        library.source / "a.png", (301, 203), format="PNG", icc=profile, orientation=orientation
    )

    _render(library, "a.png", {"full_px": 90, "thumbnail_px": 40})

    with Image.open(library.source / "a.png") as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    whole = to_srgb(upright, profile).image
    with Image.open(library.folder_of("a.png") / "full.webp") as rendition:
        expected = resize(whole, rendition.size)
        difference = ImageChops.difference(rendition.convert("RGB"), expected)
    assert max(ImageStat.Stat(difference).mean) < 5


def test_only_the_owner_is_kept_of_the_metadata(library: Library) -> None:
    save_photograph(library.source / "a.jpg", exif=camera_exif(6))
    assert GPS_MARK.encode() in (library.source / "a.jpg").read_bytes()

    _render(library, "a.jpg")

    for path in library.rendition_paths().values():
        content = path.read_bytes()
        assert GPS_MARK.encode() not in content, path
        with Image.open(path) as image:
            exif = image.getexif()
        assert exif.get(0x8298) == COPYRIGHT, path
        assert 0x010F not in exif, "the make of the camera"


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (700, 1), (5, 3)])
def test_images_of_odd_proportions_have_all_their_renditions(
    library: Library, size: tuple[int, int]
) -> None:
    save_photograph(library.source / "a.png", size, format="PNG")

    result = _render(library, "a.png", {"full_px": 500, "thumbnail_px": 100})

    assert [row["status"] for row in result.outcomes] == ["written"] * 6
    for path in library.rendition_paths().values():
        with Image.open(path) as image:
            image.load()
            limit = 500 if path.name.startswith("full") else 100
            assert max(image.size) == min(limit, max(size))
            assert min(image.size) >= 1


def test_clear_pixels_get_the_background_in_jpeg_and_stay_clear_elsewhere(
    library: Library,
) -> None:
    save_photograph(library.source / "a.png", (64, 48), mode="RGBA", format="PNG")

    _render(library, "a.png", {"background": "#0000ff"})

    folder = library.folder_of("a.png")
    with Image.open(folder / "full.jpg") as jpeg:
        red, green, blue = jpeg.getpixel((63, 20))  # type: ignore[misc]
        assert blue > 200
        assert max(red, green) < 60
    for name in ("full.avif", "full.webp"):
        with Image.open(folder / name) as image:
            assert image.mode == "RGBA"
            assert image.getpixel((63, 20))[3] < 20  # type: ignore[index]
            assert image.getpixel((2, 20))[3] > 240  # type: ignore[index]


def test_only_the_wanted_renditions_are_made(library: Library) -> None:
    save_photograph(library.source / "a.jpg")
    task = _task(library, "a.jpg", ("thumbnail", "webp"), ("full", "jpeg"))

    result = render_source(task, _setup(library), PLENTY_BYTES)

    assert set(library.rendition_paths()) == {"a.jpg/thumbnail.webp", "a.jpg/full.jpg"}
    assert [(row["variant"], row["format"]) for row in result.outcomes] == [
        ("full", "jpeg"),
        ("thumbnail", "webp"),
    ]


def test_bytes_that_are_known_already_are_not_rendered(library: Library) -> None:
    path = save_photograph(library.source / "a.jpg")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()

    result = render_source(
        replace(_task(library, "a.jpg"), current_sha256=digest), _setup(library), PLENTY_BYTES
    )
    assert [row["status"] for row in result.outcomes] == ["skipped"] * 6
    assert library.rendition_paths() == {}

    result = render_source(
        replace(_task(library, "a.jpg"), current_sha256="0" * 64), _setup(library), PLENTY_BYTES
    )
    assert [row["status"] for row in result.outcomes] == ["written"] * 6


def test_an_image_beyond_the_grant_is_not_decoded(library: Library) -> None:
    save_photograph(library.source / "a.jpg", (600, 400))
    task, setup = _task(library, "a.jpg"), _setup(library)

    with pytest.raises(TooDearError) as caught:
        render_source(task, setup, task.size_bytes + 1)
    cost = caught.value.cost_bytes
    assert cost > 600 * 400 * 3
    assert library.rendition_paths() == {}

    assert len(render_source(task, setup, cost).outcomes) == 6
    with pytest.raises(TooDearError):
        render_source(task, setup, cost - 1)


def test_a_file_beyond_the_grant_is_not_even_read(library: Library) -> None:
    task = SourceTask("not there.jpg", 5_000, (("full", "avif"),))

    with pytest.raises(TooDearError) as caught:
        render_source(task, _setup(library), 4_999)

    assert caught.value.cost_bytes == 5_000


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"max_source_bytes": 100}, "file_too_large"),
        ({"max_pixels": 240 * 160 - 1}, "too_many_pixels"),
    ],
)
def test_a_source_beyond_a_limit_is_rejected_with_the_setting_named(
    library: Library, overrides: dict[str, object], reason: str
) -> None:
    save_photograph(library.source / "a.jpg")

    result = _render(library, "a.jpg", overrides)

    assert {(row["status"], row["reason"]) for row in result.outcomes} == {("rejected", reason)}
    assert next(iter(overrides)) in result.outcomes[0]["message"]
    assert library.rendition_paths() == {}


def test_a_source_that_is_gone_or_no_file_any_more_fails(library: Library) -> None:
    (library.source / "folder.jpg").mkdir()
    (library.source / "link.jpg").symlink_to(save_photograph(library.source / "a.jpg"))
    setup = _setup(library)

    for key, reason in (
        ("gone.jpg", Reason.VANISHED),
        ("folder.jpg", Reason.UNREADABLE),
        ("link.jpg", Reason.UNREADABLE),
    ):
        rows = render_source(_task(library, key), setup, PLENTY_BYTES).outcomes
        assert {(row["status"], row["reason"]) for row in rows} == {("failed", reason.value)}, key


def test_every_stage_is_timed_and_none_twice(library: Library) -> None:
    save_photograph(library.source / "a.jpg", (600, 400))

    source = _render(library, "a.jpg").source

    assert {f"{stage}_ms" for stage in STAGES} <= set(source)
    total = sum(source[f"{stage}_ms"] for stage in STAGES)
    assert 0 < total <= source["processing_ms"]
    assert all(source[f"{stage}_ms"] >= 0 for stage in STAGES)


def test_rows_of_renditions_add_up_to_the_encoding_of_their_source(library: Library) -> None:
    save_photograph(library.source / "a.jpg")

    result = _render(library, "a.jpg")

    for name in ("encode_ms", "encode_cpu_ms", "write_ms"):
        together = sum(row[name] for row in result.outcomes)
        assert result.source[name] == pytest.approx(together)


def test_a_stopwatch_adds_up_what_a_stage_takes_also_when_it_fails() -> None:
    watch = Stopwatch()
    with watch.stage("read"):
        pass
    once = watch.times["read_ms"]
    with pytest.raises(OSError, match="broken"), watch.stage("read"):
        raise OSError("broken")

    assert set(watch.times) == {"read_ms", "read_cpu_ms"}
    assert watch.times["read_ms"] > once


def test_a_refusal_is_one_row_per_wanted_rendition(library: Library) -> None:
    pairs = (("full", "avif"), ("thumbnail", "jpeg"))
    digests = {pairs[0]: "a" * 16, pairs[1]: "b" * 16}
    task = SourceTask("x.jpg", 77, pairs, mtime_ns=5)

    rows = refuse(task, NotCompressedError(Reason.CORRUPT, "It is broken."), digests, {})

    assert [(row["variant"], row["format"]) for row in rows] == list(pairs)
    assert [row["recipe_digest"] for row in rows] == ["a" * 16, "b" * 16]
    for row in rows:
        assert (row["status"], row["reason"]) == ("rejected", "corrupt")
        assert (row["source_bytes"], row["source_mtime_ns"]) == (77, 5)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_placeholder_looks_like_the_image(mode: str) -> None:
    image = picture((200, 120), mode=mode)

    code, colour = describe(image)

    assert re.fullmatch(r"#[0-9a-f]{6}", colour)
    rows = blurhash.decode(code, 16, 10)
    left_top = rows[1][2]
    if mode != "L":
        assert left_top[0] > left_top[1] + 40, "that corner is red"


def test_clear_parts_count_as_white_in_the_colour() -> None:
    assert describe(Image.new("RGBA", (40, 20), (0, 0, 0, 0)))[1] == "#ffffff"
    assert describe(Image.new("RGB", (40, 20), "#336699"))[1] == "#336699"
    assert describe(Image.new("RGB", (1, 1), "#000000"))[1] == "#000000"


def _rows_of(result: SourceResult) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["variant"], row["format"]): row for row in result.outcomes}


def test_a_row_says_what_the_picture_was_taken_for_and_what_was_made_of_it(
    library: Library,
) -> None:
    drawing((400, 300)).save(library.source / "a.png")
    save_photograph(library.source / "b.jpg")

    graphic = _rows_of(_render(library, "a.png"))
    photograph = _rows_of(_render(library, "b.jpg"))

    assert {row["content"] for row in graphic.values()} == {"graphic"}
    assert {row["content"] for row in photograph.values()} == {"photograph"}
    webp, avif = graphic["full", "webp"], graphic["full", "avif"]
    assert (webp["lossless"], webp["native_quality"], webp["quality"]) == (True, 100, 80)
    assert (avif["encoder"], avif["lossless"]) == ("aom", False)
    assert not any(row["lossless"] for row in photograph.values())


def test_with_graphics_off_a_drawing_is_encoded_as_a_photograph(library: Library) -> None:
    drawing((400, 300)).save(library.source / "a.png")

    rows = _rows_of(_render(library, "a.png", {"graphics": False}))

    assert {row["content"] for row in rows.values()} == {"photograph"}
    assert rows["full", "avif"]["encoder"] == "svt"
    assert not rows["full", "webp"]["lossless"]


def test_a_rendition_larger_than_its_source_of_the_same_size_is_marked(library: Library) -> None:
    buffer = io.BytesIO()
    picture((200, 140)).save(buffer, "WEBP", quality=1)
    (library.source / "a.webp").write_bytes(buffer.getvalue())

    rows = _rows_of(_render(library, "a.webp", {"full_jpeg_quality": 95}))

    full, small = rows["full", "jpeg"], rows["thumbnail", "jpeg"]
    assert full["size_bytes"] > len(buffer.getvalue())
    assert full["larger_than_source"]
    assert small["width_px"] < 200
    assert not small["larger_than_source"], "fewer pixels: not the same picture"


def test_two_variants_of_the_same_size_are_both_there_and_nothing_is_enlarged(
    library: Library,
) -> None:
    save_photograph(library.source / "a.jpg", (100, 60))

    rows = _rows_of(_render(library, "a.jpg", {"full_px": 1024, "thumbnail_px": 150}))

    assert {(row["width_px"], row["height_px"]) for row in rows.values()} == {(100, 60)}
    assert set(library.rendition_paths()) == files_of("a.jpg")


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (2, 30_000)])
def test_extreme_sides_become_at_least_one_pixel_in_every_format(
    library: Library, size: tuple[int, int]
) -> None:
    Image.new("RGB", size, "#336699").save(library.source / "a.png")

    rows = _rows_of(_render(library, "a.png"))

    assert {row["status"] for row in rows.values()} == {"written"}
    for (variant, _), row in rows.items():
        longest = {"full": 1024, "thumbnail": 150}[variant]
        assert (max(row["width_px"], row["height_px"]), min(row["width_px"], row["height_px"])) == (
            longest,
            1,
        )


def test_the_longest_side_that_may_be_asked_for_is_made_in_every_format(library: Library) -> None:
    Image.new("L", (17_000, 6), 90).save(library.source / "a.png")

    rows = _rows_of(_render(library, "a.png", {"full_px": 16_383, "avif_speed": 10}))

    for format_name in ("avif", "webp", "jpeg"):
        row = rows["full", format_name]
        assert (row["status"], row["width_px"]) == ("written", 16_383), row["message"]
