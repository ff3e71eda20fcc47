import io
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageSequence

from image_assets.engine.pixels.animation import (
    Canvas,
    Motion,
    Moving,
    Reel,
    Survey,
    avif_plays,
    choose_moving_encoding,
    finish_moving,
    motion_of,
    moving_cost_bytes,
    settle_avif,
)
from image_assets.engine.pixels.codecs import codec_versions, prepare_pillow
from image_assets.engine.pixels.cost import Header
from image_assets.engine.pixels.encode import EncodePolicy
from image_assets.engine.pixels.profiles import display_p3_profile
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.bombs import gif_of
from image_assets_tests.libraries import Library, first_row
from image_assets_tests.photographs import camera_exif, picture

prepare_pillow()

SIZE: Final = (48, 32)
COLOURS: Final = ("#c02020", "#20a040", "#2040c0", "#d0c020")
DURATIONS_MS: Final = (40, 70, 500, 120)
POLICY: Final = EncodePolicy(6, 2, 4, "#ffffff", codec_versions())
KEEP: Final[dict[str, object]] = {"full_animation": "keep"}
MOVING_FORMATS: Final = ("GIF", "WEBP", "PNG", "AVIF")
EXTENSION: Final = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg"}


def flat_frames(colours: Sequence[str] = COLOURS, mode: str = "RGB") -> list[Image.Image]:
    return [Image.new("RGB", SIZE, colour).convert(mode) for colour in colours]


def moving(
    format_name: str,
    frames: Sequence[Image.Image] | None = None,
    durations_ms: Sequence[int] = DURATIONS_MS,
    **options: Any,
) -> bytes:
    frames = flat_frames() if frames is None else frames
    if format_name == "AVIF":
        options |= {"codec": "aom", "speed": 9, "quality": 95, "subsampling": "4:4:4"}
    elif format_name == "WEBP":
        options |= {"lossless": True}
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format_name,
        save_all=True,
        append_images=list(frames[1:]),
        duration=list(durations_ms),
        **options,
    )
    return buffer.getvalue()


class Made:
    """What became of one source."""

    def __init__(self, library: Library, rows: list[dict[str, Any]]) -> None:
        self.library = library
        self.rows = rows

    def row(self, format_name: str, variant: str = "full") -> dict[str, Any]:
        return first_row(self.rows, format=format_name, variant=variant)

    def path(self, format_name: str, variant: str = "full") -> Path:
        return self.library.folder_of("a") / f"{variant}{EXTENSION[format_name]}"

    def frames(self, format_name: str) -> list[Image.Image]:
        return read_frames(self.path(format_name))


def compress(tmp_path: Path, data: bytes, overrides: dict[str, object] | None = None) -> Made:
    library = Library.below(tmp_path)
    (library.source / "a").write_bytes(data)
    result = library.compress(overrides)
    return Made(library, library.rows(result).renditions.to_pylist())


def read_frames(path: Path) -> list[Image.Image]:
    """All frames as Pillow shows them; `info` holds each one's duration."""
    with Image.open(path) as image:
        frames = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            copy = frame.convert("RGBA")
            copy.info = dict(frame.info)
            frames.append(copy)
    return frames


def durations_ms(frames: Sequence[Image.Image]) -> list[int]:
    return [frame.info["duration"] for frame in frames]


def colour_of(image: Image.Image) -> tuple[int, ...]:
    pixels = np.asarray(image.convert("RGBA"), dtype=np.float32).reshape(-1, 4)
    return tuple(int(value) for value in pixels.mean(axis=0).round())


def assert_colour(image: Image.Image, wanted: str | tuple[int, ...], tolerance: int = 6) -> None:
    wanted = Image.new("RGBA", (1, 1), wanted).getpixel((0, 0))  # type: ignore[assignment]
    difference = np.abs(np.subtract(colour_of(image), wanted))
    assert difference.max() <= tolerance, (colour_of(image), wanted)


def plays_of(made: Made, format_name: str) -> int:
    """How often a rendition is played, 0 for ever."""
    path = made.path(format_name)
    if format_name == "avif":
        return avif_plays(path.read_bytes())
    with Image.open(path) as image:
        return int(image.info["loop"])


# -- posters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", MOVING_FORMATS)
def test_a_moving_picture_becomes_its_first_frame_and_every_row_says_so(
    tmp_path: Path, format_name: str
) -> None:
    made = compress(tmp_path, moving(format_name))

    assert len(made.rows) == 6
    for row in made.rows:
        assert (row["status"], row["note"]) == ("written", "poster of 4 frames")
        assert (row["source_frames"], row["frames"]) == (4, 1)
    for name in EXTENSION:
        [poster] = made.frames(name)
        assert_colour(poster, COLOURS[0])


def test_the_poster_of_an_apng_is_the_animation_s_first_frame_not_its_default_image(
    tmp_path: Path,
) -> None:
    default = Image.new("RGB", SIZE, "#000000")
    data = moving("PNG", [default, *flat_frames()], (0, *DURATIONS_MS), default_image=True)

    made = compress(tmp_path, data, KEEP)

    for name in ("webp", "avif"):
        frames = made.frames(name)
        assert len(frames) == made.row(name)["frames"] == 4
        assert_colour(frames[0], COLOURS[0])
        assert made.row(name, "thumbnail")["note"] == "poster of 4 frames"
        [poster] = read_frames(made.path(name, "thumbnail"))
        assert_colour(poster, COLOURS[0])
    assert {row["source_frames"] for row in made.rows} == {4}


def test_an_apng_of_a_default_image_and_one_frame_is_a_still(tmp_path: Path) -> None:
    default = Image.new("RGB", SIZE, "#000000")
    data = moving("PNG", [default, *flat_frames(COLOURS[:1])], (0, 50), default_image=True)

    made = compress(tmp_path, data, KEEP)

    assert {(row["note"], row["frames"], row["source_frames"]) for row in made.rows} == {
        (None, 1, 1)
    }
    assert_colour(made.frames("webp")[0], COLOURS[0])


@pytest.mark.parametrize(
    ("format_name", "note"), [("TIFF", "first of 3 pages"), ("MPO", "first of 3 pictures")]
)
def test_of_pages_and_pictures_the_first_is_taken_whatever_the_animation_setting(
    tmp_path: Path, format_name: str, note: str
) -> None:
    buffer = io.BytesIO()
    frames = flat_frames(COLOURS[:3])
    frames[0].save(buffer, format_name, save_all=True, append_images=frames[1:])

    made = compress(tmp_path, buffer.getvalue(), KEEP)

    assert {(row["note"], row["source_frames"], row["frames"]) for row in made.rows} == {
        (note, 3, 1)
    }
    assert_colour(made.frames("avif")[0], COLOURS[0])
    with Image.open(made.path("avif")) as image:
        assert not image.is_animated  # type: ignore[attr-defined]


def test_a_still_says_nothing_of_frames(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(SIZE).save(buffer, "GIF")

    made = compress(tmp_path, buffer.getvalue(), KEEP)

    assert {(row["note"], row["source_frames"], row["frames"]) for row in made.rows} == {
        (None, 1, 1)
    }


def small_gif(*frames: tuple[tuple[int, int, int, int], int, int, int | None]) -> bytes:
    """An 8 x 8 GIF by hand, of (window, colour, disposal, transparent colour) and 50 ms each.

    The palette is red, green, blue, white.
    """
    data = bytearray(b"GIF89a\x08\x00\x08\x00\xf1\x00\x00")
    data += bytes((255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255))
    for (x0, y0, x1, y1), colour, disposal, transparent in frames:
        flags = disposal << 2 | (transparent is not None)
        data += b"\x21\xf9\x04" + bytes((flags, 5, 0, transparent or 0, 0))
        data += b"\x2c" + struct.pack("<4HB", x0, y0, x1 - x0, y1 - y0, 0)
        bits, count = 0, 0
        for _ in range((x1 - x0) * (y1 - y0)):  # every pixel behind a "clear": 3 bits a code
            bits |= (4 | colour << 3) << count
            count += 6
        bits |= 5 << count
        packed = bits.to_bytes((count + 10) // 8, "little")
        data += b"\x02" + bytes([len(packed)]) + packed + b"\x00"
    return bytes(data + b";")


def test_what_no_frame_of_a_gif_has_painted_is_transparent(tmp_path: Path) -> None:
    data = small_gif(((2, 2, 6, 6), 1, 1, None), ((0, 0, 2, 2), 2, 1, None))

    made = compress(tmp_path, data, KEEP)

    first, second = made.frames("webp")
    assert first.getpixel((7, 7)) == second.getpixel((7, 7)) == (0, 0, 0, 0)
    assert [first.getpixel((0, 0))[3], second.getpixel((0, 0))[3]] == [0, 255]  # type: ignore[index]
    [poster] = read_frames(made.path("webp", "thumbnail"))
    assert poster.getpixel((7, 7))[3] == 0  # type: ignore[index]
    [jpeg] = made.frames("jpeg")
    assert min(jpeg.getpixel((7, 7))) > 230  # type: ignore[arg-type]


def test_a_frame_beyond_the_canvas_of_a_gif_is_cut_off(tmp_path: Path) -> None:
    data = small_gif(((0, 0, 8, 8), 1, 1, None), ((4, 4, 9, 12), 2, 1, None))

    made = compress(tmp_path, data, KEEP)

    for name in ("webp", "avif"):
        assert [frame.size for frame in made.frames(name)] == [(8, 8), (8, 8)]


@pytest.mark.parametrize("frame", [1, 2])
def test_a_gif_with_a_vast_frame_is_refused_before_its_canvas_is_reserved(
    tmp_path: Path, frame: int
) -> None:
    data = bytearray(small_gif(((0, 0, 8, 8), 1, 2, None), ((0, 0, 4, 4), 2, 2, None)))
    at = -1
    for _ in range(frame):
        at = data.index(b"\x2c\x00\x00\x00\x00", at + 1)
    struct.pack_into("<2H", data, at + 5, 65_535, 65_535)

    made = compress(tmp_path, bytes(data), KEEP)

    assert {(row["status"], row["reason"]) for row in made.rows} == {
        ("rejected", "too_many_pixels")
    }


def test_clearing_leaves_a_painted_canvas_as_it_is() -> None:
    image = Image.new("RGB", (8, 8), "red")

    canvas = Canvas(image.size)
    assert canvas.clear_unpainted(image, (2, 2, 4, 4)).getchannel("A").getbbox() == (2, 2, 4, 4)
    assert canvas.clear_unpainted(image, (0, 0, 8, 8)) is image
    assert canvas.clear_unpainted(image, (2, 2, 4, 4)) is image


def test_time_grows_with_the_number_of_frames_alone_where_a_gif_leaves_its_canvas_bare() -> None:
    frames = 4_000
    data = gif_of(frames, (40, 40))
    reel = Reel(data, Motion("animation", frames), "GIF", lambda frame: frame.convert("RGBA"))
    began = time.process_time()
    assert (reel.survey.frames, reel.survey.alpha) == (frames, True)
    assert time.process_time() - began < 3


# -- kept animations -----------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", MOVING_FORMATS)
def test_a_kept_animation_has_all_frames_with_their_colours_and_durations(
    tmp_path: Path, format_name: str
) -> None:
    made = compress(tmp_path, moving(format_name, loop=3), KEEP)

    for name in ("webp", "avif"):
        frames, row = made.frames(name), made.row(name)
        assert durations_ms(frames) == list(DURATIONS_MS)
        assert (row["status"], row["frames"], row["source_frames"]) == ("written", 4, 4)
        assert row["note"] == "animation of 4 frames"
        for frame, colour in zip(frames, COLOURS, strict=True):
            assert frame.size == SIZE
            assert_colour(frame, colour)
    for row in (made.row("jpeg"), made.row("webp", "thumbnail"), made.row("avif", "thumbnail")):
        assert (row["frames"], row["note"]) == (1, "poster of 4 frames")


def test_libvips_reads_the_same_frames_durations_and_plays(tmp_path: Path) -> None:
    pyvips = pytest.importorskip("pyvips", reason="pyvips reads back what was written")
    made = compress(tmp_path, moving("GIF", loop=3), KEEP)

    image = pyvips.Image.new_from_file(str(made.path("webp")), n=-1)

    assert (image.get("n-pages"), image.get("page-height")) == (4, SIZE[1])
    assert image.get("delay") == list(DURATIONS_MS)
    assert image.get("loop") == plays_of(made, "webp") == 4


@pytest.mark.parametrize(
    ("format_name", "loop", "plays"),
    [
        ("GIF", None, 1),  # a GIF that states nothing is played once
        ("GIF", 0, 0),
        ("GIF", 2, 3),  # a GIF counts repetitions
        ("PNG", 0, 0),
        ("PNG", 1, 1),
        ("WEBP", 0, 0),
        ("WEBP", 5, 5),
        ("AVIF", None, 0),
    ],
)
def test_a_kept_animation_is_played_as_often_as_its_source(
    tmp_path: Path, format_name: str, loop: int | None, plays: int
) -> None:
    options: dict[str, Any] = {} if loop is None else {"loop": loop}

    made = compress(tmp_path, moving(format_name, **options), KEEP)

    assert plays_of(made, "webp") == plays
    assert plays_of(made, "avif") == plays


def test_an_avif_that_is_played_twice_stays_so(tmp_path: Path) -> None:
    data = bytearray(moving("AVIF"))
    settle_avif(data, Survey((0, 1, 2, 3), DURATIONS_MS, 2, False, 4))

    made = compress(tmp_path, bytes(data), KEEP)

    assert (avif_plays(bytes(data)), plays_of(made, "avif"), plays_of(made, "webp")) == (2, 2, 2)


def test_durations_of_0_and_10_ms_are_kept_as_stored(tmp_path: Path) -> None:
    made = compress(tmp_path, moving("GIF", durations_ms=(0, 10, 20, 0)), KEEP)

    assert durations_ms(made.frames("webp")) == [0, 10, 20, 0]
    assert durations_ms(made.frames("avif")) == [1, 10, 20, 1]  # AVIF has no shorter one


def test_durations_that_are_no_whole_milliseconds_add_up_to_the_whole(tmp_path: Path) -> None:
    data = bytearray(moving("PNG", flat_frames(COLOURS * 3), [33] * 12))
    for chunk in range(12):  # delay as a fraction: 1/30 s
        at = -1
        for _ in range(chunk + 1):
            at = data.index(b"fcTL", at + 1)
        struct.pack_into(">HH", data, at + 24, 1, 30)
        struct.pack_into(">I", data, at + 30, zlib.crc32(data[at : at + 30]))

    made = compress(tmp_path, bytes(data), KEEP)

    for name in ("webp", "avif"):
        assert sum(durations_ms(made.frames(name))) == 400


def test_frames_that_are_alike_are_joined_and_the_row_says_so(tmp_path: Path) -> None:
    window = (0, 0, 8, 8)
    data = small_gif(
        (window, 1, 1, None), (window, 2, 1, None), (window, 2, 1, None), (window, 1, 1, None)
    )

    made = compress(tmp_path, data, KEEP)

    for name in ("webp", "avif"):
        assert durations_ms(made.frames(name)) == [50, 100, 50]
        assert made.row(name)["frames"] == 3
        assert made.row(name)["note"] == (
            "animation of 4 frames, 1 alike joined with the one before"
        )


def test_an_animation_of_frames_that_are_all_alike_is_a_still_that_says_so(tmp_path: Path) -> None:
    window = (0, 0, 8, 8)

    made = compress(tmp_path, small_gif((window, 1, 1, None), (window, 1, 1, None)), KEEP)

    for name in ("webp", "avif"):
        assert made.row(name)["frames"] == 1
        assert made.row(name)["note"] == (
            "animation of 2 frames, 1 alike joined with the one before"
        )


def test_transparency_is_kept_in_every_frame(tmp_path: Path) -> None:
    frames = []
    for step in range(3):
        frame = Image.new("RGBA", SIZE, (0, 0, 0, 0))
        frame.paste((200, 40, 60, 255), (8 + 10 * step, 8, 24 + 10 * step, 24))
        frames.append(frame)

    made = compress(tmp_path, moving("WEBP", frames, (50, 50, 50)), KEEP)

    for name in ("webp", "avif"):
        for step, frame in enumerate(made.frames(name)):
            alpha = np.asarray(frame.getchannel("A"))
            assert alpha[16, 16 + 10 * step] > 240, (name, step)
            assert alpha[2, 2] < 15, (name, step)
            assert_colour(frame.crop((12 + 10 * step, 12, 20 + 10 * step, 20)), "#c8283c", 14)


def test_frames_with_windows_and_disposal_are_composed(tmp_path: Path) -> None:
    data = small_gif(
        ((0, 0, 8, 8), 1, 1, None),
        ((0, 0, 4, 4), 2, 3, None),  # gone again afterwards
        ((4, 4, 8, 8), 3, 1, None),
    )

    made = compress(tmp_path, data, KEEP)

    pyvips = pytest.importorskip("pyvips", reason="pyvips composes them too")
    wanted = pyvips.Image.gifload_buffer(data, n=-1).numpy().reshape(3, 8, 8, 3)
    for frame, pixels in zip(made.frames("webp"), wanted, strict=True):
        assert np.abs(np.asarray(frame.convert("RGB"), int) - pixels).max() <= 8


def test_every_frame_is_turned_upright_and_resized(tmp_path: Path) -> None:
    frames = [picture((60, 40), seed=seed) for seed in range(3)]
    data = moving("WEBP", frames, (50, 50, 50), exif=camera_exif(6))

    made = compress(tmp_path, data, {**KEEP, "full_px": 30, "thumbnail_px": 20})

    for name in ("webp", "avif"):
        row, written = made.row(name), made.frames(name)
        assert [frame.size for frame in written] == [(20, 30)] * 3
        assert (row["width_px"], row["height_px"]) == (20, 30)
        for frame, source in zip(written, frames, strict=True):
            turned = source.transpose(Image.Transpose.ROTATE_270).resize((20, 30))
            difference = np.abs(
                np.asarray(frame.convert("RGB"), int) - np.asarray(turned, int)
            ).mean()
            assert difference < 14, name


@pytest.mark.parametrize("keep_display_p3", [False, True])
def test_every_frame_goes_through_the_colour_policy(tmp_path: Path, keep_display_p3: bool) -> None:
    red = Image.new("RGB", SIZE, (200, 40, 40))
    green = Image.new("RGB", SIZE, (40, 200, 40))
    data = moving("WEBP", [red, green], (50, 50), icc_profile=display_p3_profile())

    made = compress(tmp_path, data, {**KEEP, "keep_display_p3": keep_display_p3})

    for name in ("webp", "avif"):
        first, second = made.frames(name)
        poster = read_frames(made.path(name, "thumbnail"))[0]
        assert_colour(first, colour_of(poster))
        assert_colour(second, (40, 200, 40, 255) if keep_display_p3 else (0, 202, 0, 255), 10)
        assert ("icc_profile" in first.info) is keep_display_p3


def test_bytes_depend_neither_on_the_clock_nor_on_threads(tmp_path: Path) -> None:
    data = moving("GIF", [picture(SIZE, seed=seed) for seed in range(4)])
    (tmp_path / "one").mkdir()
    (tmp_path / "four").mkdir()

    one = compress(tmp_path / "one", data, {**KEEP, "avif_threads": 1})
    four = compress(tmp_path / "four", data, {**KEEP, "avif_threads": 4})

    for name in ("webp", "avif"):
        assert one.path(name).read_bytes() == four.path(name).read_bytes()
    written = one.path("avif").read_bytes()
    for box in (b"mvhd", b"tkhd", b"mdhd"):  # version 1: two times of 64 bits behind 4 bytes
        at = written.index(box) + 4
        assert written[at + 4 : at + 20] == bytes(16), box


def test_what_decodes_of_a_truncated_animation_is_kept_where_that_is_accepted(
    tmp_path: Path,
) -> None:
    frames = [picture(SIZE, seed=seed) for seed in range(4)]
    data = moving("PNG", frames)
    cut = data[: data.rindex(b"fcTL") - 4]
    (tmp_path / "refused").mkdir()

    refused = compress(tmp_path / "refused", cut, KEEP)
    made = compress(tmp_path, cut, {**KEEP, "accept_truncated": True})

    assert {(row["status"], row["reason"]) for row in refused.rows} == {("rejected", "truncated")}
    for name in ("webp", "avif"):
        assert made.row(name)["frames"] == len(made.frames(name)) == 3
        assert "animation of the first 3 of 4 frames, truncated" in made.row(name)["note"]
    assert "poster of 4 frames" in made.row("jpeg")["note"]


def test_a_truncated_animation_with_a_damaged_chunk_is_opened_as_its_poster_was() -> None:
    data = moving("PNG", [picture(SIZE, seed=seed) for seed in range(4)])
    cut = data[: data.rindex(b"fcTL") - 4]
    first = cut.index(b"IDAT") - 4
    damaged = cut[:first] + b"\0\0\0\x09pHYs" + bytes(9) + b"none" + cut[first:]
    motion = Motion(kind="animation", frames=4, poster=0)

    reel = Reel(damaged, motion, "PNG", lambda frame: frame.convert("RGB"), accept_truncated=True)

    assert reel.survey.frames == 3
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "it is Pillow's global"


def test_a_frame_that_cannot_be_decoded_refuses_the_animation_and_no_poster(
    tmp_path: Path,
) -> None:
    data = bytearray(moving("WEBP", [picture(SIZE, seed=seed) for seed in range(4)]))
    last = data.rindex(b"ANMF")
    data[last + 40 : last + 140] = bytes(100)

    made = compress(tmp_path, bytes(data), KEEP)

    statuses = {(row["variant"], row["format"]): row["status"] for row in made.rows}
    assert statuses["full", "webp"] == statuses["full", "avif"] == "rejected"
    for name in ("webp", "avif"):
        assert made.row(name)["reason"] in ("corrupt", "truncated")
        assert not made.path(name).exists()
    assert statuses["full", "jpeg"] == statuses["thumbnail", "avif"] == "written"


# -- parts -----------------------------------------------------------------------------------------


def test_an_encoder_that_loses_frames_fails_the_rendition(tmp_path: Path) -> None:
    survey = Survey((0, 1, 2, 3, 4), (50,) * 5, 0, False, 5)
    encoding = choose_moving_encoding(SIZE, "avif", 80, POLICY, survey)
    (tmp_path / "four.avif").write_bytes(moving("AVIF"))
    (tmp_path / "none.avif").write_bytes(b"nothing")

    for name in ("four.avif", "none.avif"):
        with pytest.raises(
            NotCompressedError, match=r"^Expected an animation of 5 frames"
        ) as error:
            finish_moving(str(tmp_path / name), encoding, survey)
        assert error.value.reason is Reason.ENCODER_FAILED


def test_frames_are_decoded_when_they_are_sought_and_one_at_a_time() -> None:
    converted = []

    def convert(frame: Image.Image) -> Image.Image:
        converted.append(frame)
        return frame.convert("RGB")

    reel = Reel(moving("WEBP"), Motion("animation", 4), "WEBP", convert)
    image = Moving(reel, SIZE)
    converted.clear()  # the survey's, and the first frame

    for index in range(4):
        image.seek(index)
        assert_colour(image, COLOURS[index])
    assert (len(converted), image.tell()) == (3, 3)
    with pytest.raises(EOFError):
        image.seek(4)
    image.seek(0)
    assert_colour(image, COLOURS[0])


def test_a_small_avif_animation_and_one_without_svt_are_made_by_aom() -> None:
    survey = Survey((0, 1), (50, 50), 0, False, 2)
    without = EncodePolicy(8, 2, 4, "#ffffff", {"aom": "3"})

    assert choose_moving_encoding(SIZE, "avif", 80, POLICY, survey).encoder == "svt"
    assert choose_moving_encoding((3, 40), "avif", 80, POLICY, survey).encoder == "aom"
    by_aom = choose_moving_encoding(SIZE, "avif", 80, without, survey)
    assert (by_aom.encoder, by_aom.speed, by_aom.options["max_threads"]) == ("aom", 6, 1)


def test_a_3_px_animation_is_written(tmp_path: Path) -> None:
    frames = [frame.resize((3, 40)) for frame in flat_frames()]

    made = compress(tmp_path, moving("PNG", frames), KEEP)

    assert made.row("avif")["encoder"] == "aom"
    for name in ("webp", "avif"):
        assert [frame.size for frame in made.frames(name)] == [(3, 40)] * 4


def test_the_memory_of_a_kept_animation_depends_on_its_size_not_on_its_frames() -> None:
    def cost(frames: int, px: int, format_name: str, mode: str = "RGB") -> int:
        header = Header("WEBP", mode, 1024, 768, frames, False, 1000)
        return moving_cost_bytes(header, px, format_name, POLICY)

    assert cost(10, 1024, "avif") == cost(1000, 1024, "avif")
    assert cost(10, 1024, "avif") > cost(10, 512, "avif") > cost(10, 512, "webp")
    assert cost(10, 1024, "avif", "RGBA") > cost(10, 1024, "avif", "RGB")


def test_frames_pages_and_pictures_are_told_apart() -> None:
    def opened(data: bytes) -> Motion:
        image = Image.open(io.BytesIO(data))
        return motion_of(image, int(getattr(image, "n_frames", 1)))

    assert opened(moving("WEBP")) == Motion("animation", 4)
    assert opened(moving("PNG", default_image=True)) == Motion("animation", 3, poster=1)
    assert Motion("still", 1).note is None


@given(st.binary(max_size=200), st.integers(0, 3))
def test_an_avif_s_plays_are_read_from_any_bytes(noise: bytes, place: int) -> None:
    data = bytearray(_AVIF)
    at = data.index((b"moov", b"tkhd", b"elst", b"edts")[place])
    data[at + 4 : at + 4 + len(noise)] = noise

    assert 0 <= avif_plays(bytes(data)) <= 65_535
    assert avif_plays(noise) == 0


_AVIF: Final = moving("AVIF")


def test_boxes_in_boxes_without_end_say_nothing_of_plays() -> None:
    data = b""
    for _ in range(5_000):
        data = struct.pack(">I4s", len(data) + 8, b"moov") + data
    assert avif_plays(data) == 0
