import contextlib
import io
import struct
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from image_assets.engine.pixels.cost import Header
from image_assets.engine.pixels.opening import (
    ALLOWED_FORMATS,
    PREFIX_BYTES,
    broken,
    check_parts,
    check_pixels,
    decode,
    open_source,
    sniff,
)
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.bombs import (
    gif_of,
    jpeg_of_precision,
    jpeg_of_scans,
    lying_webp,
    raw_tiff,
    text_bomb,
    with_chunk,
)
from image_assets_tests.photographs import camera_exif, encode_photograph, picture

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
    return decode(image, header, needed_px).image


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
    assert decode(image, header, 1024.0).image.size == (60, 40)


def test_what_drones_and_phones_write_is_opened() -> None:
    buffer = io.BytesIO()
    picture((60, 40)).save(buffer, "MPO", save_all=True, append_images=[picture((60, 40), seed=1)])
    image, header = open_source(buffer.getvalue())
    assert (header.format, header.frames) == ("MPO", 2)
    assert decode(image, header, 1024.0).image.size == (60, 40)


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
        (b"PK\x03\x04", "ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office"),
        (b"P6\n10 10\n255\n", "PNM"),
        (b"P7\nWIDTH 10\n", "PNM"),
        (bytes([0, 0, 2, *bytes(9), 10, 0, 10, 0, 24, 0]), "TGA"),
        (b"v/1\x01", "OpenEXR"),
        (b"RIFF\x10\x00\x00\x00AVI LIST", "AVI"),
        (b"\x1aE\xdf\xa3", "Matroska"),
        (b"FUJIFILMCCD-RAW 0201", "RAF"),
        (b"IIU\x00\x18\x00", "RW2"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"\x00\x00\x01\x00\x01\x00", "icon"),
        (b"\x0a\x05\x01\x08" + bytes(60), "PCX"),
        (b"\x01\xda\x01\x01", "SGI"),
        (b"\x59\xa6\x6a\x95", "Sun raster"),
        (b"SDPX", "DPX"),
        (b"/* XPM */\n", "XPM"),
        (b"\x8aMNG\r\n\x1a\n", "MNG"),
    ],
)
def test_an_image_of_another_format_is_rejected_by_its_name(data: bytes, what: str) -> None:
    error = refusal(data)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert what in error.message
    assert all(name in error.message for name in ALLOWED_FORMATS)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\xff\x0a\x00\x00", "JPEG XL"),
        (_box(b"heic", b"mif1", b"heic"), "HEIC"),
        (_box(b"mif1", b"mif1", b"heic"), "HEIC"),
        (_box(b"msf1", b"hevc"), "HEIC"),
    ],
)
def test_a_format_of_a_missing_plugin_is_rejected_by_its_name(
    data: bytes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image_assets.engine.pixels.opening.load_decoder", lambda _name: False)
    error = refusal(data)
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert what in error.message


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
        "Expected at most 2,399 pixels, received 60 x 40 = 2,400 (max_pixels)."
    )


def test_all_frames_count_for_the_pixel_limit() -> None:
    header = Header("GIF", "P", 100, 100, 30, False, 1_000)
    check_pixels(header, 300_000)
    with pytest.raises(NotCompressedError, match="100 x 100 in 30 frames = 300,000"):
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


def test_pages_and_further_pictures_do_not_count_for_the_limits() -> None:
    for format_name in ("TIFF", "MPO", "HEIF"):
        header = Header(format_name, "RGB", 100, 100, 9_000, False, 1_000)
        check_pixels(header, 10_000)
        check_parts(header, 1)


def test_a_webp_that_lies_is_refused_before_its_decoder_reserves_anything() -> None:
    data = lying_webp(encode_photograph(format="WEBP", exif=camera_exif()), 16_383, 16_383)
    with pytest.raises(NotCompressedError, match="16383 x 16383"):
        open_source(data, max_pixels=100_000_000)


def test_an_animation_of_too_many_frames_is_rejected_and_not_counted_on() -> None:
    _, header = open_source(gif_of(100_000), max_frames=50)
    with pytest.raises(NotCompressedError, match="at most 50 frames, received more") as caught:
        check_parts(header, 50)
    assert caught.value.reason is Reason.TOO_MANY_FRAMES
    check_parts(open_source(gif_of(50), max_frames=50)[1], 50)


def test_a_jpeg_of_hundreds_of_scans_is_rejected() -> None:
    data = encode_photograph(progressive=True)
    _, header = open_source(jpeg_of_scans(data, 400))
    with pytest.raises(NotCompressedError, match="at most 100 scans") as caught:
        check_parts(header, 5_000)
    assert caught.value.reason is Reason.TOO_MANY_SCANS
    check_parts(open_source(jpeg_of_scans(data, 90))[1], 5_000)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_metadata_does_not_cost_the_picture(kind: bytes) -> None:
    good = encode_photograph((60, 40), format="PNG")
    bomb = with_chunk(good, text_bomb(kind, 50_000_000))
    assert open_and_decode(bomb).tobytes() == open_and_decode(good).tobytes()


def test_a_jpeg_of_12_bits_is_rejected_with_a_clear_sentence() -> None:
    error = refusal(jpeg_of_precision(encode_photograph(), 12))
    assert error.reason is Reason.UNSUPPORTED_PIXELS
    assert error.message == "The file is a JPEG of 12 bits a sample; JPEGs of 8 are read."


def test_camera_raw_is_rejected_by_name_rather_than_its_preview_rendered() -> None:
    error = refusal(raw_tiff([(50706, 1, 4, b"\1\4\0\0")]))
    assert error.reason is Reason.UNSUPPORTED_FORMAT
    assert "camera raw (DNG)" in error.message


# -- truncated files -----------------------------------------------------------------------------


def _cases() -> dict[str, bytes]:
    moving = io.BytesIO()
    frames = [picture((40, 30), seed=seed) for seed in range(3)]
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:], interlace=0)
    return {
        "JPEG": encode_photograph(),
        "JPEG grey": encode_photograph(mode="L"),
        "JPEG cmyk": encode_photograph(mode="CMYK"),
        "JPEG progressive": encode_photograph(progressive=True),
        "JPEG with restarts": encode_photograph(restart_marker_rows=1),
        "PNG": encode_photograph((60, 40), format="PNG"),
        "PNG palette": encode_photograph((60, 40), format="PNG", mode="P"),
        "GIF": encode_photograph((60, 40), format="GIF", interlace=0),
        "GIF moving": moving.getvalue(),
        "WEBP": encode_photograph(format="WEBP"),
        "WEBP lossless": encode_photograph((60, 40), format="WEBP", lossless=True),
        "TIFF": encode_photograph((60, 40), format="TIFF"),
        "TIFF lzw": encode_photograph((60, 40), format="TIFF", compression="tiff_lzw"),
        "TIFF jpeg": encode_photograph((60, 40), format="TIFF", compression="jpeg"),
        "AVIF": encode_photograph(format="AVIF"),
        "BMP": encode_photograph((60, 40), format="BMP"),
        "BMP 1 bit": encode_photograph((60, 40), format="BMP", mode="1"),
    }


CASES = _cases()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("needed_px", [1024.0, 60.0])
def test_a_file_cut_anywhere_is_refused_or_every_pixel_is_right(
    name: str, needed_px: float
) -> None:
    data = CASES[name]
    good = open_and_decode(data, needed_px).convert("RGBA").tobytes()
    last = range(len(data) - 12, len(data))
    accepted = []
    for cut in (*(len(data) * n // 25 for n in range(1, 25)), *last):
        reason = None
        try:
            image = open_and_decode(data[:cut], needed_px)
        except NotCompressedError as error:
            reason = error.reason
        if reason is None:
            assert image.convert("RGBA").tobytes() == good, f"cut at {cut} of {len(data)}"
            accepted.append(len(data) - cut)
        assert reason in (None, Reason.TRUNCATED, Reason.CORRUPT)
    # What lacks its end marker alone is a whole picture; no other format is as forgiving.
    assert accepted == ([2, 1] if name.startswith("JPEG") else [])


@pytest.mark.parametrize(
    "name", ["JPEG", "JPEG grey", "JPEG cmyk", "JPEG with restarts", "JPEG progressive"]
)
@pytest.mark.parametrize("needed_px", [1024.0, 60.0])
def test_a_cut_jpeg_that_was_closed_again_is_refused_where_libjpeg_gives_grey(
    name: str, needed_px: float
) -> None:
    data = CASES[name]
    for length in (*(int(len(data) * share) for share in (0.3, 0.5, 0.7, 0.9)), -3, -5, -9, -30):
        cut = data[:length] + b"\xff\xd9"
        with Image.open(io.BytesIO(cut)) as image:
            image.load()  # which Pillow takes for whole
        with pytest.raises(NotCompressedError) as caught:
            open_and_decode(cut, needed_px)
        assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_that_is_that_grey_is_no_cut_one(mode: str) -> None:
    buffer = io.BytesIO()
    grey = Image.new(mode, (240, 160), "#808080")
    grey.paste(picture((120, 80)).convert(mode))
    grey.save(buffer, "JPEG")
    assert open_and_decode(buffer.getvalue()).size == (240, 160)
    assert open_and_decode(buffer.getvalue()[:-2]).size == (240, 160)


@pytest.mark.parametrize(
    "name", ["JPEG", "JPEG progressive", "PNG", "GIF", "GIF moving", "TIFF", "BMP"]
)
def test_accept_truncated_is_offered_where_something_would_come_of_it(name: str) -> None:
    data = CASES[name]
    cut = data[: len(data) * 3 // 4]
    with pytest.raises(NotCompressedError, match="accept_truncated renders the rest"):
        open_and_decode(cut)


def test_accept_truncated_is_not_offered_in_vain() -> None:
    headless, webp = CASES["PNG"][:40], encode_photograph((60, 40), format="WEBP")[:-9]
    for open_cut, cut in (
        (open_and_decode, headless),
        (_open_what_is_there, headless),
        (open_and_decode, webp),
    ):
        with pytest.raises(NotCompressedError) as refused:
            open_cut(cut)
        assert refused.value.reason is Reason.TRUNCATED
        assert "accept_truncated" not in refused.value.message


@pytest.mark.parametrize(
    "name", ["JPEG", "JPEG progressive", "PNG", "GIF", "GIF moving", "TIFF", "BMP"]
)
def test_what_decodes_of_a_truncated_file_is_rendered_where_that_is_asked_for(name: str) -> None:
    data = CASES[name]
    cut = data[: len(data) * 3 // 4]
    image, header = open_source(cut, accept_truncated=True)
    decoded = decode(image, header, 1024.0, accept_truncated=True)
    assert (decoded.note or "").startswith("truncated: ")
    whole = open_and_decode(data)
    upper = (0, 0, whole.width, whole.height // 4)
    if name == "BMP":  # which is stored from below
        upper = (0, whole.height * 3 // 4, whole.width, whole.height)
    if name != "JPEG progressive":
        one, other = decoded.image.convert("RGB").crop(upper), whole.convert("RGB").crop(upper)
        assert one.tobytes() == other.tobytes()
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "it is Pillow's global"


def _open_what_is_there(data: bytes) -> None:
    image, header = open_source(data, accept_truncated=True)
    decode(image, header, 1024.0, accept_truncated=True)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
@pytest.mark.parametrize("length", [20, 40])
def test_a_file_without_any_image_data_is_refused_all_the_same(name: str, length: int) -> None:
    with pytest.raises(NotCompressedError) as caught:
        _open_what_is_there(CASES[name][:length])
    assert caught.value.reason in (Reason.TRUNCATED, Reason.CORRUPT)


def test_a_corrupt_file_is_not_taken_for_a_truncated_one() -> None:
    data = bytearray(CASES["PNG"])
    data[len(data) // 2] ^= 0x55
    image, header = open_source(bytes(data), accept_truncated=True)
    with pytest.raises(NotCompressedError) as caught:
        decode(image, header, 1024.0, accept_truncated=True)
    assert caught.value.reason is Reason.CORRUPT


def test_the_global_of_pillow_is_put_back_after_an_error() -> None:
    with contextlib.suppress(NotCompressedError):
        open_source(CASES["PNG"][:40], accept_truncated=True)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    ("needed_px", "size"),
    [
        (1024.0, (256, 160)),
        (129.0, (256, 160)),
        (128.0, (128, 80)),
        (97.0, (128, 80)),
        (96.0, (96, 60)),
        (65.0, (96, 60)),
        (33.0, (64, 40)),
        (1.0, (32, 20)),
    ],
)
def test_a_jpeg_is_decoded_no_smaller_than_needed_and_no_larger_than_that(
    needed_px: float, size: tuple[int, int]
) -> None:
    assert open_and_decode(encode_photograph((256, 160)), needed_px).size == size


@pytest.mark.parametrize("kind", ["JPEG", "3 x 1"])
def test_a_reduced_jpeg_says_how_far_the_source_reaches_in_it(kind: str) -> None:
    data = bytearray(encode_photograph((261, 157), subsampling=0))
    if kind == "3 x 1":  # which is Pillow's to decode
        data[data.index(b"\xff\xc0") + 11] = 0x31
    image, header = open_source(bytes(data), accept_truncated=True)
    decoded = decode(image, header, 90.0, accept_truncated=True)
    if kind == "JPEG":
        assert decoded.image.size == (98, 59)
        assert decoded.extent == (97.875, 58.875)
    else:
        assert decoded.image.size == (131, 79)
        assert decoded.extent == (130.5, 78.5)


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


def test_what_a_decoder_says_is_told_in_one_line_and_not_as_code() -> None:
    error = broken(RuntimeError("Memory allocation error:\n  too large\n"))
    assert error.reason is Reason.CORRUPT
    assert error.message == (
        "The image data cannot be decoded: Memory allocation error: too large."
    )
