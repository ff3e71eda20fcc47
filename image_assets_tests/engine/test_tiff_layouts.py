import numpy as np
import pytest

from image_assets.engine.codecs import prepare_pillow
from image_assets.engine.opening import decode, open_source
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets.engine.tiff_layouts import unread_layout
from image_assets_tests.odd_pictures import tiff
from image_assets_tests.photographs import picture

COLOUR = np.asarray(picture((12, 8)))


@pytest.mark.parametrize(
    ("pixels", "photometric", "said"),
    [
        ((COLOUR / 255).astype(np.float32), 2, "(32, 32, 32) bits, sample format (3, 3, 3)"),
        (COLOUR[..., 0].astype(np.float64), 1, "(64,) bits, sample format (3,)"),
        (COLOUR.astype(np.uint32), 2, "(32, 32, 32) bits, sample format (1, 1, 1)"),
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
        image, header = open_source(data)
        decode(image, header, 100)
        assert (np.asarray(image) == COLOUR).all()
