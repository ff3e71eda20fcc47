"""TIFF pixel layouts beyond those that Pillow knows, and a sentence for those that nobody reads."""

import io
from collections.abc import Iterable
from typing import Any, Final

from PIL import Image, ImagePalette, TiffImagePlugin

_II, _MM = b"II", b"MM"
_CIELAB: Final = 8

# Key: byte order, photometric, sample formats, fill order, bits, extra samples (Pillow's own).
_LAYOUTS: Final[dict[Any, tuple[str, str]]] = {
    # CIELAB of 16 bits: its upper bytes, as RGB; `to_srgb` knows better by the photometric tag.
    **{
        (order, _CIELAB, formats, 1, (16, 16, 16), ()): ("RGB", rawmode)
        for order, rawmode in ((_II, "RGB;16L"), (_MM, "RGB;16B"))
        for formats in ((1,), (2,), (1, 2, 2), (2, 2, 2))
    },
    (_MM, 1, (1,), 1, (32,), ()): ("I", "I;32B"),
    # An alpha beside inks is left out, as libvips does.
    (_II, 5, (1,), 1, (8,) * 5, (1,)): ("CMYK", "CMYKX"),
    (_MM, 5, (1,), 1, (8,) * 5, (1,)): ("CMYK", "CMYKX"),
    (_II, 5, (1,), 1, (8,) * 5, (2,)): ("CMYK", "CMYKX"),
    (_MM, 5, (1,), 1, (8,) * 5, (2,)): ("CMYK", "CMYKX"),
}


def register_layouts() -> None:
    """Let Pillow open them; what it has itself stays as it is."""
    for key, value in _LAYOUTS.items():
        TiffImagePlugin.OPEN_INFO.setdefault(key, value)


def unread_layout(data: bytes) -> str | None:
    """Return a sentence on a sound TIFF's layout that is not read; None where that is not it.

    Args:
        data: A TIFF that could not be opened.
    """
    try:
        TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    except SyntaxError as error:
        if str(error) != "unknown pixel mode":
            return None
        tags = _read_tags(data)
        if tags is None:
            return None
        return (
            f"The file is a TIFF of {_samples_of(tags)} (photometric {tags.get(262)}), which is "
            "not read; whole numbers of 8 to 32 bits and floats of 16 to 64 are, as grey or RGB."
        )
    except Exception:  # whatever else is broken, the caller has its words for it
        return None
    return None


_COMPRESSIONS: Final = {
    9: "JBIG",
    10: "JBIG",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34892: "lossy JPEG",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def unread_compression(number: int) -> str | None:
    """Return a sentence on a compression that not every libtiff reads; None for the usual ones.

    Args:
        number: Of a TIFF that could not be opened or decoded.
    """
    name = _COMPRESSIONS.get(number)
    if name is None:
        return None
    return (
        f"The file is a TIFF compressed with {name}, which the installed decoder does not read "
        "(read are LZW, Deflate, PackBits, JPEG and fax)."
    )


def mend_palette(image: Image.Image) -> None:
    """Set right a TIFF's palette of 8-bit numbers where it should have 16, as libtiff does.

    Old writers did so; Pillow takes their upper bytes, which are all black.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.mode != "P":
        return
    colours = tags.get(320, ())
    if colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


_SAMPLE_KINDS: Final = {1: "whole", 2: "signed whole", 3: "floating-point"}


def _samples_of(tags: TiffImagePlugin.ImageFileDirectory_v2) -> str:
    bits, formats = tags.get(258) or (1,), tags.get(339) or (1,)
    kinds = [_SAMPLE_KINDS.get(kind, f"format {kind}") for kind in formats]
    return f"{len(bits)} x {_each_once(bits)} bits, {_each_once(kinds)} numbers"


def _each_once(values: Iterable[object]) -> str:
    names = dict.fromkeys(str(value) for value in values)
    return "/".join(names) if len(names) <= 4 else "various"  # a tag may hold thousands


def _read_tags(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2 | None:
    try:
        is_big = 43 in data[2:4]
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if is_big else 8])
        file = io.BytesIO(data)
        file.seek(tags.next or 0)
        tags.load(file)
    except Exception:  # it is broken as well, for which the caller has its words
        return None
    return tags


def is_cielab(image: Image.Image) -> bool:
    """Tell a TIFF of CIELAB that Pillow opened as RGB."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(262) == _CIELAB and image.mode == "RGB"


def is_unsigned_32(image: Image.Image) -> bool:
    """Tell a TIFF of whole numbers up to 2^32, which Pillow's mode I holds as signed ones."""
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.mode != "I":
        return False
    return tuple(tags.get(258, ())) == (32,) and tuple(tags.get(339, (1,))) == (1,)
