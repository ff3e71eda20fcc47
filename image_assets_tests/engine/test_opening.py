import io
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_assets.engine.cost import Header
from image_assets.engine.opening import (
    ALLOWED_FORMATS,
    PREFIX_BYTES,
    broken,
    check_pixels,
    decode,
    open_source,
    sniff,
)
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.photographs import encode_photograph, picture

# Pillow warns of broken metadata; a worker ignores warnings.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

WRITABLE = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP")


@pytest.fixture(autouse=True, scope="module")
def _pixel_limit_is_the_engines() -> Iterator[None]:
    """Lift Pillow's own limit, as a worker does."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    yield
    Image.MAX_IMAGE_PIXELS = limit


def open_and_decode(data: bytes, needed_px: float = 1024.0) -> Image.Image:
    image, header = open_source(data)
    decode(image, header, needed_px)
    return image


def refusal(data: bytes) -> NotCompressedError:
    with pytest.raises(NotCompressedError) as caught:
        open_and_decode(data)
    assert caught.value.status == "rejected"
    assert caught.value.message.endswith(".")
    return caught.value


@pytest.mark.parametrize("format_name", WRITABLE)
def test_every_allowed_format_is_opened_and_described(format_name: str) -> None:
    data = encode_photograph((60, 40), format=format_name)
    assert sniff(data[:PREFIX_BYTES]) == format_name
    image, header = open_source(data)
    assert header == Header(
        format_name, "P" if format_name == "GIF" else "RGB", 60, 40, 1, False, len(data)
    )
    decode(image, header, 1024.0)
    assert image.size == (60, 40)


def test_what_drones_and_phones_write_is_opened() -> None:
    buffer = io.BytesIO()
    picture((60, 40)).save(buffer, "MPO", save_all=True, append_images=[picture((60, 40), seed=1)])
    image, header = open_source(buffer.getvalue())
    assert (header.format, header.frames) == ("MPO", 2)
    decode(image, header, 1024.0)
    assert image.size == (60, 40)


def test_progressive_jpegs_and_frames_are_noticed() -> None:
    assert open_source(encode_photograph(progressive=True))[1].progressive
    buffer = io.BytesIO()
    frames = [picture((20, 20), seed=seed) for seed in range(3)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert open_source(buffer.getvalue())[1].frames == 3


def test_an_empty_file_is_rejected_as_empty() -> None:
    assert refusal(b"").reason is Reason.EMPTY


@pytest.mark.parametrize(
    "data",
    [
        b"hello, I am text",
        b"\x00" * 100,
        b"<!DOCTYPE html><html>not found</html>",
        b"\xef\xbb\xbf\r\n<html>",
        bytes(range(256)),
        b"\xff",
    ],
)
def test_what_is_no_image_is_rejected_as_such(data: bytes) -> None:
    assert refusal(data).reason is Reason.NOT_AN_IMAGE


def _box(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + bytes(4) + brands + bytes(40)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\x00\x01", "Photoshop"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><svg/>", "SVG"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (b"PK\x03\x04", "ZIP"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x00\x00\x01\x00\x01\x00", "icon"),
        (_box(b"heic", b"mif1", b"heic"), "HEIC"),
        (_box(b"mif1", b"mif1", b"heic"), "HEIC"),
        (_box(b"msf1", b"hevc"), "HEIC"),
    ],
)
def test_an_image_of_another_format_is_rejected_by_its_name(data: bytes, what: str) -> None:
    error = refusal(data)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert what in error.message
    assert all(name in error.message for name in ALLOWED_FORMATS)


def test_an_avif_that_begins_like_a_heic_is_an_avif() -> None:
    assert sniff(_box(b"mif1", b"mif1", b"avif", b"miaf")[:PREFIX_BYTES]) == "AVIF"


@pytest.mark.parametrize("format_name", ["PPM", "ICO", "TGA", "EPS"])
def test_formats_that_pillow_knows_but_the_list_does_not_are_refused(format_name: str) -> None:
    assert refusal(encode_photograph((32, 32), format=format_name)).reason in (
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
    )


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"])
def test_half_a_file_is_rejected_as_truncated_or_corrupt(format_name: str) -> None:
    data = encode_photograph(format=format_name)
    assert refusal(data[: len(data) // 2]).reason in (Reason.TRUNCATED, Reason.CORRUPT)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_a_file_that_ends_too_early_is_rejected_as_truncated(format_name: str) -> None:
    data = encode_photograph(format=format_name)
    assert refusal(data[: len(data) // 2]).reason is Reason.TRUNCATED


@pytest.mark.parametrize("format_name", WRITABLE)
def test_a_header_without_its_rest_is_rejected(format_name: str) -> None:
    head = encode_photograph(format=format_name)[:24]
    assert refusal(head).reason in (Reason.TRUNCATED, Reason.CORRUPT)


def test_damaged_pixels_are_rejected_as_corrupt() -> None:
    data = bytearray(encode_photograph(format="PNG"))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    assert refusal(bytes(data)).reason in (Reason.CORRUPT, Reason.TRUNCATED)


@given(
    st.sampled_from(WRITABLE),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 5_000),
)
def test_no_damage_comes_as_anything_but_a_picture_or_a_reason(
    format_name: str, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(encode_photograph((40, 30), format=format_name))
    for place, value in changes:
        data[place % min(len(data), 600)] = value
    damaged = bytes(data[: length + 1])
    refused = None
    try:
        image, header = open_source(damaged)
        check_pixels(header, 10_000_000)
        decode(image, header, 20.0)
    except NotCompressedError as error:
        refused = error
    assert refused is None or (refused.status == "rejected" and refused.message)


def test_a_picture_of_too_many_pixels_is_rejected_with_the_numbers() -> None:
    _, header = open_source(encode_photograph((60, 40)))
    check_pixels(header, 2_400)
    with pytest.raises(NotCompressedError) as caught:
        check_pixels(header, 2_399)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS
    assert caught.value.message == (
        "Expected at most 2399 pixels, received 60 x 40 = 2400 (max_pixels)."
    )


def test_all_frames_count_for_the_pixel_limit() -> None:
    header = Header("GIF", "P", 100, 100, 30, False, 1_000)
    check_pixels(header, 300_000)
    with pytest.raises(NotCompressedError, match="100 x 100 in 30 frames = 300000"):
        check_pixels(header, 299_999)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    # A PNG that states 50,000 x 50,000 pixels and has none of them.
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT" + bytes(4)
    _, header = open_source(data)
    with pytest.raises(NotCompressedError, match="50000 x 50000"):
        check_pixels(header, 100_000_000)


@pytest.mark.parametrize(
    ("needed_px", "size"),
    [
        (1024.0, (256, 160)),
        (129.0, (256, 160)),
        (128.0, (128, 80)),
        (33.0, (64, 40)),
        (1.0, (32, 20)),
    ],
)
def test_a_jpeg_is_decoded_no_smaller_than_needed_and_no_larger_than_that(
    needed_px: float, size: tuple[int, int]
) -> None:
    assert open_and_decode(encode_photograph((256, 160)), needed_px).size == size


@pytest.mark.parametrize("needed_px", [1.0, 20.0])
def test_other_formats_are_decoded_whole(needed_px: float) -> None:
    assert open_and_decode(encode_photograph((256, 160), format="PNG"), needed_px).size == (
        256,
        160,
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("image file is truncated (3 bytes not processed)"), Reason.TRUNCATED),
        (OSError("Unexpected end of file"), Reason.TRUNCATED),
        (ValueError("not enough image data"), Reason.TRUNCATED),
        (OSError("broken data stream when reading image file"), Reason.CORRUPT),
        (EOFError(), Reason.CORRUPT),
    ],
)
def test_a_decoders_words_become_a_reason(error: Exception, reason: Reason) -> None:
    refused = broken(error)
    assert refused.reason is reason
    assert (str(error) or "EOFError") in refused.message
