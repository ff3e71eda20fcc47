"""Bring any image to sRGB, 8 bits: modes L, RGB or RGBA, by one policy for all formats.

The policy, with the test of each line, is written in docs/image-policy.md.
"""

import functools
import hashlib
import io
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec, TypeVar

from PIL import Image, ImageChops, ImageCms, ImageMath

from image_assets.engine.pixels.profiles import (
    display_p3_profile,
    grey_profile,
    press_profile,
    rgb_profile,
    srgb_curve,
)
from image_assets.engine.pixels.stated_colour import SourceColour, Space
from image_assets.engine.pixels.wide_pixels import (
    FLOAT_FINITE,
    white_of_floats,
    white_of_whole_numbers,
)
from image_assets.engine.reasons import NotCompressedError, Reason

_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
# Profiles are a few kB, a press's up to 2 MB; beyond this one is an accident or an attack.
PROFILE_MAX_BYTES = 4_000_000

_SRGB_MAX_STEP: Final = 2
"""A profile that moves none of 472 colours by more than this many of 255 is sRGB, whatever its
name: nothing is converted. Of the 18 profiles of the corpus the variants of sRGB move at most 1
(rounding of their tables), the nearest other one 53 (`bench/srgb_profiles.py`)."""

_WIDE_MIN_STEP: Final = 4
"""A profile whose Display P3 colours change by this many of 255 on a way through sRGB is wider;
rounding alone gives 2."""


@dataclass(frozen=True, slots=True)
class Converted:
    """An image in sRGB.

    Attributes:
        image: Mode L, RGB or RGBA, 8 bits a channel, no metadata.
        note: How its colours were read: ``srgb``, ``untagged``, ``profile:<name>``,
            ``cicp:<primaries>-<transfer>``, ``gamma:<value>``, ``press`` (CMYK without a profile),
            ``lab``; where a profile had to be left out, ``broken_profile``, ``profile_too_large``
            or ``profile_mismatch`` and, after a semicolon, what was taken instead.
        wide: The same in Display P3, where that was asked for and the source's gamut is wider
            than sRGB; its profile is in ``wide.info["icc_profile"]``, its only entry.
    """

    image: Image.Image
    note: str
    wide: Image.Image | None = None


_MODES_OF_SPACE: Final = {
    "GRAY": ("L", "LA", "I;16"),
    "RGB": ("RGB", "RGBA"),
    "CMYK": ("CMYK",),
    "Lab": ("LAB",),
}


@dataclass(frozen=True, slots=True)
class _Reading:
    """A profile that can be applied to pixels of a mode."""

    profile: bytes
    space: str
    name: str


def to_srgb(
    image: Image.Image,
    source: SourceColour | bytes | None,
    *,
    keep_display_p3: bool = False,
) -> Converted:
    """Convert to sRGB by what the source states, else by its mode's own convention.

    A broken or unfit profile is as if there were none, and the note says so.

    Args:
        image: Decoded.
        source: What the source states (`read_colour`), or just its profile.
        keep_display_p3: Make a Display P3 version too, where the source's gamut is wider.

    Raises:
        NotCompressedError: The pixel mode is not one that has a policy.
    """
    stated = source if isinstance(source, SourceColour) else SourceColour(source)
    if stated.inverted:
        image = _inverted(image)
    if stated.unsigned:
        image = _as_unsigned(image)
    if stated.lab:
        image = _as_lab(image)
    image = _to_known_mode(image)
    embedded, fault = _embedded(stated, image)
    if embedded is not None:
        image = _as_grey(image) if embedded.space == "GRAY" else image
        try:
            return _convert(image, embedded, f"profile:{embedded.name[:60]}", keep_display_p3)
        except (ImageCms.PyCMSError, ValueError, OSError):
            fault = "broken_profile"
    converted = _without_profile(image, stated.space, keep_display_p3)
    if not fault:
        return converted
    note = fault if converted.note == "untagged" else f"{fault}; {converted.note}"
    return Converted(converted.image, note, converted.wide)


# ------------------------------------------------------------------------------ which reading


def _embedded(stated: SourceColour, image: Image.Image) -> tuple[_Reading | None, str]:
    """The embedded profile where it can be used on these pixels, and what is wrong otherwise."""
    icc_profile = stated.icc_profile
    if not icc_profile or stated.space_first:
        return None, ""
    if len(icc_profile) > PROFILE_MAX_BYTES:
        return None, "profile_too_large"
    header = profile_header(icc_profile)
    if header is None:
        return None, "broken_profile"
    space, name = header
    if image.mode in _MODES_OF_SPACE.get(space, ()) or (space == "GRAY" and _is_grey(image)):
        return _Reading(icc_profile, space, name), ""
    return None, "profile_mismatch"


def _without_profile(image: Image.Image, space: Space | None, keep_display_p3: bool) -> Converted:
    """By what is stated in numbers, else by the convention of the mode."""
    if image.mode == "CMYK":
        return _convert(
            image, _Reading(press_profile(), "CMYK", "Coated print"), "press", keep_display_p3
        )
    if image.mode == "LAB":
        return _convert(image, _Reading(_lab_profile(), "Lab", "Lab"), "lab", keep_display_p3)
    if space is None or space.is_srgb:
        return _done(_eight_bits(image), "untagged" if space is None else "srgb")
    try:
        if image.mode in _MODES_OF_SPACE["GRAY"]:
            made = _Reading(_grey_profile_of(space), "GRAY", space.label)
        else:
            made = _Reading(_rgb_profile_of(space), "RGB", space.label)
        return _convert(image, made, space.label, keep_display_p3)
    except (ImageCms.PyCMSError, ValueError, OSError):  # chromaticities that are none
        return _done(_eight_bits(image), f"broken_chunks:{space.label}")


_P = ParamSpec("_P")
_T = TypeVar("_T")


def _remembered(
    count: int,
) -> Callable[[Callable[Concatenate[bytes, _P], _T]], Callable[Concatenate[bytes, _P], _T]]:
    """Remember what a function makes of a profile, the latest of them, by the profile's hash.

    Profiles may have megabytes, so a worker that meets a thousand of them must keep none.
    """

    def decorate(
        function: Callable[Concatenate[bytes, _P], _T],
    ) -> Callable[Concatenate[bytes, _P], _T]:
        known: OrderedDict[object, _T] = OrderedDict()

        @functools.wraps(function)
        def remembered(icc_profile: bytes, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
            key = hashlib.sha256(icc_profile).digest(), args, tuple(kwargs.items())
            if key not in known:
                known[key] = function(icc_profile, *args, **kwargs)
                if len(known) > count:
                    known.popitem(last=False)
            known.move_to_end(key)
            return known[key]

        return remembered

    return decorate


@functools.lru_cache(maxsize=16)
def _rgb_profile_of(space: Space) -> bytes:
    return rgb_profile(space.label, space.primaries, space.curve)


@functools.lru_cache(maxsize=16)
def _grey_profile_of(space: Space) -> bytes:
    return grey_profile(space.label, space.curve)


@_remembered(64)
def profile_header(icc_profile: bytes) -> tuple[str, str] | None:
    """The profile's colour space and description, or None where it cannot be parsed."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        name = (ImageCms.getProfileDescription(profile) or "").strip() or "unnamed"
        return str(profile.profile.xcolor_space).strip(), name
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _is_grey(image: Image.Image) -> bool:
    """Whether RGB pixels are greys all: Pillow decodes some grey files so (16 bits with alpha)."""
    if image.mode not in ("RGB", "RGBA"):
        return False
    red, green, blue = image.split()[:3]
    return (
        ImageChops.difference(red, green).getbbox() is None
        and ImageChops.difference(green, blue).getbbox() is None
    )


def _as_grey(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.getchannel("R")
    if image.mode == "RGBA":
        return Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))
    return image


# ------------------------------------------------------------------------------ conversion


def _convert(image: Image.Image, reading: _Reading, note: str, keep_display_p3: bool) -> Converted:
    """Through a profile that fits.

    Raises:
        ImageCms.PyCMSError: LittleCMS refuses the profile.
    """
    if image.mode == "LA":
        grey = _convert(image.getchannel("L"), reading, note, keep_display_p3=False)
        return _done(Image.merge("LA", (grey.image, image.getchannel("A"))), grey.note)
    if reading.space == "RGB" and is_srgb(reading.profile):
        return _done(image, "srgb")
    target = "grey" if reading.space == "GRAY" else "srgb"
    mode = image.mode
    converted = _apply(image, _transform(reading.profile, target, mode))
    wide = None
    if keep_display_p3 and target == "srgb" and is_wide(reading.profile, mode):
        wide = _opaque(_apply(image, _transform(reading.profile, "p3", mode)))
        wide.info = {"icc_profile": display_p3_profile()}
    return _done(converted, note, wide)


def _done(image: Image.Image, note: str, wide: Image.Image | None = None) -> Converted:
    image = _opaque(image.convert("RGBA") if image.mode == "LA" else image)
    image.info = {}
    return Converted(image, note, wide)


def _opaque(image: Image.Image) -> Image.Image:
    """Without an alpha that hides nothing: every format is smaller, AVIF faster too."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


@functools.cache
def _target(name: str) -> ImageCms.ImageCmsProfile:
    if name == "grey":
        return ImageCms.ImageCmsProfile(io.BytesIO(grey_profile("sRGB grey", srgb_curve)))
    if name == "p3":
        return ImageCms.ImageCmsProfile(io.BytesIO(display_p3_profile()))
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.cache
def _lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@_remembered(8)
def _transform(icc_profile: bytes, target: str, mode: str) -> ImageCms.ImageCmsTransform:
    out_mode = "L" if target == "grey" else "RGBA" if mode == "RGBA" else "RGB"
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)),
        _target(target),
        mode,
        out_mode,
        # As libvips does, to the last bit: without black point compensation a press's black is
        # its own dark grey, with it a dark CMYK picture is 2.5 (CIEDE2000) away.
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        # Optimised, 16-bit greys pass through 4,096 steps: linear shadows were 5 of 255 off.
        flags=ImageCms.Flags.NOOPTIMIZE if mode == "I;16" else ImageCms.Flags.NONE,
    )


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only in-place conversion returns None
    return converted


# ------------------------------------------------------------------------------ what a profile is


def _probe(mode: str) -> Image.Image:
    """All corners, edges and middles of a colour space in one small image, and its greys."""
    channels = {"RGB": 3, "RGBA": 3, "LAB": 3, "CMYK": 4}[mode]
    steps = range(0, 256, 51) if channels == 3 else range(0, 256, 85)
    colours = [bytes(colour) for colour in itertools.product(steps, repeat=channels)]
    if channels == 3:
        colours += [bytes([grey] * 3) for grey in range(256)]
    name = "RGB" if mode == "RGBA" else mode
    return Image.frombytes(name, (len(colours), 1), b"".join(colours))


def _largest_step(one: Image.Image, other: Image.Image) -> float:
    bands = ImageChops.difference(one, other).getextrema()
    return float(max(band[1] for band in bands if isinstance(band, tuple)))


@_remembered(64)
def step_from_srgb(icc_profile: bytes) -> float:
    """Return how far an RGB profile moves the worst of 472 colours, of 255; names lie."""
    probe = _probe("RGB")
    return _largest_step(probe, _apply(probe, _transform(icc_profile, "srgb", "RGB")))


def is_srgb(icc_profile: bytes) -> bool:
    """Whether an RGB profile moves no colour visibly.

    Raises:
        ImageCms.PyCMSError: LittleCMS refuses the profile.
    """
    return step_from_srgb(icc_profile) <= _SRGB_MAX_STEP


@_remembered(64)
def is_wide(icc_profile: bytes, mode: str) -> bool:
    """Whether a profile has colours of Display P3 that sRGB does not have."""
    name = "RGB" if mode == "RGBA" else mode
    in_p3 = _apply(_probe(name), _transform(icc_profile, "p3", name))
    in_srgb = _apply(in_p3, _transform(display_p3_profile(), "srgb", "RGB"))
    again = _apply(in_srgb, _transform(_target("srgb").tobytes(), "p3", "RGB"))
    return _largest_step(in_p3, again) >= _WIDE_MIN_STEP


# ------------------------------------------------------------------------------ modes


def _to_known_mode(image: Image.Image) -> Image.Image:
    """Reduce to L, LA, RGB, RGBA, CMYK or LAB of 8 bits, or to I;16."""
    mode = image.mode
    key = image.info.get("transparency")
    if mode in _SIXTEEN_BIT_MODES:
        return _sixteen_bits(image, key)
    if mode == "P":
        if image.palette is None:  # Pillow would stumble over it
            raise NotCompressedError(Reason.CORRUPT, "The image's palette is missing.")
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if key is not None and mode in ("1", "L", "RGB"):
        return image.convert("RGBA")
    if mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    if mode == "I":
        return _whole_numbers(image)
    if mode == "F":
        return _fractions(image)
    if mode == "1":
        return image.convert("L")
    if mode in ("RGBX", "YCbCr", "HSV"):
        return image.convert("RGB")
    if mode == "La":
        return image.convert("LA")
    if mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    raise NotCompressedError(
        Reason.UNSUPPORTED_PIXELS, f"Pixels of mode {mode!r} have no conversion to sRGB."
    )


def _sixteen_bits(image: Image.Image, key: object) -> Image.Image:
    """Mode I;16; with a transparent grey, LA."""
    image = image if image.mode == "I;16" else image.convert("I").convert("I;16")
    if not isinstance(key, int):
        return image
    opaque = [255] * 65_536
    opaque[min(65_535, max(0, key))] = 0
    return Image.merge("LA", (_eight_bits(image), image.convert("I").point(opaque, "L")))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounded; plain convert() clips at 255 for mode I."""
    if image.mode != "I;16":
        return image
    return _scaled(image.convert("I").convert("F"), 65_535)


def _scaled(image: Image.Image, white: float) -> Image.Image:
    return image.point(lambda value: value * (255 / white) + 0.5).convert("L")


def _whole_numbers(image: Image.Image) -> Image.Image:
    """32 bits: read as 8 or 16 bits where they fit, else their largest is white."""
    high = _largest(image)
    if high <= 255:
        return image.convert("L")
    return _scaled(image.convert("F"), white_of_whole_numbers(high))


def _fractions(image: Image.Image) -> Image.Image:
    """Floats: not a number is black, infinite is white, below 0 is black."""
    known = ImageMath.lambda_eval(
        lambda args: args["min"](args["max"](args["image"], 0.0), FLOAT_FINITE), image=image
    )
    finite = ImageMath.lambda_eval(
        lambda args: args["image"] * (args["image"] < FLOAT_FINITE), image=known
    )
    return _scaled(known, white_of_floats(_largest(finite)))


def _largest(image: Image.Image) -> float:
    _, high = image.getextrema()
    assert not isinstance(high, tuple)
    return float(high)


def _inverted(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES:
        wide = image.convert("I").point(lambda value: value * -1 + 65_535)
        return wide.convert("I;16")
    if image.mode == "F":
        # White is 0: the largest value is black, and a picture of 0 to 1 stays one.
        high = 1.0 if _largest(image) <= 1.0 else _largest(image)
        return image.point(lambda value: value * -1 + high)
    return image


def _as_unsigned(image: Image.Image) -> Image.Image:
    """Floats where there are numbers above 2^31: of such the largest is white."""
    low, _ = image.getextrema()
    if isinstance(low, tuple) or low >= 0:
        return image
    unsigned: Image.Image = ImageMath.lambda_eval(
        lambda args: args["float"](args["image"]) + (args["image"] < 0) * 2.0**32, image=image
    )
    return unsigned


def _as_lab(image: Image.Image) -> Image.Image:
    lightness, a, b = image.split()
    # Signed in the file, from -128; LittleCMS counts from 0.
    a, b = (band.point(lambda value: value ^ 128) for band in (a, b))
    return Image.merge("LAB", (lightness, a, b))


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Put an image with alpha onto a background colour; others are returned as they are."""
    if image.mode != "RGBA":
        return image
    base = Image.new("RGB", image.size, background)
    base.paste(image, mask=image.getchannel("A"))
    return base
