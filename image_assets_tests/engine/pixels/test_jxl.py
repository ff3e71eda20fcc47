import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from image_assets.engine.pixels.codecs import load_decoder
from image_assets.engine.pixels.jxl import read_jxl_header
from image_assets.engine.pixels.opening import open_source
from image_assets.engine.pixels.upright import read_orientation
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.photographs import camera_exif, encode_photograph, picture

load_decoder("JXL")


def encode(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JXL", **{"effort": 1, "num_threads": 1, **options})
    return buffer.getvalue()


SIDES = st.one_of(st.integers(1, 300), st.sampled_from([256, 257, 512, 1000, 1024]))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.booleans())
def test_sizes_are_read_from_the_header(width: int, height: int, container: bool) -> None:
    data = encode(Image.new("RGB", (width, height)), use_container=container)
    header = read_jxl_header(data)
    assert (header.width_px, header.height_px) == (width, height)
    assert (header.is_jpeg, header.is_animated) == (False, False)


@pytest.mark.parametrize(
    "size", [(160, 90), (90, 90), (120, 90), (100, 80), (200, 100), (120, 100)]
)
def test_sizes_that_the_format_writes_as_a_ratio_are_read(size: tuple[int, int]) -> None:
    header = read_jxl_header(encode(Image.new("RGB", size)))
    assert (header.width_px, header.height_px) == size


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_every_mode_comes_back_as_it_was(mode: str) -> None:
    image = picture((50, 30), mode=mode)
    opened, header = open_source(encode(image, lossless=True))
    assert (header.format, header.width_px, header.height_px) == ("JXL", 50, 30)
    opened.load()
    assert (opened.mode, opened.size, opened.tobytes()) == (mode, (50, 30), image.tobytes())


def test_opening_decodes_nothing_so_that_limits_come_first() -> None:
    opened, _ = open_source(encode(picture((300, 200))))
    assert opened._im is None


def test_a_jpeg_in_it_comes_with_its_orientation_still_to_be_undone(tmp_path: Any) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encode_photograph((60, 40), exif=camera_exif(6)))
    buffer = io.BytesIO()
    with Image.open(path) as jpeg:
        jpeg.save(buffer, "JXL", lossless_jpeg=True)
    assert read_jxl_header(buffer.getvalue()).is_jpeg
    opened, header = open_source(buffer.getvalue())
    opened.load()
    assert (header.width_px, header.height_px) == (60, 40)
    assert (read_orientation(opened), opened.size) == (6, (60, 40))


def test_exif_of_any_other_turns_nothing_for_the_format_does_that_itself() -> None:
    data = encode(picture((60, 40)), exif=camera_exif(6).tobytes())
    opened, _ = open_source(data)
    opened.load()
    assert opened.getexif()[0x0112] == 6
    assert read_orientation(opened) == 1


def test_an_animation_is_refused_by_name() -> None:
    # Not all defaults, extra fields: orientation 1, no intrinsic size, no preview, animated.
    bits = [1, *[1, 0, 0, 0, 0], *[1, 0, 0], 0, 1, *[0, 0, 0], 0, 0, 1]
    stream = sum(bit << index for index, bit in enumerate(bits)).to_bytes(8, "little")
    assert read_jxl_header(b"\xff\x0a" + stream).is_animated
    with pytest.raises(NotCompressedError, match="animated JPEG XL") as caught:
        open_source(b"\xff\x0a" + stream + bytes(20))
    assert caught.value.reason == Reason.UNSUPPORTED_FORMAT


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_header_or_a_plain_error(tail: bytes, container: bool) -> None:
    start = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a" if container else b"\xff\x0a"
    try:
        header = read_jxl_header(start + tail)
    except (ValueError, EOFError):
        return
    assert header.width_px >= 0
    assert header.height_px >= 1


@pytest.mark.parametrize("length", [2, 5, 12, 30])
def test_a_cut_header_is_a_row(length: int) -> None:
    with pytest.raises(NotCompressedError) as caught:
        open_source(encode(picture((60, 40)), use_container=True)[:length])
    assert caught.value.status == "rejected"
