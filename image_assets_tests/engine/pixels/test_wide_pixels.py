import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from image_assets.engine.pixels import profiles
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.colour import to_srgb
from image_assets.engine.pixels.cost import Header, image_cost_bytes
from image_assets.engine.pixels.opening import decode, open_source
from image_assets.engine.pixels.stated_colour import read_colour
from image_assets.engine.pixels.upright import read_orientation
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.odd_pictures import linear, packed_tiff, pfm, stored_turned, tiff
from image_assets_tests.photographs import picture

SIZE = (70, 45)
RGBA = np.asarray(picture(SIZE, mode="RGBA")).copy()
RGBA[0, 0] = 255  # each channel's largest, so that alpha's range is known
RGB = np.ascontiguousarray(RGBA[..., :3])
GREY_ALPHA = np.ascontiguousarray(RGBA[..., 2:])
GREY = RGB[..., 0]


@pytest.fixture(scope="module", autouse=True)
def pillow() -> None:
    prepare_pillow()


def decoded(data: bytes, **options: bool) -> tuple[Image.Image, Header, str | None]:
    image, header = open_source(data, **options)
    note = decode(image, header, 100, **options).note
    return image, header, note


def rendered(data: bytes) -> npt.NDArray[Any]:
    image, _, _ = decoded(data)
    return np.asarray(to_srgb(image, read_colour(image, data)).image)


def refusal(data: bytes, **options: bool) -> NotCompressedError:
    with pytest.raises(NotCompressedError) as refused:
        decoded(data, **options)
    return refused.value


def scaled(pixels: npt.NDArray[np.uint8], kind: str) -> npt.NDArray[Any]:
    """The same picture in another kind of number: floats of 0 to 1, 16 bits, or 32 as 8.

    Floats of colour are light.
    """
    if kind.startswith("f"):
        if pixels.shape[2:] in ((3,), (4,)):
            light = linear(Image.fromarray(pixels[..., :3]))
            return np.dstack([light, pixels[..., 3:] / 255]).astype(kind)
        return (pixels / 255).astype(kind)
    return (pixels * np.uint16(257)).astype("u2") if kind == "u2" else pixels.astype(kind)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "u4", "i4"])
def test_colour_of_every_width_is_read_in_each_order_of_bytes_and_planes(
    kind: str, planar: bool, compression: int, big_endian: bool
) -> None:
    for predictor in (1, 2, 3) if compression in (5, 8) else (1,):
        if predictor == 3 and not kind.startswith("f"):
            continue
        for pixels, extra in ((RGB, {}), (RGBA, {338: (2,)})):
            image, header, _ = decoded(
                packed_tiff(
                    scaled(pixels, kind),
                    2,
                    compression,
                    predictor=predictor,
                    big_endian=big_endian,
                    planar=planar,
                    tags=extra,
                )
            )
            assert (header.width_px, header.height_px) == SIZE
            assert header.mode == image.mode == ("RGBA" if extra else "RGB")
            # A light of 16 bits may lie just between two numbers.
            assert np.abs(np.asarray(image).astype(int) - pixels).max() <= (kind == "f2")


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("compression", [1, 5])
@pytest.mark.parametrize("kind", ["u2", "u4", "f2", "f4", "f8"])
def test_grey_with_alpha_is_read(kind: str, compression: int, big_endian: bool) -> None:
    for meaning, mode in ((0, "L"), (1, "La"), (2, "LA")):
        data = packed_tiff(
            scaled(GREY_ALPHA, kind), 1, compression, big_endian=big_endian, tags={338: (meaning,)}
        )
        image, _, _ = decoded(data)
        assert image.mode == mode
        expected = GREY_ALPHA[..., 0] if mode == "L" else GREY_ALPHA
        assert (np.asarray(image) == expected).all()


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", ["f2", "f8"])
def test_grey_floats_of_16_and_64_bits_are_read_white_is_zero_too(
    kind: str, big_endian: bool
) -> None:
    floats = scaled(GREY, kind)
    assert (rendered(tiff(floats, 1, big_endian=big_endian)) == GREY).all()
    assert (rendered(tiff(1 - floats, 0, big_endian=big_endian)) == GREY).all()


@pytest.mark.parametrize("kind", ["float32", "float64", "uint32"])
@pytest.mark.parametrize("predictor", ["none", "horizontal", "float"])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
def test_tiles_as_another_library_writes_them_are_read(
    kind: str, compression: str, predictor: str
) -> None:
    pyvips = pytest.importorskip("pyvips")
    if kind == "uint32" and predictor == "float":
        return
    written = pyvips.Image.new_from_array(RGBA.astype(kind)).tiffsave_buffer(
        compression=compression, predictor=predictor, tile=True, tile_width=32, tile_height=16
    )
    image, header, _ = decoded(written)
    assert header.wide_bytes_per_pixel >= np.dtype(kind).itemsize * 4
    assert (np.asarray(image) == RGBA).all()


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_pfm_is_read_from_the_bottom_up(big_endian: bool) -> None:
    for pixels in (GREY, RGB):
        data = pfm(scaled(pixels, "f4"), big_endian=big_endian)
        _, header, _ = decoded(data)
        assert (header.format, header.width_px, header.height_px) == ("PFM", *SIZE)
        assert (rendered(data) == pixels).all()


def sample(*colours: tuple[float, float, float]) -> npt.NDArray[np.float32]:
    return np.array([colours], dtype=np.float32)


def test_all_colours_have_one_white() -> None:
    for largest, white in ((16, 1), (17, 255), (511, 255), (512, 512), (1e6, 1e6)):
        floats = sample((largest, 0.5 * white, 0), (0, white, 0.25 * white))
        for data in (tiff(floats, 2), pfm(floats)):
            first, second = rendered(data)[0].tolist()
            assert first[::2] == [min(255, int(255 * largest / white + 0.5)), 0]
            half, quarter = (188, 137) if white == 1 else (127.5, 64)  # light, or numbers as stored
            assert abs(first[1] - half) <= 0.5
            assert second == [0, 255, quarter]


def test_no_number_is_black_infinite_is_white_and_below_zero_is_black() -> None:
    floats = sample((np.nan, np.inf, -np.inf), (0.5, -3, 1), (1e31, 0, np.nan))
    expected = [[0, 255, 0], [188, 0, 255], [255, 0, 0]]
    for data in (tiff(floats, 2), tiff(floats.astype("f8"), 2), pfm(floats)):
        assert rendered(data)[0].tolist() == expected
    huge = floats.astype("f8")
    huge[0, 2, 0] = 1e300  # no float of 32 bits
    assert rendered(tiff(huge, 2))[0].tolist() == expected


def test_alpha_has_its_own_range() -> None:
    floats = np.dstack([RGB.astype("f4"), RGBA[..., 3] / np.float32(255)])
    assert (rendered(tiff(floats, 2, extra_sample=2)) == RGBA).all()
    whole = np.dstack([RGB.astype("u4"), RGBA[..., 3].astype("u4") * 257])
    assert (rendered(tiff(whole, 2, extra_sample=2)) == RGBA).all()


def test_premultiplied_alpha_is_divided_out_and_an_unspecified_channel_left_out() -> None:
    alpha = RGBA[..., 3:] / np.float32(255)
    floats = np.dstack([scaled(RGB, "f4") * alpha, alpha])
    shown = rendered(tiff(floats, 2, extra_sample=1)).astype(int)
    visible = RGBA[..., 3] > 100
    assert np.abs(shown - RGBA)[visible].max() <= 2
    for extra in (0, None):
        assert (rendered(tiff(scaled(RGBA, "f4"), 2, extra_sample=extra)) == RGB).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [1, 8])
def test_it_is_turned_upright_once(compression: int, orientation: int) -> None:
    stored = np.asarray(stored_turned(Image.fromarray(RGB), orientation))
    data = packed_tiff(scaled(stored, "f4"), 2, compression, tags={274: (orientation,)})
    image, header, _ = decoded(data)
    assert (header.width_px, header.height_px) == image.size == SIZE
    assert read_orientation(image) == 1
    assert (np.asarray(image) == RGB).all()


@pytest.mark.parametrize("data", [tiff(scaled(RGB, "f4"), 2), packed_tiff(scaled(RGB, "f4"), 2, 5)])
def test_a_tiff_cut_anywhere_is_truncated(data: bytes) -> None:
    for cut in (len(data) // 4, len(data) // 2):
        front = data[:4] + struct.pack("<I", 8) + data[8:]
        assert refusal(front[:cut]).reason in (Reason.TRUNCATED, Reason.CORRUPT)
    directory = struct.unpack_from("<I", data, 4)[0]
    for cut in (20, directory - 1, directory + 30):
        assert refusal(data[:cut]).reason is Reason.TRUNCATED


def with_data_last(pixels: npt.NDArray[Any]) -> bytes:
    """A TIFF whose pixels are at its end, so that a cut leaves the directory."""
    image = Image.fromarray(
        np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    )
    data = bytearray(tiff(pixels, 2))
    directory = struct.unpack_from("<I", data, 4)[0]
    moved, raw = bytes(data[directory:]), image.tobytes()
    shift = directory - 8
    count = struct.unpack_from("<H", moved)[0]
    out = bytearray(moved)
    for place in range(2, 2 + 12 * count, 12):
        tag, kind, number, value = struct.unpack_from("<HHII", out, place)
        if tag == 273:
            struct.pack_into("<I", out, place + 8, 8 + len(moved))
        elif kind == 3 and number > 2:
            struct.pack_into("<I", out, place + 8, value - shift)
    return b"II*\0" + struct.pack("<I", 8) + bytes(out) + raw


def test_what_is_left_of_a_cut_file_is_rendered_where_that_is_accepted() -> None:
    whole = with_data_last(scaled(RGB, "f4"))
    assert (rendered(whole) == RGB).all()
    half = whole[: len(whole) - len(RGB) // 2 * 70 * 12]
    assert refusal(half).reason is Reason.TRUNCATED
    image, _, note = decoded(half, accept_truncated=True)
    assert note is not None
    assert note.startswith("truncated:")
    shown = np.asarray(image).astype(int)
    assert np.abs(shown[:20] - RGB[:20]).max() <= 1, "its white may have been cut off"

    floats = pfm(scaled(RGB, "f4"))[: -20 * 70 * 12]
    assert refusal(floats).reason is Reason.TRUNCATED
    image, _, note = decoded(floats, accept_truncated=True)
    assert note is not None
    assert np.abs(np.asarray(image).astype(int)[20:] - RGB[20:]).max() <= 1
    assert not np.asarray(image)[:20].any(), "the last rows of a PFM are the upper ones"


@pytest.mark.parametrize(
    "header",
    [
        b"PF\n10 10\n0\n",
        b"PF\n10 ten\n-1\n",
        b"PF\n0 10\n-1\n",
        b"Pf 1 1 nan\n",
        b"PF\n3 3 1e999\n",
    ],
)
def test_a_pfm_of_a_broken_header_is_corrupt(header: bytes) -> None:
    assert refusal(header + bytes(4000)).reason in (Reason.CORRUPT, Reason.TRUNCATED)


def test_a_header_that_lies_costs_what_it_states_and_not_a_decode() -> None:
    huge = pfm(scaled(RGB, "f4")).replace(b"70 45", b"90000 90000")
    _, header = open_source(huge)
    assert image_cost_bytes(header, 1024, 1.0) > 9e4**2 * 4
    assert refusal(huge).reason is Reason.TRUNCATED
    # A tile far wider than its picture is unpacked whole, and is counted so.
    pyvips = pytest.importorskip("pyvips")
    wide = pyvips.Image.new_from_array(RGB[:, :10].astype("f4")).tiffsave_buffer(
        tile=True, tile_width=1024, tile_height=16
    )
    assert open_source(wide)[1].wide_bytes_per_pixel == 1024 * 12 // 10 + 1


@pytest.mark.parametrize(("number", "name"), [(34887, "LERC"), (50002, "JPEG XL"), (7, "method 7")])
def test_a_compression_that_is_not_read_is_named(number: int, name: str) -> None:
    data = packed_tiff(scaled(RGB, "f4"), 2, number)
    error = refusal(data)
    assert error.reason is Reason.UNSUPPORTED_PIXELS
    assert name in error.message


def test_its_profile_is_applied() -> None:
    pyvips = pytest.importorskip("pyvips")
    profile = profiles.display_p3_profile()
    plain = pyvips.Image.new_from_array(RGB.astype("f4") / 255)  # as the profile has it, no light
    tagged = plain.copy()
    tagged.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    data = tagged.tiffsave_buffer(compression="lzw")
    image, _, _ = decoded(data)
    converted = to_srgb(image, read_colour(image, data))
    assert converted.note.startswith("profile:")
    expected = to_srgb(Image.fromarray(RGB), profile).image
    assert (np.asarray(converted.image) == np.asarray(expected)).all()


def test_the_first_of_several_pages_is_read() -> None:
    data = bytearray(with_data_last(scaled(RGB, "f4")))
    count = struct.unpack_from("<H", data, 8)[0]
    struct.pack_into("<I", data, 10 + 12 * count, len(data))
    data += struct.pack("<H", 0) + bytes(4)
    image, header, _ = decoded(bytes(data))
    assert header.frames == 2
    assert (np.asarray(image) == RGB).all()
