import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from image_assets.engine.upright import read_orientation, swaps_sides, turn_upright
from image_assets_tests.photographs import encode_photograph, picture

# Where the EXIF standard puts the upright picture's rows and columns in the stored one:
# (0th row, 0th column) = 1 (top, left), 2 (top, right), 3 (bottom, right), 4 (bottom, left),
# 5 (left, top), 6 (right, top), 7 (right, bottom), 8 (left, bottom).
Pixels = npt.NDArray[np.uint8]


def stored(upright: Pixels, orientation: int) -> Pixels:
    turned = upright.swapaxes(0, 1) if orientation >= 5 else upright
    rows_reversed = orientation in (3, 4, 6, 7)
    columns_reversed = orientation in (2, 3, 7, 8)
    turned = turned[::-1] if rows_reversed else turned
    return turned[:, ::-1] if columns_reversed else turned


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_every_orientation_gives_the_same_upright_picture(
    orientation: int, format_name: str
) -> None:
    upright = np.asarray(picture((48, 32)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    options = {"quality": 95, "subsampling": 0} if format_name == "JPEG" else {}
    if format_name == "WEBP":
        options = {"lossless": True}
    Image.fromarray(np.ascontiguousarray(stored(upright, orientation))).save(
        buffer, format_name, exif=exif, **options
    )
    with Image.open(buffer) as image:
        image.load()  # as the engine does: Pillow turns a TIFF while it decodes
        found = read_orientation(image)
        assert found == (1 if format_name == "TIFF" else orientation)
        turned = turn_upright(image, found)
        assert swaps_sides(found) == (image.size != turned.size)
        pixels = np.asarray(turned).astype(int)
    difference = np.abs(pixels - upright.astype(int))
    assert difference.shape == upright.shape
    if format_name == "JPEG":
        assert difference.mean() < 4  # grain
    else:
        assert difference.max() == 0


def test_the_eight_stored_pictures_all_differ() -> None:
    # else the test above could not tell one orientation from another
    upright = np.asarray(picture((32, 32)))
    assert len({stored(upright, orientation).tobytes() for orientation in range(1, 9)}) == 8


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_unknown_orientation_counts_as_upright(value: int) -> None:
    data = encode_photograph((16, 16), orientation=value)
    with Image.open(io.BytesIO(data)) as image:
        assert read_orientation(image) == 1
        assert turn_upright(image, read_orientation(image)) is image


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # a worker ignores warnings
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"garbage"],
)
def test_broken_exif_counts_as_upright(exif: bytes) -> None:
    buffer = io.BytesIO()
    picture((16, 16)).save(buffer, "JPEG", exif=exif)
    with Image.open(buffer) as image:
        assert read_orientation(image) == 1


def test_no_exif_counts_as_upright() -> None:
    assert read_orientation(picture((16, 16))) == 1
