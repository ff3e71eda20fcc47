import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from image_assets.engine.pixels.upright import (
    read_orientation,
    swaps_sides,
    turn_upright,
    upright_box,
)
from image_assets_tests.odd_pictures import exif_orientation, saved, xmp_orientation
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


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


ATTRIBUTE = 'tiff:Orientation="6"'


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (ATTRIBUTE, 6),
        ("tiff:Orientation='8'", 8),
        ('tiff:Orientation = "3"', 3),
        ('/><rdf:Description tiff:x="1"><tiff:Orientation>5</tiff:Orientation', 5),
        ('tiff:Orientation="0"', 1),
        ('tiff:Orientation="9"', 1),
        ('tiff:Orientation="16"', 1),
        ('tiff:Orientation=""', 1),
        ('exif:Orientation="6"', 1),
        ("", 1),
    ],
)
def test_xmp_states_the_orientation_where_exif_does_not(statement: str, expected: int) -> None:
    packet = f"<x:xmpmeta><rdf:Description {statement}/></x:xmpmeta>".encode()
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", packet.decode())
    assert read_orientation(_opened(saved(picture((16, 16)), "JPEG", xmp=packet))) == expected
    assert read_orientation(_opened(saved(picture((16, 16)), "WEBP", xmp=packet))) == expected
    assert read_orientation(_opened(saved(picture((16, 16)), "PNG", pnginfo=text))) == expected


def test_exif_wins_over_xmp_also_where_it_states_upright() -> None:
    for stated in (1, 3):
        data = saved(picture(), "JPEG", exif=exif_orientation(stated), xmp=xmp_orientation(6))
        assert read_orientation(_opened(data)) == stated
    # What EXIF states must be valid, else it states nothing.
    for stated in (0, 9):
        data = saved(picture(), "JPEG", exif=exif_orientation(stated), xmp=xmp_orientation(6))
        assert read_orientation(_opened(data)) == 6


def test_who_asked_for_the_exif_before_changes_nothing() -> None:
    # Pillow then holds XMP's orientation as EXIF's.
    image = _opened(saved(picture(), "AVIF", xmp=xmp_orientation(6)))
    assert image.getexif().get(0x0112) == 6
    assert read_orientation(image) == 1
    assert image.info["xmp"] == xmp_orientation(6), "nothing is taken from the image"


def test_an_avif_is_turned_by_its_boxes_alone() -> None:
    turned = saved(picture((48, 32)), "AVIF", exif=exif_orientation(6))
    assert b"irot" in turned
    image = _opened(turned)
    assert read_orientation(image) == 6
    # The same without the box: what EXIF says was for decoders that cannot turn.
    plain = saved(picture((48, 32)), "AVIF", xmp=xmp_orientation(8))
    assert b"irot" not in plain
    assert read_orientation(_opened(plain)) == 1


@pytest.mark.filterwarnings("ignore:Metadata Warning")  # a worker ignores warnings
@pytest.mark.parametrize(
    ("kind", "count", "value", "expected"),
    [
        (3, 1, b"\6\0", 6),
        (4, 1, b"\6\0\0\0", 6),  # a long where a short belongs is as good
        (3, 2, b"\6\0\3\0", 6),  # the first of two
        (2, 4, b"six\0", 1),
        (7, 2, b"\6\0", 1),
        (11, 1, struct.pack("<f", 6.0), 1),
        (8, 1, struct.pack("<h", -6), 1),
        (99, 1, b"\6\0\0\0", 1),
        (3, 0, b"", 1),
    ],
)
def test_an_orientation_of_a_wrong_type_counts_as_upright(
    kind: int, count: int, value: bytes, expected: int
) -> None:
    entry = struct.pack("<HHI", 0x0112, kind, count) + value.ljust(4, b"\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    assert read_orientation(_opened(saved(picture((16, 16)), "JPEG", exif=exif))) == expected


def test_a_tiff_turned_by_its_xmp_alone_is_upright_after_decoding() -> None:
    upright = picture((48, 32))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = xmp_orientation(6)
    tags.tagtype[700] = 1
    data = saved(
        Image.fromarray(np.ascontiguousarray(stored(np.asarray(upright), 6))), "TIFF", tiffinfo=tags
    )
    image = _opened(data)
    assert image.size == (48, 32)
    assert read_orientation(image) == 1


def test_no_exif_counts_as_upright() -> None:
    assert read_orientation(picture((16, 16))) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_the_source_covers_is_found_again_once_upright(orientation: int) -> None:
    decoded = Image.new("L", (6, 4), 0)
    decoded.paste(255, (0, 0, 5, 3))  # it covers 5 x 3; a column and a row are beyond
    box = upright_box(decoded.size, (5, 3), orientation)
    upright = turn_upright(decoded, orientation)
    assert upright.crop(box).getextrema() == (255, 255)
    assert (box[2] - box[0]) * (box[3] - box[1]) == 15
