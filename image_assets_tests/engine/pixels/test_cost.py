import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.pixels.cost import Header, guard_bytes, image_cost_bytes
from image_assets.engine.pixels.structure import Structure

MB = 1_000_000
JPEG_12_MP = Header("JPEG", "RGB", 4000, 3000, 1, False, 4 * MB)
HALF_CHROMA = Structure(b"", samples_per_pixel=1.5)
JPEG_100_MP = Header("JPEG", "RGB", 11_600, 8_700, 1, False, 30 * MB)

SIDES = st.integers(1, 20_000)
HEADERS = st.builds(
    Header,
    format=st.sampled_from(["JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP"]),
    mode=st.sampled_from(["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16"]),
    width_px=SIDES,
    height_px=SIDES,
    frames=st.integers(1, 3),
    progressive=st.booleans(),
    size_bytes=st.integers(0, 10**8),
)


# Measured over a worker's base (DESIGN section 5); an estimate below them would let runs swap.
@pytest.mark.parametrize(
    ("header", "largest_px", "measured_bytes", "at_most_bytes"),
    [
        (JPEG_12_MP, 1024, 21 * MB, 64 * MB),
        (JPEG_12_MP, 4000, 61 * MB, 600 * MB),
        (JPEG_100_MP, 1024, 14 * MB, 130 * MB),
        (
            dataclasses.replace(JPEG_100_MP, progressive=True, structure=HALF_CHROMA),
            1024,
            293 * MB,
            440 * MB,
        ),
        (JPEG_12_MP, 2048, 158 * MB, 237 * MB),
        # Over a worker's base at 24 MP, by `python -m bench.cost --megapixels 24`.
        (Header("PNG", "RGB", 5656, 4242, 1, False, MB), 1024, 127 * MB, 190 * MB),
        (Header("PNG", "RGBA", 5656, 4242, 1, False, MB), 1024, 178 * MB, 335 * MB),
        (Header("PNG", "L", 5656, 4242, 1, False, MB), 1024, 50 * MB, 75 * MB),
        (Header("PNG", "I;16", 5656, 4242, 1, False, 2 * MB), 1024, 212 * MB, 399 * MB),
        (Header("WEBP", "RGB", 5656, 4242, 1, False, 6 * MB), 1024, 320 * MB, 600 * MB),
        (Header("AVIF", "RGBA", 5656, 4242, 1, False, 6 * MB), 1024, 252 * MB, 472 * MB),
        (Header("TIFF", "F", 5656, 4242, 1, False, 96 * MB), 1024, 410 * MB, 768 * MB),
        (
            Header("TIFF", "RGB", 5656, 4242, 1, False, 288 * MB, wide_bytes_per_pixel=12),
            1024,
            688 * MB,
            1030 * MB,
        ),
        (
            Header(
                *("TIFF", "RGB", 5656, 4242, 1, False, 48 * MB),
                structure=Structure(b"", compression=5),
                wide_bytes_per_pixel=12,
            ),
            1024,
            449 * MB,
            673 * MB,
        ),
    ],
)
def test_an_image_costs_at_least_what_was_measured_and_not_absurdly_more(
    header: Header, largest_px: int, measured_bytes: int, at_most_bytes: int
) -> None:
    assert measured_bytes <= image_cost_bytes(header, largest_px, 1.0) <= at_most_bytes


@given(HEADERS, st.integers(1, 16_383), st.floats(1, 8))
def test_no_image_is_free_and_progressive_is_never_cheaper(
    header: Header, largest_px: int, margin: float
) -> None:
    cost = image_cost_bytes(header, largest_px, margin)
    assert cost > header.size_bytes
    progressive = dataclasses.replace(header, progressive=True)
    assert image_cost_bytes(progressive, largest_px, margin) >= cost


@given(HEADERS, st.integers(1, 16_383), st.integers(2, 5))
def test_a_larger_picture_that_is_decoded_whole_costs_more(
    header: Header, largest_px: int, times: int
) -> None:
    small = dataclasses.replace(header, format="PNG")
    large = dataclasses.replace(
        small, width_px=times * small.width_px, height_px=times * small.height_px
    )
    assert image_cost_bytes(large, largest_px, 1.0) > image_cost_bytes(small, largest_px, 1.0)


def test_margin_above_one_costs_a_larger_decode() -> None:
    assert image_cost_bytes(JPEG_12_MP, 1024, 2.0) > image_cost_bytes(JPEG_12_MP, 1024, 1.0)


def test_a_jpeg_in_several_scans_holds_its_coefficients_whatever_it_calls_itself() -> None:
    several = dataclasses.replace(JPEG_12_MP, structure=Structure(b"", scans=3))
    cost = image_cost_bytes(several, 1024, 1.0)
    assert cost == image_cost_bytes(
        dataclasses.replace(several, progressive=True, structure=None), 1024, 1.0
    )
    assert 2 * 3 * 12 * MB < cost - JPEG_12_MP.size_bytes < 2 * 3 * 12 * MB + 15 * MB


def test_a_picture_that_is_turned_or_goes_through_a_profile_is_there_twice() -> None:
    png = Header("PNG", "RGB", 5656, 4242, 1, False, 2 * MB)
    copied = dataclasses.replace(png, is_copied=True)
    assert image_cost_bytes(copied, 1024, 1.0) >= 2 * 4 * 24 * MB
    assert image_cost_bytes(copied, 1024, 1.0) > 1.3 * image_cost_bytes(png, 1024, 1.0)


@given(st.integers(0, 10**11), st.integers(1, 64))
def test_the_guard_leaves_room_for_an_estimate_that_is_a_fifth_too_low(
    grant_bytes: int, threads: int
) -> None:
    assert guard_bytes(grant_bytes, threads) >= grant_bytes / 0.8
    assert guard_bytes(grant_bytes, threads) <= grant_bytes / 0.8 + 160 * MB
