import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from image_assets.engine.pixels.colour import flatten, to_srgb
from image_assets.engine.pixels.profiles import (
    CICP_PRIMARIES,
    P3_PRIMARIES,
    SRGB_PRIMARIES,
    display_p3_profile,
    gamma_curve,
    grey_profile,
    press_profile,
    rgb_profile,
    srgb_curve,
)
from image_assets.engine.pixels.stated_colour import SourceColour, Space, cicp_space
from image_assets.engine.workers import memory
from image_assets_tests.photographs import encode_photograph, picture

P3 = display_p3_profile()
GREY_18 = grey_profile("Grey 1.8", gamma_curve(1.8))
NARROW = (0.3127, 0.3290, 0.60, 0.33, 0.31, 0.55, 0.17, 0.10)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def pixels(image: Image.Image) -> npt.NDArray[np.int_]:
    return np.asarray(image).astype(int)


def distance(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    assert one.mode == other.mode
    return float(np.abs(pixels(one) - pixels(other)).mean())


def p3_in_srgb(red: int, green: int, blue: int) -> list[int]:
    """What a Display P3 colour is in sRGB, by the matrix between the two (CSS Color 4)."""
    encoded = np.array([red, green, blue]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    matrix = [
        [1.2249401, -0.2249402, 0.0],
        [-0.0420569, 1.0420571, 0.0],
        [-0.0196376, -0.0786507, 1.0978973],
    ]
    light = (np.array(matrix) @ linear).clip(0, 1)
    srgb = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return [int(value) for value in (255 * srgb).round()]


@pytest.mark.parametrize("colour", [(200, 100, 60), (60, 160, 90), (128, 128, 128), (90, 70, 160)])
def test_display_p3_becomes_the_srgb_of_the_same_look(colour: tuple[int, int, int]) -> None:
    converted = to_srgb(Image.new("RGB", (4, 4), colour), P3)
    assert converted.note == "profile:Display P3"
    assert converted.image.mode == "RGB"
    expected = p3_in_srgb(*colour)
    assert np.abs(pixels(converted.image)[0, 0] - expected).max() <= 2
    assert (list(colour) == expected) == (len(set(colour)) == 1), "the test's colours do change"


def test_no_metadata_is_left_on_the_image() -> None:
    data = encode_photograph((32, 32), icc=P3, comment=b"taken at home")
    with Image.open(io.BytesIO(data)) as image:
        assert {"icc_profile", "comment"} <= set(image.info)
        assert to_srgb(image, image.info["icc_profile"]).image.info == {}
    untouched = picture((8, 8))
    untouched.info["comment"] = "taken at home"
    assert to_srgb(untouched, None).image.info == {}


def test_alpha_passes_a_profile_unchanged() -> None:
    image = picture((64, 40), mode="RGBA")
    converted = to_srgb(image, P3)
    assert converted.note == "profile:Display P3"
    assert distance(converted.image.getchannel("A"), image.getchannel("A")) == 0
    assert distance(converted.image, image) > 1


def test_an_srgb_profile_changes_no_pixel() -> None:
    for mode in ("RGB", "RGBA"):
        image = picture((32, 32), mode=mode)
        converted = to_srgb(image, SRGB)
        assert converted.note == "srgb"
        assert distance(converted.image, image) == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_untagged_image_is_taken_as_srgb(mode: str) -> None:
    image = picture((32, 32), mode=mode)
    converted = to_srgb(image, None)
    assert converted.note == "untagged"
    assert distance(converted.image, picture((32, 32), mode=mode)) == 0


@pytest.mark.parametrize(
    ("mode", "profile", "note"),
    [
        ("RGB", b"no profile at all", "broken_profile"),
        ("RGB", P3[:200], "broken_profile"),
        ("RGB", P3[:128] + bytes(400), "broken_profile"),
        # megabytes are an accident or an attack
        ("RGB", P3 + bytes(5_000_000), "profile_too_large"),
        ("L", P3, "profile_mismatch"),
        ("CMYK", P3, "profile_mismatch; press"),
        ("RGB", press_profile(), "profile_mismatch"),
        ("RGB", GREY_18, "profile_mismatch"),
    ],
)
def test_a_broken_or_unfit_profile_is_as_if_there_were_none_and_the_note_says_so(
    mode: str, profile: bytes, note: str
) -> None:
    converted = to_srgb(picture((32, 32), mode=mode), profile)
    assert converted.note == note
    without = to_srgb(picture((32, 32), mode=mode), None)
    assert distance(converted.image, without.image) == 0


def test_a_profile_named_srgb_is_believed_by_its_content_alone() -> None:
    lie = rgb_profile("sRGB IEC61966-2.1", P3_PRIMARIES, srgb_curve)
    truth = rgb_profile("Monitor of the kitchen", SRGB_PRIMARIES, srgb_curve)
    image = picture((32, 32))
    converted = to_srgb(image, lie)
    assert converted.note == "profile:sRGB IEC61966-2.1"
    assert distance(converted.image, image) > 1
    converted = to_srgb(image, truth)
    assert converted.note == "srgb"
    assert converted.image is image, "the pixels are not even copied"


def test_a_grey_profile_keeps_grey_one_channel() -> None:
    image = picture((32, 32), mode="L")
    converted = to_srgb(image, GREY_18)
    assert (converted.note, converted.image.mode) == ("profile:Grey 1.8", "L")
    light = (pixels(image) / 255) ** 1.8
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels(converted.image) - 255 * expected).max() <= 1


def test_a_grey_profile_serves_colour_pixels_that_are_grey_all() -> None:
    # Pillow decodes a 16-bit PNG of grey and alpha as RGBA.
    grey = picture((32, 32), mode="L")
    alpha = picture((32, 32), mode="RGBA").getchannel("A")
    converted = to_srgb(Image.merge("RGBA", (grey, grey, grey, alpha)), GREY_18)
    assert (converted.note, converted.image.mode) == ("profile:Grey 1.8", "RGBA")
    assert distance(converted.image.getchannel("G"), to_srgb(grey, GREY_18).image) == 0
    assert distance(converted.image.getchannel("A"), alpha) == 0


def test_a_profile_of_sixteen_bit_greys_is_applied_before_they_are_reduced() -> None:
    values = [0, 20, 200, 2_000, 20_000, 65_535]
    linear = grey_profile("Linear", gamma_curve(1.0))
    converted = to_srgb(sixteen_bits(values), linear).image
    light = np.array(values) / 65_535
    expected = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(pixels(converted)[0] - 255 * expected).max() <= 1


def test_of_a_thousand_profiles_none_is_kept_in_memory() -> None:
    size = 2_000_000
    image = Image.new("RGB", (4, 4), (200, 100, 60))

    def convert(number: int) -> None:
        profile = rgb_profile(f"{number}", P3_PRIMARIES, gamma_curve(1.8 + number / 100))
        profile = struct.pack(">I", size) + profile[4:].ljust(size - 4, b"\1")
        converted = to_srgb(image, profile, keep_display_p3=True)
        assert converted.note == f"profile:{number}"

    for number in range(10):
        convert(number)
    memory.collect_and_trim()
    before = memory.resident_bytes()
    for number in range(10, 50):
        convert(number)
    memory.collect_and_trim()
    assert memory.resident_bytes() - before < 15_000_000


def test_the_stated_space_outranks_a_profile_only_where_it_is_said_to() -> None:
    space = cicp_space(9, 13)
    image = picture((16, 16))
    first = to_srgb(image.copy(), SourceColour(P3, space, space_first=True))
    assert first.note == "cicp:bt2020-srgb"
    assert to_srgb(image.copy(), SourceColour(P3, space)).note == "profile:Display P3"
    fallback = to_srgb(image.copy(), SourceColour(b"broken", space))
    assert fallback.note == "broken_profile; cicp:bt2020-srgb"
    assert distance(fallback.image, first.image) == 0


def test_impossible_chromaticities_are_as_if_there_were_none() -> None:
    for corners in [(0.3, 0.3) * 4, (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.0), (0.0,) * 8]:
        image = picture((8, 8))
        space = Space("gamma:0.5+chromaticities", corners, srgb_curve)
        converted = to_srgb(image.copy(), SourceColour(space=space))
        assert converted.note == "broken_chunks:gamma:0.5+chromaticities"
        assert distance(converted.image, image) == 0


def test_display_p3_is_kept_only_where_asked_for_and_where_the_gamut_is_wider() -> None:
    image = Image.new("RGB", (4, 4), (255, 0, 0))
    assert to_srgb(image.copy(), P3).wide is None
    kept = to_srgb(image.copy(), P3, keep_display_p3=True)
    assert kept.wide is not None
    assert kept.wide.getpixel((0, 0)) == (255, 0, 0)
    assert kept.wide.info == {"icc_profile": display_p3_profile()}
    assert kept.image.info == {}
    assert distance(kept.image, to_srgb(image.copy(), P3).image) == 0
    for profile in (SRGB, None, rgb_profile("Narrow", NARROW, srgb_curve)):
        assert to_srgb(image.copy(), profile, keep_display_p3=True).wide is None


def test_a_wider_gamut_than_display_p3_is_brought_to_it_with_its_alpha() -> None:
    image = picture((32, 32), mode="RGBA")
    rec2020 = rgb_profile("Rec. 2020", CICP_PRIMARIES[9][1], srgb_curve)
    wide = to_srgb(image, rec2020, keep_display_p3=True).wide
    assert wide is not None
    assert distance(wide.getchannel("A"), image.getchannel("A")) == 0
    assert distance(wide, image) > 1


def test_cmyk_without_a_profile_is_read_as_coated_print() -> None:
    inks = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255)]
    image = Image.new("CMYK", (5, 1))
    for x, ink in enumerate(inks):
        image.putpixel((x, 0), ink)
    converted = to_srgb(image, None)
    assert (converted.note, converted.image.mode) == ("press", "RGB")
    # What libvips 8.18 shows; black ink on paper is not the black of a screen.
    seen = [(255, 255, 255), (0, 155, 228), (234, 23, 133), (255, 240, 0), (40, 35, 43)]
    for x, colour in enumerate(seen):
        difference = np.abs(np.array(converted.image.getpixel((x, 0))) - colour)
        assert difference.max() <= 6, (inks[x], converted.image.getpixel((x, 0)))


def test_grey_with_alpha_keeps_both() -> None:
    image = picture((64, 40), mode="LA")
    converted = to_srgb(image, None).image
    assert converted.mode == "RGBA"
    assert distance(converted.getchannel("A"), image.getchannel("A")) == 0
    assert distance(converted.getchannel("R"), image.getchannel("L")) == 0


def test_a_palette_with_one_transparent_colour_keeps_the_hole() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=1)
    with Image.open(buffer) as opened:
        opened.load()
        converted = to_srgb(opened, None).image
    assert converted.mode == "RGBA"
    assert converted.getpixel((0, 0)) == (255, 0, 0, 255)
    assert converted.getpixel((1, 0)) == (0, 255, 0, 0)


def test_a_palette_with_degrees_of_transparency_keeps_them() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    image.info["transparency"] = bytes([128, 255])
    converted = to_srgb(image, None).image
    assert converted.getpixel((0, 0)) == (10, 20, 30, 128)
    assert converted.getpixel((1, 0)) == (40, 50, 60, 255)


def test_an_opaque_palette_becomes_its_colours() -> None:
    converted = to_srgb(picture((64, 40)).quantize(256), None).image
    assert converted.mode == "RGB"
    assert distance(converted, picture((64, 40))) < 12


def sixteen_bits(values: list[int]) -> Image.Image:
    return Image.fromarray(np.array([values], dtype=np.uint16))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    image = sixteen_bits([value * 257 for value in range(256)])
    assert image.mode == "I;16"
    converted = to_srgb(image, None).image
    assert converted.mode == "L"
    assert pixels(converted)[0].tolist() == list(range(256))


def test_sixteen_bits_are_rounded_to_the_nearest() -> None:
    # halfway between 0 and 1 is 128.5
    assert pixels(to_srgb(sixteen_bits([128, 129, 65_534]), None).image)[0].tolist() == [0, 1, 255]


def test_a_sixteen_bit_png_is_not_white() -> None:
    with Image.open(io.BytesIO(encode_photograph(mode="I;16", format="PNG"))) as image:
        image.load()
        assert image.mode in ("I;16", "I")
        converted = to_srgb(image, None).image
    assert distance(converted, picture(mode="L")) < 0.01


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 100, 255], [0, 100, 255]),
        ([0, 25_700, 65_535], [0, 100, 255]),
        ([-7, 1_000_000, 2_000_000], [0, 128, 255]),
    ],
)
def test_whole_numbers_are_read_as_8_or_16_bits_else_their_largest_is_white(
    values: list[int], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype=np.int32))
    assert image.mode == "I"
    assert pixels(to_srgb(image, None).image)[0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.0, 255.0], [0, 100, 255]),
        ([-3.0, 99.6, 300.0], [0, 100, 255]),
        ([0.0, 0.5, 4.0], [0, 128, 255]),  # highlights above white
        ([0.0, 500.0, 1000.0], [0, 128, 255]),  # whatever the scale, the largest is white
        ([float("nan"), 0.5, 1.0], [0, 128, 255]),
        ([0.5, float("inf"), float("-inf")], [128, 255, 0]),
        ([float("nan"), float("nan"), float("nan")], [0, 0, 0]),
    ],
)
def test_fractions_are_scaled_and_out_of_range_is_clipped(
    values: list[float], expected: list[int]
) -> None:
    image = Image.fromarray(np.array([values], dtype=np.float32))
    assert image.mode == "F"
    converted = to_srgb(image, None).image
    assert converted.mode == "L"
    assert pixels(converted)[0].tolist() == expected


def test_numbers_that_run_the_other_way_are_turned_round() -> None:
    inverted = SourceColour(inverted=True)
    assert pixels(to_srgb(sixteen_bits([0, 65_535]), inverted).image)[0].tolist() == [255, 0]
    fractions = Image.fromarray(np.array([[0.0, 0.25, 1.0]], dtype=np.float32))
    assert pixels(to_srgb(fractions, inverted).image)[0].tolist() == [255, 191, 0]


def test_a_transparent_grey_of_sixteen_bits_is_a_hole() -> None:
    image = sixteen_bits([4_000, 4_001, 65_535])
    image.info["transparency"] = 4_000
    converted = to_srgb(image, None).image
    assert converted.mode == "RGBA"
    assert pixels(converted.getchannel("A"))[0].tolist() == [0, 255, 255]


def test_an_alpha_that_hides_nothing_is_dropped() -> None:
    image = picture((16, 16)).convert("RGBA")
    assert to_srgb(image, None).image.mode == "RGB"
    assert to_srgb(image, P3).image.mode == "RGB"


def test_lab_becomes_the_srgb_of_the_same_look() -> None:
    converted = to_srgb(picture((64, 40), mode="LAB"), None)
    assert (converted.note, converted.image.mode) == ("lab", "RGB")
    assert distance(converted.image, picture((64, 40))) < 3


def test_one_bit_is_black_and_white() -> None:
    converted = to_srgb(picture((32, 32), mode="1"), None).image
    assert converted.mode == "L"
    assert set(np.unique(pixels(converted))) == {0, 255}


@pytest.mark.parametrize(
    "mode",
    [
        *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"),
        *("HSV", "LAB", "I", "F", "I;16", "I;16B", "I;16L"),
    ],
)
@pytest.mark.parametrize("profile", [None, P3])
def test_every_pixel_mode_ends_as_one_that_encoders_take(mode: str, profile: bytes | None) -> None:
    image = to_srgb(Image.new(mode, (3, 2)), profile).image
    assert image.mode in ("L", "RGB", "RGBA")
    assert image.size == (3, 2)


def test_transparency_is_laid_on_the_background() -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    image.putpixel((2, 0), (255, 0, 0, 51))
    flat = flatten(image, "#0000ff")
    assert flat.mode == "RGB"
    assert [flat.getpixel((x, 0)) for x in range(3)] == [(0, 0, 255), (255, 0, 0), (51, 0, 204)]


def test_an_image_without_alpha_needs_no_background() -> None:
    for mode in ("L", "RGB"):
        image = picture((8, 8), mode=mode)
        assert flatten(image, "#ffffff") is image
