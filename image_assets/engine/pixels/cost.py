"""What an image costs in memory, computed from its header before anything is decoded.

Every number is fitted to ``python -m bench.cost``, which renders 43 classes of images at 12 and 24
MP, each in a process of its own: an estimate is 0.8 to 1.5 times what is measured (the table is in
``docs/performance.md``). One class is 2.0: a WebP that moves states alpha where it has none.
"""

from dataclasses import dataclass, field

from image_assets.engine.pixels.jpeg import decode_eighths
from image_assets.engine.pixels.structure import Structure

MOVING_FORMATS = ("GIF", "WEBP", "PNG", "AVIF", "JXL")
"""Formats whose frames are an animation's. TIFF has pages, MPO and HEIF further pictures."""

# Bytes a pixel that are held at once between decoding and the first variant: what the decoder gives
# and what it becomes in sRGB, with the rows that a resize has in hand.
_BYTES_PER_PIXEL = {
    "1": 2, "L": 2, "P": 5.5, "PA": 9, "LA": 11, "La": 11,
    "RGB": 5.5, "RGBX": 5.5, "RGBA": 10.5, "RGBa": 10.5,
    "CMYK": 9, "YCbCr": 9, "LAB": 9, "HSV": 9,
    "I;16": 11.5, "I;16B": 11.5, "I;16L": 11.5, "I;16N": 11.5, "I": 18, "F": 18,
}  # fmt: skip
_UNKNOWN_BYTES_PER_PIXEL = 18
_COPIED_BYTES_PER_PIXEL = 9  # RGB twice: to turn it, or for a profile that is not sRGB's
# Decoders that hold more than the picture: libwebp two canvases and a frame, libheif its planes.
_DECODER_BYTES_PER_PIXEL = {"WEBP": 16.5, "AVIF": 9.5, "HEIF": 8.5, "JXL": 8.5}
_DECODER_ALPHA_BYTES_PER_PIXEL = 4
_WIDE_PICTURE_BYTES_PER_PIXEL = 6  # the picture, beside the bytes that it is made from
# What is left of the decoded picture while its renditions are encoded.
_KEPT_BYTES_PER_PIXEL = 4
_KEPT_GREY_BYTES_PER_PIXEL = 1

# Coefficients that libjpeg holds where a picture comes in several scans, for each sample.
_COEFFICIENT_BYTES = 2
_SAMPLES_PER_PIXEL = 3.0

_GUARD_SHARE = 1.25
_GUARD_BASE_BYTES = 64_000_000
_GUARD_THREAD_BYTES = 12_000_000
_GUARD_THREADS_MAX = 8

# The dearest encoder, and what it is given: 33 bytes a pixel for photographs (SVT), 49 for graphics
# (aom in 4:4:4, lossless WebP), which are told apart only when they are decoded.
_ENCODE_BASE_BYTES = 4_000_000
_ENCODE_BYTES_PER_PIXEL = 42
_ENCODE_GREY_BYTES_PER_PIXEL = 28
_ENCODE_ALPHA_BYTES_PER_PIXEL = 78
_ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_GREY_MODES = frozenset({"1", "L", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"})


_RESIZE_BYTES_PER_SIDE_PX = 48
"""LANCZOS weights: six times the side, in doubles, whatever the new size. It matters only where a
side has millions: 1 x 16.7 million pixels take 900 MB (found by fuzzing)."""


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
        structure: What the file's container says.
        wide_bytes_per_pixel: Bytes of a pixel that `wide_pixels` unpacks; else 0.
        is_copied: The decoded picture is to be turned, or has a profile that is not sRGB's.
    """

    format: str
    mode: str
    width_px: int
    height_px: int
    frames: int
    progressive: bool
    size_bytes: int
    structure: Structure | None = field(default=None, compare=False, repr=False)
    wide_bytes_per_pixel: int = 0
    is_copied: bool = False

    @property
    def moving_frames(self) -> int:
        """Frames of an animation; 1 for pages and further pictures, which are never decoded."""
        return max(1, self.frames) if self.format in MOVING_FORMATS else 1


def guard_bytes(grant_bytes: int, threads: int) -> int:
    """Return by how much a worker's memory may grow before its image is ended.

    No good image comes near: estimates are right within 0.8 (``python -m bench.cost``), which is
    the share, and the base is what codecs reserve at their first use, measured 53 MB with one
    thread of SVT, 75 with two and 143 with eight and more, most of it stacks that are never used.

    Args:
        grant_bytes: What the image was granted, at least its cost.
        threads: Of the AVIF encoder.
    """
    base = _GUARD_BASE_BYTES + _GUARD_THREAD_BYTES * min(threads, _GUARD_THREADS_MAX)
    return base + int(_GUARD_SHARE * grant_bytes)


def image_cost_bytes(header: Header, largest_px: int, draft_margin: float) -> int:
    """Return the memory that compressing an image takes over a worker's base, in bytes.

    The file is held all the time; beside it first what decoding and colour need, then what is left
    of the decoded picture and the dearest encoder. The larger of the two counts.
    """
    pixels = header.width_px * header.height_px
    decoded = pixels
    coefficients = 0
    if header.format in ("JPEG", "MPO"):
        eighths = decode_eighths(header.width_px, header.height_px, largest_px * draft_margin)
        decoded = pixels * eighths * eighths // 64
        structure = header.structure
        if header.progressive or (structure is not None and structure.scans > 1):
            samples = structure.samples_per_pixel if structure is not None else _SAMPLES_PER_PIXEL
            coefficients = int(pixels * samples * _COEFFICIENT_BYTES)
    is_grey = header.mode in _GREY_MODES
    kept_per_pixel = _KEPT_GREY_BYTES_PER_PIXEL if is_grey else _KEPT_BYTES_PER_PIXEL
    decoding = decoded * _decoding_bytes_per_pixel(header)
    if coefficients:
        decoding = max(decoding, coefficients + decoded * kept_per_pixel)
    if header.wide_bytes_per_pixel and header.structure is not None:
        is_packed = header.structure.compression != 1
        decoding += header.size_bytes if is_packed else 0  # libtiff gets a copy of the file
    longest = max(header.width_px, header.height_px, 1)
    shrink = min(1.0, largest_px / longest)
    encoding = decoded * kept_per_pixel + pixels * shrink * shrink * _encoding_bytes_per_pixel(
        header
    )
    tables = (header.width_px + header.height_px) * _RESIZE_BYTES_PER_SIDE_PX if shrink < 1 else 0
    needed = max(decoding, encoding) + tables + _ENCODE_BASE_BYTES
    return header.size_bytes + int(needed)


def _encoding_bytes_per_pixel(header: Header) -> int:
    if header.mode in _ALPHA_MODES:
        return _ENCODE_ALPHA_BYTES_PER_PIXEL
    return _ENCODE_GREY_BYTES_PER_PIXEL if header.mode in _GREY_MODES else _ENCODE_BYTES_PER_PIXEL


def _decoding_bytes_per_pixel(header: Header) -> float:
    decoder = _DECODER_BYTES_PER_PIXEL.get(header.format, 0.0)
    if decoder and header.mode == "RGBA":
        decoder += _DECODER_ALPHA_BYTES_PER_PIXEL
    needed = max(_BYTES_PER_PIXEL.get(header.mode, _UNKNOWN_BYTES_PER_PIXEL), decoder)
    if header.is_copied and header.mode not in _GREY_MODES:
        needed = max(needed, _COPIED_BYTES_PER_PIXEL)
    if header.wide_bytes_per_pixel:
        needed = max(needed, header.wide_bytes_per_pixel + _WIDE_PICTURE_BYTES_PER_PIXEL)
    return needed
