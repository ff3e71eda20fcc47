import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_assets.engine.pixels.resize import fill_hidden, resize, variant_size
from image_assets_tests.photographs import picture

SIDES = st.integers(1, 30_000)
PX = st.integers(1, 16_383)


@given(SIDES, SIDES, PX)
def test_a_source_is_never_enlarged(width: int, height: int, px: int) -> None:
    new_width, new_height = variant_size(width, height, px)
    assert new_width <= width
    assert new_height <= height


@given(SIDES, SIDES, PX)
def test_a_variant_has_at_least_one_pixel_and_its_longest_side_is_px(
    width: int, height: int, px: int
) -> None:
    size = variant_size(width, height, px)
    assert min(size) >= 1
    assert max(size) == min(px, max(width, height))


@given(SIDES, SIDES, PX)
def test_the_shape_is_kept_to_half_a_pixel(width: int, height: int, px: int) -> None:
    scale = min(1.0, px / max(width, height))
    for side, new_side in zip((width, height), variant_size(width, height, px), strict=True):
        assert abs(new_side - max(1.0, side * scale)) <= 0.5 + 1e-6


@given(SIDES, SIDES, PX)
def test_upright_and_lying_are_treated_alike(width: int, height: int, px: int) -> None:
    assert variant_size(width, height, px) == variant_size(height, width, px)[::-1]


@pytest.mark.parametrize(
    ("size", "px", "expected"),
    [
        ((4000, 3000), 1024, (1024, 768)),  # 3000 x 1024 / 4000
        ((3000, 4000), 1024, (768, 1024)),
        ((1000, 667), 150, (150, 100)),  # 667 x 0.15 = 100.05
        ((1024, 768), 1024, (1024, 768)),
        ((10_000, 3), 100, (100, 1)),
    ],
)
def test_sizes_by_hand(size: tuple[int, int], px: int, expected: tuple[int, int]) -> None:
    assert variant_size(*size, px) == expected


def test_an_image_that_has_the_size_is_returned_as_it_is() -> None:
    image = picture((20, 10))
    assert resize(image, (20, 10)) is image


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_resized_image_keeps_its_mode_and_looks(mode: str) -> None:
    image = picture((200, 120), mode=mode)
    small = resize(image, (50, 30))
    assert (small.mode, small.size) == (mode, (50, 30))
    means = [np.asarray(picture).reshape(-1, len(mode)).mean(axis=0) for picture in (image, small)]
    assert np.abs(means[0] - means[1]).max() < 2


def test_a_fine_pattern_becomes_grey_not_a_coarse_pattern() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 96))
    small = np.asarray(resize(Image.fromarray(stripes), (64, 21))).astype(int)
    assert np.abs(small[:, 2:-2] - 127.5).max() < 20


def test_an_edge_stays_sharp() -> None:
    # LANCZOS steepens edges; filters that blur never leave the range of the source.
    edge = np.repeat(np.array([[100, 150]], dtype=np.uint8), 40, axis=1)
    small = np.asarray(resize(Image.fromarray(np.repeat(edge, 20, axis=0)), (41, 10)))
    assert small.min() < 98
    assert small.max() > 152


def test_bicubic_is_softer_and_the_same_picture() -> None:
    image = picture((200, 120))
    sharp, soft = (resize(image, (50, 30), name) for name in ("lanczos", "bicubic"))
    difference = np.abs(np.asarray(sharp).astype(int) - np.asarray(soft))
    assert 0 < difference.mean() < 3


def test_a_part_of_a_pixel_beyond_the_source_is_left_out() -> None:
    ramp = np.tile(np.arange(0, 110, 10, dtype=np.uint8), (11, 1))
    box = (0, 0, 10, 11)  # of the last column the source covers nothing
    small = np.asarray(resize(Image.fromarray(ramp), (5, 5), box=box)).astype(int)
    assert np.abs(small[2] - [5, 25, 45, 65, 85]).max() <= 2


def test_a_far_smaller_picture_is_averaged_first_and_looks_the_same() -> None:
    image = picture((1024, 768))
    small = np.asarray(resize(image, (150, 112))).astype(int)
    filtered = np.asarray(image.resize((150, 112), Image.Resampling.LANCZOS))
    assert np.square(small - filtered).mean() < 2


def test_transparent_pixels_give_no_halo() -> None:
    # A white square in transparent black: darkened edges would be the halo.
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 255, 255, 255), (16, 16, 48, 48))
    small = np.asarray(resize(image, (23, 23))).astype(int)
    seen = small[small[..., 3] > 16]
    assert len(seen) > 50
    assert seen[:, :3].min() >= 250


def test_what_is_hidden_gets_the_colours_around_it_and_what_is_seen_stays() -> None:
    # Orange on the left, blue on the right; between them the black that a resize leaves.
    pixels = np.zeros((64, 160, 4), dtype=np.uint8)
    pixels[:, :40] = (240, 130, 20, 255)
    pixels[:, 40:44] = (240, 130, 20, 100)
    pixels[:, 120:] = (20, 60, 200, 255)
    image = Image.fromarray(pixels)

    filled = np.asarray(fill_hidden(image)).astype(int)

    seen = pixels[..., 3] > 0
    assert (filled[..., 3] == pixels[..., 3]).all()
    assert (filled[seen] == pixels[seen]).all()
    assert np.abs(filled[:, 44:48, :3] - [240, 130, 20]).max() < 100  # black would be 240 off
    mean = pixels[seen][:, :3].mean(axis=0)
    assert np.abs(filled[:, 76:84, :3] - mean).max() < 40


def test_where_nothing_is_hidden_nothing_is_filled() -> None:
    image = picture((40, 30), mode="RGBA")
    image.putalpha(1)
    assert fill_hidden(image) is image
