"""What an image costs in memory, computed from its header before anything is decoded.

Measured over a worker's base on 12 and 100 MP photographs (DESIGN section 5): 12 MP JPEG with
draft 21 MB, without 61; 100 MP baseline JPEG with draft 14, progressive 293; AVIF encode 21 to
30 MB at 1024 px, 76 at 2048 px.
"""

from dataclasses import dataclass

# Pillow keeps RGB, RGBA and CMYK in 4 bytes a pixel; these modes need less or more.
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "LA": 4, "PA": 4}
_DEFAULT_BYTES_PER_PIXEL = 4

# Coefficients that libjpeg holds for a progressive image: 2 bytes each, 1.5 a pixel at 4:2:0
# and 3 at 4:4:4; 100 MP 4:2:0 measured 293 MB.
_PROGRESSIVE_BYTES_PER_PIXEL = 3

_ENCODE_BASE_BYTES = 12_000_000
_ENCODE_BYTES_PER_PIXEL = 25


@dataclass(frozen=True, slots=True)
class Header:
    """What a source's header says.

    Attributes:
        format: Pillow's name of the input format.
        mode: Pillow's name of the pixel mode.
        width_px: Stored width, before orientation.
        height_px: Stored height.
        frames: Number of frames or pages.
        progressive: A JPEG in several scans.
        size_bytes: Size of the file.
    """

    format: str
    mode: str
    width_px: int
    height_px: int
    frames: int
    progressive: bool
    size_bytes: int


def decode_scale(width_px: int, height_px: int, needed_px: float) -> int:
    """Return the divisor (1, 2, 4, 8) of the smallest JPEG decode that is not below what is needed.

    Args:
        width_px: Stored width.
        height_px: Stored height.
        needed_px: Longest side that the largest variant needs, margin included.
    """
    longest = max(width_px, height_px)
    return next((n for n in (8, 4, 2) if longest / n >= needed_px), 1)


def image_cost_bytes(header: Header, largest_px: int, draft_margin: float) -> int:
    """Return the memory that compressing an image takes over a worker's base, in bytes."""
    pixels = header.width_px * header.height_px
    decoded = pixels
    extra = 0
    if header.format in ("JPEG", "MPO"):
        scale = decode_scale(header.width_px, header.height_px, largest_px * draft_margin)
        decoded = pixels // (scale * scale)
        extra = pixels * _PROGRESSIVE_BYTES_PER_PIXEL if header.progressive else 0
    bytes_per_pixel = _BYTES_PER_PIXEL.get(header.mode, _DEFAULT_BYTES_PER_PIXEL)
    # The decoded image, and one copy of it while it is turned upright or changes colour space.
    # Decoders that hand over a whole frame (WebP, AVIF) hold that as well.
    copies = 3 if header.format in ("WEBP", "AVIF", "HEIF", "GIF") else 2
    longest = max(header.width_px, header.height_px, 1)
    shrink = min(1.0, largest_px / longest)
    rendered = int(pixels * shrink * shrink)
    decode = extra + decoded * max(bytes_per_pixel, 3) * copies
    encode = (
        decoded * _DEFAULT_BYTES_PER_PIXEL + _ENCODE_BASE_BYTES + rendered * _ENCODE_BYTES_PER_PIXEL
    )
    return header.size_bytes + max(decode, encode)
