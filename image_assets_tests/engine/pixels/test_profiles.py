import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from image_assets.engine.pixels import profiles
from image_assets_tests.odd_pictures import ADOBE_RGB, PROPHOTO, REC2020, SWAPPED, in_space
from image_assets_tests.photographs import picture


def through(image: Image.Image, profile: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    converted = ImageCms.profileToProfile(
        image,
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    assert converted is not None
    return np.asarray(converted).astype(np.int64)


@pytest.mark.parametrize(
    ("primaries", "gamma"), [(ADOBE_RGB, 2.2), (PROPHOTO, 1.8), (REC2020, None), (SWAPPED, 2.4)]
)
def test_a_made_profile_is_the_space_that_its_numbers_say(
    primaries: tuple[float, ...], gamma: float | None
) -> None:
    image = picture((60, 40))
    curve = profiles.srgb_curve if gamma is None else profiles.gamma_curve(gamma)
    profile = profiles.rgb_profile("made", primaries, curve)
    found = through(in_space(image, primaries, gamma), profile)
    assert np.abs(found - np.asarray(image)).mean() < 1.2  # rounding to 8 bits on the way


def test_a_made_srgb_profile_moves_nothing() -> None:
    image = picture((60, 40))
    profile = profiles.rgb_profile("made", profiles.SRGB_PRIMARIES, profiles.srgb_curve)
    assert np.abs(through(image, profile) - np.asarray(image)).max() <= 1


def test_the_kept_profile_is_small_and_the_same_each_time() -> None:
    profile = profiles.display_p3_profile()
    assert len(profile) < 600
    assert profile == profiles.rgb_profile("Display P3", profiles.P3_PRIMARIES, profiles.srgb_curve)
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile
    assert opened.profile_description == "Display P3"
    assert opened.version == pytest.approx(4.3)
    # Published colorants of Display P3, adapted to D50.
    assert opened.red_colorant is not None
    assert opened.red_colorant[0] == pytest.approx((0.5151, 0.2412, -0.0011), abs=2e-3)


@pytest.mark.parametrize(
    "primaries",
    [
        (),
        (0.3, 0.3),
        (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.0),
        (0.3, 0.3) * 4,
        (float("nan"),) * 8,
        (float("inf"),) * 8,
    ],
)
def test_primaries_that_span_nothing_are_refused(primaries: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"chromaticit|line"):
        profiles.rgb_profile("none", primaries, profiles.srgb_curve)


def test_the_press_profile_lightens_from_all_inks_to_paper() -> None:
    ramp = Image.frombytes("CMYK", (256, 1), b"".join(bytes([v] * 3 + [0]) for v in range(256)))
    levels = through(ramp, profiles.press_profile()).sum(axis=-1)[0]
    assert levels[0] == 3 * 255
    assert (np.diff(levels) <= 0).all()
    assert levels[-1] < 150
