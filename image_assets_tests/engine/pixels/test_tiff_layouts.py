import numpy as np
import pytest
from PIL import Image

from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.opening import decode, open_source
from image_assets.engine.pixels.tiff_layouts import unread_layout
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets_tests.odd_pictures import tiff, tiff_of_strips
from image_assets_tests.photographs import picture

COLOUR = np.asarray(picture((12, 8)))


@pytest.mark.parametrize(
    ("pixels", "photometric", "said"),
    [
        (np.dstack([COLOUR, COLOUR[..., :1]]).astype(np.float32), 5, "4 x 32 bits, floating-point"),
        (COLOUR[..., 0].astype(np.uint64), 1, "a TIFF of 1 x 64 bits, whole numbers"),
        (COLOUR.astype(np.uint64), 2, "a TIFF of 3 x 64 bits, whole numbers"),
    ],
)
def test_a_sound_tiff_of_a_layout_that_is_not_read_is_named_not_called_corrupt(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.float64]], photometric: int, said: str
) -> None:
    for big_endian in (False, True):
        with pytest.raises(NotCompressedError) as refused:
            open_source(tiff(pixels, photometric, big_endian=big_endian))
        assert refused.value.reason is Reason.UNSUPPORTED_PIXELS
        assert said in str(refused.value)


def test_a_broken_tiff_is_not_blamed_on_its_layout() -> None:
    whole = tiff(COLOUR, 2)
    assert unread_layout(whole) is None
    for end in (4, 8, 12, len(whole) - 60):
        assert unread_layout(whole[:end]) is None


def test_cielab_of_sixteen_bits_opens_by_its_upper_bytes() -> None:
    prepare_pillow()
    for big_endian in (False, True):
        data = tiff(COLOUR.astype(np.uint16) * np.uint16(256), 8, big_endian=big_endian)
        assert (np.asarray(_decoded(data)) == COLOUR).all()


def _decoded(data: bytes) -> Image.Image:
    image, header = open_source(data)
    return decode(image, header, 100).image


BASE = {256: (12,), 257: (8,), 258: (8, 8, 8), 259: (1,), 262: (2,), 277: (3,), 278: (8,)}


@pytest.mark.parametrize("big_endian", [False, True])
def test_sixteen_bits_in_planes_of_their_own_are_read_without_compression(big_endian: bool) -> None:
    wide = COLOUR.astype(">u2" if big_endian else "<u2") * 257
    planes = [wide[..., channel].astype(wide.dtype).tobytes() for channel in range(3)]
    fields = {**BASE, 258: (16, 16, 16), 284: (2,)}
    image = _decoded(tiff_of_strips(planes, fields, big_endian=big_endian))
    assert (np.asarray(image) == COLOUR).all()


def test_uncompressed_ycbcr_is_read_whatever_its_sampling() -> None:
    fields = {**BASE, 262: (6,), 530: (1, 1)}
    ycbcr = np.asarray(Image.fromarray(COLOUR).convert("YCbCr"))
    whole = np.asarray(_decoded(tiff_of_strips([ycbcr.tobytes()], fields)).convert("RGB"))
    assert np.abs(whole.astype(int) - COLOUR).mean() < 3
    flat = bytes([200] * 4 + [128, 128]) * (6 * 4)  # blocks of 2 x 2: four lumas, two chromas
    halved = _decoded(tiff_of_strips([flat], {**fields, 530: (2, 2)})).convert("RGB")
    assert halved.getextrema() == ((200, 200),) * 3


def test_a_palette_of_eight_bit_numbers_is_not_black() -> None:
    greys = np.arange(96, dtype=np.uint8).reshape(8, 12)
    palette = (*range(256), *range(255, -1, -1), *([7] * 256))
    fields = {**BASE, 258: (8,), 262: (3,), 277: (1,)}
    for factor in (1, 257):
        colours = tuple(value * factor for value in palette)
        image = _decoded(tiff_of_strips([greys.tobytes()], {**fields, 320: colours}))
        assert image.convert("RGB").getpixel((3, 1)) == (15, 240, 7)


@pytest.mark.parametrize(("number", "name"), [(50001, "WebP"), (34887, "LERC"), (50002, "JPEG XL")])
def test_a_compression_that_is_not_read_is_named_not_called_corrupt(number: int, name: str) -> None:
    data = tiff_of_strips([bytes(288)], {**BASE, 259: (number,)})
    with pytest.raises(NotCompressedError) as refused:
        _decoded(data)
    assert refused.value.reason is Reason.UNSUPPORTED_PIXELS
    assert name in str(refused.value)
