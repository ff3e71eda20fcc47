"""What a source states about its colours beside an ICC profile: PNG chunks, AVIF and HEIF boxes."""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from PIL import Image

from image_assets.engine.pixels.boxes import iter_boxes
from image_assets.engine.pixels.profiles import (
    CICP_PRIMARIES,
    CICP_TRANSFERS,
    SRGB_PRIMARIES,
    Chromaticities,
    Curve,
    gamma_curve,
    srgb_curve,
)
from image_assets.engine.pixels.tiff_layouts import is_cielab, is_unsigned_32

_WHITE_IS_ZERO: Final = 0
_PHOTOMETRIC_TAG: Final = 0x0106
_BOX_FORMATS: Final = frozenset({"AVIF", "HEIF"})
_UNSPECIFIED: Final = 2
_SRGB_CURVE: Final[Curve] = srgb_curve

# How far a chunk may be from sRGB and still mean it: gAMA is written with 3 to 5 digits.
_GAMMA_OF_SRGB: Final = 1 / 2.2
_SRGB_TOLERANCE: Final = 0.005

# gAMA beyond these is an accident: 0.1 is an exponent of 10, 4 one of a quarter.
_GAMMA_RANGE: Final = (0.1, 4.0)


@dataclass(frozen=True, slots=True)
class Space:
    """A colour space by its numbers.

    Attributes:
        label: As `colour_note` tells it.
        primaries: White and primaries, xy.
        curve: From encoded value to light.
    """

    label: str
    primaries: Chromaticities
    curve: Curve

    @property
    def is_srgb(self) -> bool:
        """Whether there is nothing to convert."""
        return self.curve is srgb_curve and self.primaries == SRGB_PRIMARIES


@dataclass(frozen=True, slots=True)
class SourceColour:
    """How a source's numbers are to be read.

    Attributes:
        icc_profile: The embedded profile, or None.
        space: What is stated without a profile, or None.
        space_first: The space outranks the profile (PNG's cICP).
        inverted: Its numbers run the other way than Pillow takes them.
        lab: What Pillow takes as RGB is CIELAB.
        unsigned: What Pillow takes as negative is above 2^31.
    """

    icc_profile: bytes | None = None
    space: Space | None = None
    space_first: bool = False
    inverted: bool = False
    lab: bool = False
    unsigned: bool = False

    @property
    def may_follow_resize(self) -> bool:
        """Whether a smaller picture can be converted as well as the whole one, for less.

        An RGB profile is applied pixel by pixel and its curve is near sRGB's, so that it makes no
        difference that is seen; a stated curve may be that of light, and keys of transparency
        and the signs of CIELAB do not survive a resize.
        """
        return (
            self.icc_profile is not None and self.space is None and not self.inverted
        ) and not self.lab


def read_colour(image: Image.Image, data: bytes) -> SourceColour:
    """Read what a source states, and set right what Pillow tells wrongly of transparent keys.

    Args:
        image: As opened, or decoded; still the opened object, for its format and tags.
        data: The whole file.
    """
    icc_profile = image.info.get("icc_profile") or None
    if image.format == "PNG":
        _scale_transparent_key(image, data)
        cicp = _png_cicp(data)
        if cicp is not None:
            return SourceColour(icc_profile, cicp_space(*cicp), space_first=True)
        return SourceColour(icc_profile, _png_space(image.info))
    if image.format in _BOX_FORMATS:
        cicp = _box_cicp(data)
        return SourceColour(icc_profile, None if cicp is None else cicp_space(*cicp))
    return SourceColour(
        icc_profile,
        inverted=_is_inverted(image),
        lab=is_cielab(image),
        unsigned=is_unsigned_32(image),
    )


def cicp_space(primaries: int, transfer: int) -> Space:
    """Return the space of code points of ITU-T H.273; what is unknown counts as sRGB's."""
    gamut, corners = CICP_PRIMARIES.get(primaries, CICP_PRIMARIES[1])
    curve_name, curve = CICP_TRANSFERS.get(transfer, CICP_TRANSFERS[13])
    return Space(f"cicp:{gamut}-{curve_name}", corners, curve)


def _is_inverted(image: Image.Image) -> bool:
    """Tell greys that run from white to black: Pillow turns 8-bit TIFF round, 16-bit and float not.

    (CMYK JPEG, inverted as Adobe writes it, Pillow turns round with Adobe's marker and without, as
    libvips and browsers do.)
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or not image.mode.startswith(("I;16", "F")):
        return False
    return bool(tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO)


# ------------------------------------------------------------------------------ PNG


def _scale_transparent_key(image: Image.Image, data: bytes) -> None:
    """Bring PNG's transparent grey or colour to the bits that Pillow decodes to.

    Pillow widens 2- and 4-bit grey to 8 bits and keeps the upper 8 of 16-bit colour, but not so
    the key that is compared with them.
    """
    key = image.info.get("transparency")
    depth = data[24] if len(data) > 24 else 8
    if isinstance(key, int) and image.mode == "L" and depth in (2, 4):
        image.info["transparency"] = key * (255 // (2**depth - 1))
    elif isinstance(key, tuple) and image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(part >> 8 for part in key)


def _png_cicp(data: bytes) -> tuple[int, int] | None:
    """The primaries and transfer of the cICP chunk, which Pillow does not read."""
    start = 8
    while start + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        if kind == b"cICP" and size == 4 and start + 12 <= len(data):
            return data[start + 8], data[start + 9]
        if kind in (b"IDAT", b"IEND"):
            return None
        start += 12 + size
    return None


def _png_space(info: dict[Any, Any]) -> Space | None:
    """By the chunks sRGB, gAMA and cHRM, in this order of rank; None where there are none."""
    if "srgb" in info:
        return Space("srgb", SRGB_PRIMARIES, srgb_curve)
    gamma, corners = info.get("gamma"), info.get("chromaticity")
    low, high = _GAMMA_RANGE
    if gamma is not None and not low <= gamma <= high:
        gamma = None
    if corners is not None and _close(corners, SRGB_PRIMARIES):
        corners = SRGB_PRIMARIES
    if gamma is None and corners is None:
        return None
    if gamma is None or abs(gamma - _GAMMA_OF_SRGB) <= _SRGB_TOLERANCE:
        label, curve = "srgb", _SRGB_CURVE
    else:
        label, curve = f"gamma:{gamma:g}", gamma_curve(1 / gamma)
    if corners is None or corners == SRGB_PRIMARIES:
        return Space(label, SRGB_PRIMARIES, curve)
    return Space(f"{label}+chromaticities", tuple(corners), curve)


def _close(one: Chromaticities, other: Chromaticities) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= _SRGB_TOLERANCE for a, b in zip(one, other, strict=True)
    )


# ------------------------------------------------------------------------------ AVIF, HEIF


def _box_cicp(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer of the primary picture's nclx box; None without one.

    libavif and libheif undo the matrix and the range; primaries and transfer are left to us.
    """
    for kind, inner in _primary_properties(data):
        if kind == b"colr" and inner[:4] == b"nclx" and len(inner) >= 8:
            primaries, transfer = struct.unpack_from(">2H", inner, 4)
            if (primaries, transfer) != (_UNSPECIFIED, _UNSPECIFIED):
                return primaries, transfer
    return None


def crop_to_aperture(image: Image.Image, data: bytes) -> None:
    """Crop a decoded AVIF still to its clean aperture (clap), which its decoder hands on uncropped.

    As in browsers one that is not of whole pixels, or reaches beyond the picture, is ignored. It
    comes before irot and imir.
    """
    if getattr(image, "is_animated", False):  # an aperture of a track is another box
        return
    for kind, inner in _primary_properties(data):
        if kind != b"clap" or len(inner) < 32:
            continue
        numbers = struct.unpack_from(">IIIIiIiI", inner)
        if not all(numbers[1::2]):
            return
        width, height, right, down = (Fraction(numbers[n], numbers[n + 1]) for n in range(0, 8, 2))
        left, top = right + (image.width - width) / 2, down + (image.height - height) / 2
        edges = (left, top, left + width, top + height)
        is_whole = all(edge.denominator == 1 for edge in edges) and min(width, height) >= 1
        if (
            is_whole
            and min(left, top) >= 0
            and edges[2] <= image.width
            and edges[3] <= image.height
        ):
            x0, y0, x1, y1 = (int(edge) for edge in edges)
            cropped = image.crop((x0, y0, x1, y1))
            image.im, image._size = cropped.im, cropped.size
        return


def _primary_properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each property of the primary picture; none where they cannot be read."""
    try:
        for kind, start, end in iter_boxes(data, 0, len(data)):
            if kind == b"meta":
                return _meta_properties(data, start + 4, end)
    except (struct.error, IndexError):
        pass  # the decoder knows better what is broken
    return []


def _meta_properties(data: bytes, start: int, end: int) -> list[tuple[bytes, bytes]]:
    primary, properties, places = 0, list[tuple[bytes, int, int]](), dict[int, list[int]]()
    for kind, inner, inner_end in iter_boxes(data, start, end):
        if kind == b"pitm":
            wide = data[inner] > 0
            primary = struct.unpack_from(">I" if wide else ">H", data, inner + 4)[0]
        elif kind == b"iprp":
            for part, part_start, part_end in iter_boxes(data, inner, inner_end):
                if part == b"ipco":
                    properties = list(iter_boxes(data, part_start, part_end))
                elif part == b"ipma":
                    places |= _associations(data, part_start, part_end)
    chosen = [properties[n - 1] for n in places.get(primary, ()) if 1 <= n <= len(properties)]
    return [(kind, data[inner : min(inner_end, inner + 64)]) for kind, inner, inner_end in chosen]


def _associations(data: bytes, start: int, end: int) -> dict[int, list[int]]:
    """Which properties belong to which item, counted from 1."""
    version, flags = data[start], data[start + 3]
    count = struct.unpack_from(">I", data, start + 4)[0]
    at, found = start + 8, dict[int, list[int]]()
    for _ in range(count):
        if at >= end:
            break
        item = struct.unpack_from(">I" if version else ">H", data, at)[0]
        at += 4 if version else 2
        number, at = data[at], at + 1
        width = 2 if flags & 1 else 1
        mask = 0x7FFF if flags & 1 else 0x7F
        found[item] = [
            int.from_bytes(data[at + width * i : at + width * (i + 1)], "big") & mask
            for i in range(number)
        ]
        at += width * number
    return found
