"""Bring any image to sRGB, 8 bits: modes L, RGB or RGBA, by one policy for all formats."""

import functools
import io
from dataclasses import dataclass

from PIL import Image, ImageCms

from image_assets.engine.reasons import NotCompressedError, Reason

_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
# Profiles are a few kB; a multi-megabyte one is an accident or an attack and is not parsed.
_PROFILE_MAX_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Converted:
    """An image in sRGB.

    Attributes:
        image: Mode L, RGB or RGBA, 8 bits a channel, no metadata.
        note: How its colours were read: ``srgb``, ``untagged``, ``profile:<name>``,
            ``broken_profile``.
    """

    image: Image.Image
    note: str


def to_srgb(image: Image.Image, icc_profile: bytes | None) -> Converted:
    """Convert to sRGB through the embedded profile, or by the mode's own convention without one.

    A broken or unfit profile is as if there were none, and the note says so.

    Args:
        image: Decoded.
        icc_profile: The embedded profile's bytes, or None.

    Raises:
        NotCompressedError: The pixel mode is not one that has a policy.
    """
    image = _to_eight_bits(image)
    if icc_profile and image.mode in ("L", "RGB", "RGBA", "CMYK", "LAB"):
        if len(icc_profile) > _PROFILE_MAX_BYTES:
            return _done(_without_profile(image), "broken_profile")
        name = _profile_name(icc_profile)
        if name is None:
            return _done(_without_profile(image), "broken_profile")
        if image.mode in ("L", "RGB", "RGBA") and name.lower().startswith("srgb"):
            return _done(image, "srgb")
        try:
            return _done(_apply_profile(image, icc_profile), f"profile:{name[:60]}")
        except (ImageCms.PyCMSError, ValueError, OSError):
            return _done(_without_profile(image), "broken_profile")
    if image.mode == "LAB":
        return _done(_lab_to_rgb(image), "lab")
    return _done(_without_profile(image), "untagged")


def _done(image: Image.Image, note: str) -> Converted:
    image.info = {}
    return Converted(image, note)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Reduce to 8-bit L, RGB, RGBA, CMYK or LAB."""
    mode = image.mode
    if image.info.get("transparency") is not None and mode in ("1", "L", "RGB", "P", "I;16"):
        if mode == "I;16":
            return _sixteen_to_eight(image)
        return image.convert("RGBA")
    if mode in ("L", "RGB", "RGBA", "CMYK", "LAB"):
        return image
    if mode in _SIXTEEN_BIT_MODES:
        return _sixteen_to_eight(image)
    if mode == "I":
        low, high = image.getextrema()
        assert not isinstance(low, tuple) and not isinstance(high, tuple)
        return _sixteen_to_eight(image) if high > 255 else image.convert("L")
    if mode == "F":
        low, high = image.getextrema()
        assert not isinstance(low, tuple) and not isinstance(high, tuple)
        scale = 255.0 if high <= 1.0 else 1.0
        return image.point(lambda value: value * scale + 0.5).convert("L")
    if mode == "1":
        return image.convert("L")
    if mode in ("P", "RGBX", "YCbCr", "HSV"):
        return image.convert("RGB")
    if mode in ("LA", "PA", "RGBa", "La"):
        straight = image.convert("LA") if mode == "La" else image
        return straight.convert("RGBA")
    raise NotCompressedError(
        Reason.UNSUPPORTED_PIXELS, f"Pixels of mode {mode!r} have no conversion to sRGB."
    )


def _sixteen_to_eight(image: Image.Image) -> Image.Image:
    """Scale 0..65535 to 0..255, rounded; plain convert() clips at 255 for mode I."""
    wide = image.convert("I").convert("F")
    return wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")


def _without_profile(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB", "RGBA"):
        return image
    return _lab_to_rgb(image) if image.mode == "LAB" else image.convert("RGB")


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@functools.lru_cache(maxsize=16)
def _profile_name(icc_profile: bytes) -> str | None:
    """The profile's description, or None where it cannot be parsed."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        return (ImageCms.getProfileDescription(profile) or "").strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@functools.lru_cache(maxsize=16)
def _transform(icc_profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
    return ImageCms.buildTransform(
        profile,
        _srgb(),
        mode,
        "RGBA" if mode == "RGBA" else "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _apply_profile(image: Image.Image, icc_profile: bytes) -> Image.Image:
    converted = ImageCms.applyTransform(image, _transform(icc_profile, image.mode))
    assert converted is not None  # only in-place conversion returns None
    return converted


@functools.cache
def _lab_transform() -> ImageCms.ImageCmsTransform:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    return ImageCms.buildTransform(lab, _srgb(), "LAB", "RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, _lab_transform())
    assert converted is not None
    return converted


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Put an image with alpha onto a background colour; others are returned as they are."""
    if image.mode != "RGBA":
        return image
    base = Image.new("RGB", image.size, background)
    base.paste(image, mask=image.getchannel("A"))
    return base
