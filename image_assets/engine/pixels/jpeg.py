"""Decode a JPEG at the scale that is needed, by libjpeg-turbo itself, and hear what it warns of.

Pillow's decoder scales by 1/2, 1/4 and 1/8 and keeps libjpeg's warnings to itself, so that what is
missing of a file comes out grey. TurboJPEG (`simplejpeg`) scales by 3/8 too, where a 12 MP
photograph becomes 1512 px rather than 2016: decoding and resizing it to 1024 px takes 0.86 of the
CPU (``python -m bench.jpeg_decode``).
"""

import functools
import importlib
import re
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

EIGHTHS: Final = (1, 2, 3, 4)
"""Scales below the whole size. 5/8 to 7/8 take longer than the whole."""

_MARKER: Final = re.compile(rb"\xff([\xc0-\xfe])")
_SOS: Final = 0xDA
# Tables, frames, restarts, JFIF and Adobe: all that pixels depend on.
_NEEDED: Final = frozenset({*range(0xC0, 0xD0), 0xDB, 0xDD, 0xE0, 0xEE})

# By what Pillow calls the stored samples; anything else is Pillow's to decode.
_COLOURSPACES: Final = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "CMYK;I": "CMYK"}


@dataclass(frozen=True, slots=True)
class DecodedJpeg:
    """A JPEG's pixels and what libjpeg-turbo said of them.

    Attributes:
        image: Mode L, RGB or CMYK, at the scale asked for.
        warning: Its first or last warning; None where the data is sound.
    """

    image: Image.Image
    warning: str | None

    @property
    def is_cut(self) -> bool:
        """Whether data was missing, and grey stands for it."""
        return self.warning is not None and "premature end" in self.warning.lower()

    @property
    def is_corrupt(self) -> bool:
        """Whether data made no sense; bytes too many beside it are no such case."""
        return self.warning is not None and "huffman" in self.warning.lower()


def decode_eighths(width_px: int, height_px: int, needed_px: float) -> int:
    """Return the eighths (1, 2, 3, 4 or 8) of the smallest decode not below what is needed.

    Args:
        width_px: Stored width.
        height_px: Stored height.
        needed_px: Longest side that the largest variant needs, margin included.
    """
    longest = max(width_px, height_px)
    return next((n for n in EIGHTHS if longest * n / 8 >= needed_px), 8)


@functools.cache
def load_library() -> Any:
    """Import `simplejpeg`, and numpy with it: 60 ms and 10 MB, once per process that decodes."""
    return importlib.import_module("simplejpeg")


def decode_jpeg(data: bytes, rawmode: str, eighths: int) -> DecodedJpeg | None:
    """Decode a JPEG.

    Args:
        data: The file, with an end marker.
        rawmode: How Pillow takes its samples: ``L``, ``RGB``, ``CMYK`` or ``CMYK;I`` (inverted).
        eighths: Of its size: 1, 2, 3, 4 or 8.

    Returns:
        None where TurboJPEG does not know such a JPEG (odd subsampling): it is Pillow's to decode.

    Raises:
        MemoryError: There is no memory for its pixels.
    """
    if rawmode not in _COLOURSPACES:
        return None
    jpeg = load_library()
    try:
        try:
            height, width, *_ = jpeg.decode_jpeg_header(data)
        except ValueError:  # a mere warning too: of a profile, or of bytes between segments
            data = _without_extras(data)
            height, width, *_ = jpeg.decode_jpeg_header(data)
        options = {
            "colorspace": _COLOURSPACES[rawmode],
            "min_height": -(-height * eighths // 8),
            "min_width": -(-width * eighths // 8),
        }
        warning = None
        try:
            pixels = jpeg.decode_jpeg(data, strict=True, **options)
        except ValueError as error:
            warning = str(error)
            pixels = jpeg.decode_jpeg(data, strict=False, **options)
    except ValueError:
        return None
    size = (pixels.shape[1], pixels.shape[0])
    mode = rawmode.partition(";")[0]
    return DecodedJpeg(Image.frombuffer(mode, size, pixels, "raw", rawmode, 0, 1), warning)


def _without_extras(data: bytes) -> bytes:
    """Return the JPEG without metadata and whatever stands between segments before its first scan.

    TurboJPEG refuses to go on where libjpeg warns of them.
    """
    kept, position = [data[:2]], 2
    while (match := _MARKER.search(data, position)) is not None:
        start, marker = match.start(), match[1][0]
        if marker == _SOS:
            return b"".join([*kept, data[start:]])
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        if marker in _NEEDED:
            kept.append(data[start:position])
    return data
