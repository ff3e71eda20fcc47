import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_assets.engine.pixels.jpeg import DecodedJpeg, decode_eighths, decode_jpeg
from image_assets_tests.photographs import picture

SIDES = st.integers(1, 65_500)


def encode(mode: str = "RGB", size: tuple[int, int] = (242, 163), **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture(size).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def decoded(data: bytes, rawmode: str = "RGB", eighths: int = 8) -> DecodedJpeg:
    found = decode_jpeg(data, rawmode, eighths)
    assert found is not None
    return found


def rawmode_of(data: bytes) -> str:
    return str(getattr(Image.open(io.BytesIO(data)), "tile")[0].args[0])  # noqa: B009


@pytest.mark.parametrize(
    ("longest", "needed", "eighths"),
    [
        (8192, 1024, 1),
        (8191, 1024, 2),
        (4096, 1024, 2),
        (4000, 1024, 3),
        (2731, 1024, 3),
        (2730, 1024, 4),
        (2047, 1024, 8),
        (9, 99, 8),
    ],
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_large_enough(
    longest: int, needed: int, eighths: int
) -> None:
    assert decode_eighths(longest, 1, needed) == eighths
    assert decode_eighths(1, longest, needed) == eighths


@given(SIDES, SIDES, st.floats(1, 20_000))
def test_a_scaled_decode_is_never_below_what_is_needed(
    width: int, height: int, needed: float
) -> None:
    eighths = decode_eighths(width, height, needed)
    longest = max(width, height)
    assert eighths == 8 or longest * eighths / 8 >= needed
    smaller = {1: 0, 2: 1, 3: 2, 4: 3, 8: 4}[eighths]
    assert longest * smaller / 8 < needed


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_pixels_are_pillows_where_pillow_knows_the_scale(
    mode: str, options: dict[str, Any]
) -> None:
    data = encode(mode, **options)
    for eighths in (8, 4, 2, 1):
        theirs = Image.open(io.BytesIO(data))
        theirs.draft(None, (max(1, 242 * eighths // 8), max(1, 163 * eighths // 8)))
        ours = decoded(data, rawmode_of(data), eighths)
        assert (ours.image.mode, ours.image.size, ours.warning) == (mode, theirs.size, None)
        difference = np.asarray(ours.image).astype(int) - np.asarray(theirs)
        assert abs(difference).max() <= 1


def test_three_eighths_is_the_picture_too() -> None:
    small = decoded(encode(), eighths=3).image
    assert small.size == (91, 62)
    whole = picture((242, 163)).resize(small.size, Image.Resampling.BOX)
    assert abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("lost", [1, 2, 7, 40, 900])
@pytest.mark.parametrize("eighths", [8, 3])
def test_every_byte_that_is_missing_is_heard_of(
    options: dict[str, Any], lost: int, eighths: int
) -> None:
    data = encode(**options)
    cut = decoded(data[: -2 - lost] + b"\xff\xd9", eighths=eighths)
    assert cut.is_cut
    assert not cut.is_corrupt
    assert not decoded(data, eighths=eighths).is_cut


def test_what_stands_between_segments_hides_no_cut() -> None:
    """TurboJPEG ends at such a warning of libjpeg's, and would say no more."""
    data = encode()
    littered = data[:2] + b"\xff\xe2\x00\x06ICC_" + b"abcde" + data[2:]
    whole = decoded(littered)
    assert whole.warning is None
    assert whole.image.tobytes() == decoded(data).image.tobytes()
    assert decoded(littered[:-9] + b"\xff\xd9").is_cut


def test_bytes_too_many_are_told_and_harm_nothing() -> None:
    data = encode()
    found = decoded(data[:-2] + bytes([7] * 5) + data[-2:])
    assert "extraneous" in (found.warning or "")
    assert not found.is_cut
    assert not found.is_corrupt
    assert found.image.tobytes() == decoded(data).image.tobytes()


def test_data_that_makes_no_sense_is_told() -> None:
    data = bytearray(encode(progressive=True))  # of baseline it is passed over in silence
    start = data.index(b"\xff\xda") + 200
    data[start : start + 60] = b"\xff\x00" * 30  # ones alone, which is no code
    assert decoded(bytes(data)).is_corrupt


def test_a_jpeg_that_turbojpeg_does_not_know_is_left_to_pillow() -> None:
    data = bytearray(encode())
    frame = data.index(b"\xff\xc0")
    data[frame + 11] = 0x31  # 3 x 1
    assert decode_jpeg(bytes(data), "RGB", 8) is None
    assert decode_jpeg(encode(), "LAB", 8) is None
    assert decode_jpeg(b"\xff\xd8\xff", "RGB", 8) is None
