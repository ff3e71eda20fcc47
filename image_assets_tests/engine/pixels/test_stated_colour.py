import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.engine.pixels.profiles import (
    P3_PRIMARIES,
    SRGB_PRIMARIES,
    display_p3_profile,
    gamma_curve,
    hlg_curve,
    pq_curve,
    srgb_curve,
)
from image_assets.engine.pixels.stated_colour import (
    SourceColour,
    Space,
    cicp_space,
    crop_to_aperture,
    read_colour,
)
from image_assets_tests.odd_pictures import SWAPPED, chrm, gama, iccp, png, saved, tiff
from image_assets_tests.photographs import picture

RGB = picture((16, 12))
PIXELS = np.asarray(RGB)


def stated(data: bytes) -> SourceColour:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return read_colour(image, data)


def png_with(chunks: dict[bytes, bytes]) -> SourceColour:
    return stated(png(PIXELS, colour_type=2, chunks=chunks))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ({}, None),
        ({b"sRGB": b"\0"}, Space("srgb", SRGB_PRIMARIES, srgb_curve)),
        ({b"sRGB": b"\0", **gama(1.0), **chrm(SWAPPED)}, Space("srgb", SRGB_PRIMARIES, srgb_curve)),
        (gama(0.45455), Space("srgb", SRGB_PRIMARIES, srgb_curve)),
        (gama(0.4545), Space("srgb", SRGB_PRIMARIES, srgb_curve)),
        (chrm(SRGB_PRIMARIES), Space("srgb", SRGB_PRIMARIES, srgb_curve)),
        (gama(1.0), Space("gamma:1", SRGB_PRIMARIES, gamma_curve(1.0))),
        (gama(0.5), Space("gamma:0.5", SRGB_PRIMARIES, gamma_curve(2.0))),
        (chrm(SWAPPED), Space("srgb+chromaticities", SWAPPED, srgb_curve)),
        (
            {**gama(0.5), **chrm(SWAPPED)},
            Space("gamma:0.5+chromaticities", SWAPPED, gamma_curve(2.0)),
        ),
        (gama(0.0), None),
        (gama(0.001), None),  # an exponent of 1,000
        (gama(100.0), None),
    ],
)
def test_png_chunks_are_read_by_rank(chunks: dict[bytes, bytes], expected: Space | None) -> None:
    found = png_with(chunks)
    assert found.space == expected
    assert found.icc_profile is None
    assert not found.space_first


def test_cicp_outranks_the_profile_and_all_other_chunks() -> None:
    chunks = {b"cICP": bytes([12, 16, 0, 1]), **iccp(display_p3_profile()), **gama(1.0)}
    found = png_with(chunks)
    assert found.space_first
    assert found.space == Space("cicp:p3-pq", P3_PRIMARIES, pq_curve)


@pytest.mark.parametrize("content", [b"", b"\x09", b"\x09\x10\x00\x01\x00"])
def test_a_cicp_chunk_of_another_length_is_none(content: bytes) -> None:
    assert png_with({b"cICP": content}) == SourceColour()


def test_png_that_ends_within_its_chunks_states_nothing() -> None:
    data = png(PIXELS, colour_type=2)
    with Image.open(io.BytesIO(data)) as image:
        for end in range(8, 60):
            assert read_colour(image, data[:end]) == SourceColour()


@pytest.mark.parametrize(
    ("codes", "label", "is_srgb"),
    [
        ((1, 13), "cicp:bt709-srgb", True),
        ((1, 1), "cicp:bt709-srgb", True),  # a camera's curve: made and judged on sRGB screens
        ((2, 2), "cicp:bt709-srgb", True),
        ((200, 99), "cicp:bt709-srgb", True),
        ((9, 16), "cicp:bt2020-pq", False),
        ((9, 18), "cicp:bt2020-hlg", False),
        ((12, 13), "cicp:p3-srgb", False),
        ((1, 8), "cicp:bt709-linear", False),
    ],
)
def test_code_points_name_a_space(codes: tuple[int, int], label: str, is_srgb: bool) -> None:
    space = cicp_space(*codes)
    assert (space.label, space.is_srgb) == (label, is_srgb)


def avif(primaries: int, transfer: int, **options: Any) -> bytes:
    data = saved(RGB, "AVIF", **options)
    if b"colrnclx" not in data:
        return data
    at = data.index(b"colrnclx") + 8
    return data[:at] + primaries.to_bytes(2, "big") + transfer.to_bytes(2, "big") + data[at + 4 :]


def test_an_avif_states_its_space_in_the_box_of_its_primary_picture() -> None:
    assert stated(avif(9, 18)).space == cicp_space(9, 18)
    assert stated(avif(2, 2)).space is None
    # The alpha is a picture of its own, with another box before or after.
    data = saved(picture((16, 12), mode="RGBA"), "AVIF")
    assert stated(data).space == cicp_space(1, 13)


def test_an_avif_of_broken_boxes_states_nothing_and_fails_nobody() -> None:
    data = avif(9, 16)
    with Image.open(io.BytesIO(data)) as image:
        meta = data.index(b"meta")
        for at in range(meta - 4, data.index(b"mdat")):
            for value in (0, 1, 255):
                broken = data[:at] + bytes([value]) + data[at + 1 :]
                assert isinstance(read_colour(image, broken), SourceColour)
            assert isinstance(read_colour(image, data[:at]), SourceColour)


def test_tiffs_that_pillow_reads_otherwise_than_they_mean_are_marked() -> None:
    grey = np.asarray(RGB.convert("L"))
    assert stated(tiff(grey.astype(np.uint16), 0)) == SourceColour(inverted=True)
    assert stated(tiff(grey.astype(np.uint16), 1)) == SourceColour()
    assert stated(tiff(grey, 0)) == SourceColour()  # Pillow turns 8 bits round
    assert stated(tiff(grey.astype(np.float32), 0)) == SourceColour(inverted=True)
    assert stated(tiff(grey.astype(np.uint32), 1)) == SourceColour(unsigned=True)
    assert stated(tiff(grey.astype(np.int32), 1)) == SourceColour()


def test_curves_run_from_black_to_white_and_never_back() -> None:
    for curve in (srgb_curve, gamma_curve(2.2), pq_curve, hlg_curve):
        light = [curve(value / 255) for value in range(256)]
        assert light == sorted(light)
        assert light[0] == pytest.approx(0, abs=1e-6)
        assert 0.99 < light[-1] <= 1
    # 203 nits are 58 % of PQ's signal and 75 % of HLG's (BT.2408).
    assert pq_curve(0.5807) == pytest.approx(hlg_curve(0.75), abs=0.005)
    assert pq_curve(0.5807) == pytest.approx(0.908, abs=0.002)


# -- the clean aperture of AVIF


def _with_aperture(data: bytes, numbers: tuple[int, ...]) -> bytes:
    """An AVIF with a clap box: in the place of its colr, which decoders do without."""
    box = struct.pack(">I4s8i", 40, b"clap", *numbers)
    at = data.index(b"colr") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    grown = len(box) - size
    changed = bytearray(data[:at] + box + data[at + size :])
    changed[changed.index(b"\1\2\x83\4") + 3] = 0x84  # of the associations: essential
    for kind in (b"meta", b"iprp", b"ipco"):
        place = data.index(kind) - 4
        length = int.from_bytes(data[place : place + 4], "big") + grown
        changed[place : place + 4] = length.to_bytes(4, "big")
    start = data.index(b"mdat") + 4  # the item begins there; iloc says so
    return bytes(changed).replace(start.to_bytes(4, "big"), (start + grown).to_bytes(4, "big"))


@pytest.mark.parametrize(
    ("numbers", "size"),
    [
        ((32, 1, 20, 1, 0, 1, 0, 1), (32, 20)),
        ((32, 1, 20, 1, -16, 1, 14, 1), (32, 20)),
        ((31, 1, 20, 1, 1, 2, 0, 1), (31, 20)),
        ((31, 1, 20, 1, 0, 1, 0, 1), (64, 48)),  # half a pixel
        ((65, 1, 20, 1, 0, 1, 0, 1), (64, 48)),  # beyond the picture
        ((32, 0, 20, 1, 0, 1, 0, 1), (64, 48)),
    ],
)
def test_an_avif_is_cropped_to_its_clean_aperture(
    numbers: tuple[int, ...], size: tuple[int, int]
) -> None:
    data = _with_aperture(saved(picture((64, 48)), "AVIF"), numbers)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        whole = image.copy()
        crop_to_aperture(image, data)
    assert image.size == size
    if numbers[4:] == (-16, 1, 14, 1):  # the corner at the bottom left
        assert image.tobytes() == whole.crop((0, 28, 32, 48)).tobytes()
