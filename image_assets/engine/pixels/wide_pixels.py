"""Pixels wider than Pillow's colour modes: TIFF of floats or 32 bits, grey with alpha, and PFM.

Pillow opens them (header, tags, orientation, profile), and `decode` fills them here. Of a TIFF,
Pillow and its libtiff unpack the bytes as if each were a grey pixel, and numpy makes numbers of
them: so every compression without loss is read by the decoder that reads the other TIFFs, and only
predictors are undone here. (tifffile, the other way, reads neither LZW nor the floating-point
predictor without a package of 80 codecs.)

numpy is imported where such a file is met, as everywhere in the engine: it takes 0.06 s and 10 MB.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from PIL import Image, ImageFile, TiffImagePlugin

from image_assets.engine.pixels.tiff_layouts import unread_compression
from image_assets.engine.reasons import NotCompressedError, Reason

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

_FLOAT_ONE_MAX: Final = 16.0
_FLOAT_EIGHT_BIT_MAX: Final = 511.0
"""Floats up to 16 are 0 to 1 with highlights above, up to 511 are 0 to 255 with some overshoot,
else their largest is white: a picture of the one range read as the other would be black."""

FLOAT_FINITE: Final = 1e30
"""What is not below it counts as infinite."""

_BAND_BYTES: Final = 2_000_000
"""Rows are turned into numbers in bands of about this size: a dozen times it is held at once."""


def white_of_floats(largest: float) -> float:
    """Return which number is white where this is the largest finite one."""
    if largest <= _FLOAT_ONE_MAX:
        return 1.0
    return 255.0 if largest <= _FLOAT_EIGHT_BIT_MAX else largest


def white_of_whole_numbers(largest: float) -> float:
    """Return which number is white where this is the largest: of 8 bits, of 16, or itself."""
    return 255.0 if largest <= 255 else max(65_535.0, largest)


# -- layouts -------------------------------------------------------------------------------------

_RAWMODE: Final = "wide"
"""What stands for an unpacker in Pillow's tables; Pillow has none of this name."""

_WHOLE, _SIGNED, _FLOAT = 1, 2, 3
_UNSPECIFIED, _PREMULTIPLIED, _ALPHA = 0, 1, 2
_Bits = dict[int, tuple[int, ...]]
_GREY_BITS: Final[_Bits] = {_FLOAT: (16, 64)}  # Pillow reads those of 32 bits
_GREY_ALPHA_BITS: Final[_Bits] = {_WHOLE: (16, 32), _SIGNED: (16, 32), _FLOAT: (16, 32, 64)}
_COLOUR_BITS: Final[_Bits] = {_WHOLE: (32,), _SIGNED: (16, 32), _FLOAT: (16, 32, 64)}
_PLAIN_COMPRESSIONS: Final = {1, 5, 8, 32773, 32946, 34925, 50000}
"""None, LZW, Deflate (two numbers), PackBits, LZMA, Zstandard: bytes in, the same bytes out."""
_PREDICTED_COMPRESSIONS: Final = {5, 8, 32946, 34925, 50000}


def wide_layouts() -> dict[Any, tuple[str, str]]:
    """Return the layouts, by Pillow's key, with the mode that each becomes."""
    found: dict[Any, tuple[str, str]] = {}

    def add(photometric: int, colours: int, kind: int, bits: int, modes: Mapping[Any, str]) -> None:
        for extra, mode in modes.items():
            samples = colours + len(extra)
            for order in (b"II", b"MM"):
                found[order, photometric, (kind,), 1, (bits,) * samples, extra] = (mode, _RAWMODE)

    for kind, widths in _GREY_BITS.items():
        for bits in widths:
            add(0, 1, kind, bits, {(): "F"})
            add(1, 1, kind, bits, {(): "F"})
    for kind, widths in _GREY_ALPHA_BITS.items():
        for bits in widths:
            add(1, 1, kind, bits, {(_UNSPECIFIED,): "L", (_PREMULTIPLIED,): "La", (_ALPHA,): "LA"})
    for kind, widths in _COLOUR_BITS.items():
        for bits in widths:
            modes = {
                (): "RGB",
                (_UNSPECIFIED,): "RGB",
                (_PREMULTIPLIED,): "RGBa",
                (_ALPHA,): "RGBA",
            }
            add(2, 3, kind, bits, modes)
            for order in (b"II", b"MM"):  # a fourth channel of which nothing is said
                found[order, 2, (kind,), 1, (bits,) * 4, ()] = ("RGB", _RAWMODE)
    return found


@dataclass(frozen=True, slots=True)
class _Layout:
    """How numbers lie in a file.

    Attributes:
        kind: Whole, signed or float, as TIFF counts them.
        sample_bytes: Of one number.
        samples: Numbers a pixel has.
        big_endian: Byte order.
    """

    kind: int
    sample_bytes: int
    samples: int
    big_endian: bool

    @property
    def dtype(self) -> str:
        letter = {_WHOLE: "u", _SIGNED: "i", _FLOAT: "f"}[self.kind]
        return f"{'>' if self.big_endian else '<'}{letter}{self.sample_bytes}"

    def white(self, largest: float) -> float:
        if self.kind == _FLOAT:
            return white_of_floats(largest)
        if self.kind == _WHOLE and self.sample_bytes == 2:
            return 65_535.0
        return white_of_whole_numbers(largest)


def is_wide(image: Image.Image) -> bool:
    """Tell an opened image that `load_wide` must fill, not Pillow."""
    if image.format == "PFM":
        return True
    tiles = getattr(image, "tile", None)
    if image.format != "TIFF" or not tiles:
        return False
    args = tiles[0].args
    return isinstance(args, tuple) and args[0] == _RAWMODE


def wide_bytes_per_pixel(image: Image.Image) -> int:
    """Return the bytes that `load_wide` unpacks of a pixel; 0 for others, and PFM is not packed.

    Raises:
        NotCompressedError: The file is compressed in a way that is not read for such pixels.
        ValueError: Its strips or tiles make no sense.
    """
    if not is_wide(image) or image.format == "PFM":
        return 0
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    layout, grid = _tiff_layout(image), _grid(image)
    # Tiles are unpacked whole, and may be wider than the page.
    row_width = grid.across * grid.block_width
    return -(-layout.samples * layout.sample_bytes * row_width // image._tile_size[0])


def load_wide(image: Image.Image, data: bytes) -> None:
    """Fill an opened image with its pixels, brought to 8 bits, or to mode F where it is grey.

    Of a file that has lost its end, what is missing is black; whether that may be is the caller's
    to decide.

    Args:
        image: As it was opened; `is_wide`.
        data: The whole file.

    Raises:
        OSError, ValueError: The data is truncated or corrupt.
    """
    if isinstance(image, PfmImageFile):
        layout = _Layout(_FLOAT, 4, len(image.getbands()), image.big_endian)
        made = _picture(image.mode, image.size, layout, lambda: _pfm_bands(image, data, layout))
        image.im = made.im
        image.tile = []
        return
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    layout = _tiff_layout(image)
    size = image._tile_size  # as stored; `load_end` turns it upright
    planes = _unpacked(image, data, layout)
    made = _picture(
        image.mode,
        size,
        layout,
        lambda: _tiff_bands(planes, image, layout),
        has_profile="icc_profile" in image.info,
    )
    planes.clear()
    image.im = made.im
    image.tile = []
    image.readonly = 0
    image.load_end()


# -- numbers to pixels ---------------------------------------------------------------------------

Bands = Callable[[], Iterator["tuple[int, npt.NDArray[Any]]"]]


def _picture(
    mode: str, size: tuple[int, int], layout: _Layout, bands: Bands, *, has_profile: bool = False
) -> Image.Image:
    """Scale numbers to a picture: all colours by one white, alpha by its own.

    Colours that are floats of 0 to 1 are light (scRGB), as libvips and every reader of PFM takes
    them, unless a profile says what they are.

    Args:
        mode: F keeps the numbers, for `to_srgb` has the same rule for them.
        size: Width and height.
        layout: What the numbers are.
        bands: Gives rows from the top, their first one's number before them, as often as asked.
        has_profile: Whether the file has a profile.
    """
    import numpy as np

    picture = Image.new(mode, size)

    def put(top: int, rows: npt.NDArray[Any]) -> None:
        part = Image.frombytes(mode, (size[0], len(rows)), rows.tobytes())
        picture.paste(part, (0, top))

    if mode == "F":
        for top, band in bands():
            with np.errstate(over="ignore"):  # beyond float32 is infinite
                put(top, band[..., 0].astype(np.float32))
        return picture
    channels = Image.getmodebands(mode)
    has_alpha = mode in ("LA", "La", "RGBA", "RGBa")
    colours = channels - has_alpha
    highs = [0.0, 0.0]
    for _, band in bands():
        known = _known(band[..., :channels])
        finite = np.where(known < FLOAT_FINITE, known, 0)
        highs[0] = max(highs[0], float(finite[..., :colours].max(initial=0)))
        highs[1] = max(highs[1], float(finite[..., colours:].max(initial=0)))
    white = layout.white(highs[0])
    is_light = layout.kind == _FLOAT and white == 1 and colours == 3 and not has_profile
    scales = np.full(channels, 1 / white, np.float32)
    scales[colours:] = 1 / layout.white(highs[1])
    for top, band in bands():
        shares = (_known(band[..., :channels]) * scales).clip(0, 1)
        if is_light:
            alpha = shares[..., 3:] if mode == "RGBa" else None
            shares[..., :3] = _srgb_of_light(shares[..., :3], alpha)
        put(top, (shares * 255 + np.float32(0.5)).astype(np.uint8))
    return picture


def _srgb_of_light(light: Samples, alpha: Samples | None) -> Samples:
    """Encode by the curve of sRGB (IEC 61966-2-1); alpha is what the light was multiplied by."""
    import numpy as np

    if alpha is not None:
        light = np.divide(light, alpha, out=np.zeros_like(light), where=alpha > 0).clip(0, 1)
    encoded = np.where(
        light <= 0.0031308, light * 12.92, 1.055 * light ** np.float32(1 / 2.4) - 0.055
    ).astype(np.float32)
    return encoded if alpha is None else encoded * alpha


def _known(band: npt.NDArray[Any]) -> Samples:
    """As float32; what is no number is black, below 0 too, and infinite stays below its end."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        known = band.astype(np.float32)
    known[np.isnan(known)] = 0
    return known.clip(0, np.float32(FLOAT_FINITE))


# -- TIFF ----------------------------------------------------------------------------------------


def _number(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    value = value[0] if isinstance(value, tuple) and value else value
    return int(value)


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return tuple(value) if isinstance(value, tuple) else (int(value),)


def _tiff_layout(image: Image.Image) -> _Layout:
    tags = getattr(image, "tag_v2")  # noqa: B009 - mypy knows no tags of an Image
    bits = _number(tags, 258, 1)
    kind = _number(tags, 339, _WHOLE)
    return _Layout(kind, bits // 8, _number(tags, 277, 1), tags.prefix == b"MM")


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a page is cut: rows of a strip or tile, in pixels; a strip is as wide as the page."""

    across: int
    block_width: int
    block_height: int
    is_tiled: bool
    is_planar: bool
    predictor: int


def _grid(image: TiffImagePlugin.TiffImageFile) -> _Grid:
    tags = image.tag_v2
    width, height = image._tile_size
    compression = _number(tags, 259, 1)
    if compression not in _PLAIN_COMPRESSIONS:
        raise NotCompressedError(
            Reason.UNSUPPORTED_PIXELS,
            unread_compression(compression)
            or f"The file is a TIFF whose floats or 32 bits are compressed by method {compression}"
            ", which is not read.",
        )
    predictor = _number(tags, 317, 1) if compression in _PREDICTED_COMPRESSIONS else 1
    is_planar = _number(tags, 284, 1) == 2
    if 322 in tags:
        block = _number(tags, 322, 0), _number(tags, 323, 0)
    else:
        block = width, min(height, _number(tags, 278, height))
    if min(block) < 1 or predictor not in (1, 2, 3):
        raise ValueError(f"blocks of {block[0]} x {block[1]} pixels, predictor {predictor}")
    return _Grid(-(-width // block[0]), *block, 322 in tags, is_planar, predictor)


class _Bytes(TiffImagePlugin.TiffImageFile):
    """A TIFF that is no picture: not turned, and no EXIF is looked for."""

    def load_end(self) -> None:
        pass


def _unpacked(
    image: TiffImagePlugin.TiffImageFile, data: bytes, layout: _Layout
) -> list[Image.Image]:
    """The bytes of the page's rows as grey pixels: one picture, or one for each plane."""
    tags, grid = image.tag_v2, _grid(image)
    height = image._tile_size[1]
    row_width = grid.across * grid.block_width  # tiles whole, for a predictor goes through them
    step = layout.sample_bytes * (1 if grid.is_planar else layout.samples)
    count = layout.samples if grid.is_planar else 1
    blocks = grid.across * -(-height // grid.block_height)
    places, lengths = (324, 325) if grid.is_tiled else (273, 279)
    fields = {
        256: [row_width * step],
        257: [height],
        258: [8],
        259: [_number(tags, 259, 1)],
        262: [1],
        277: [1],
    }
    if grid.is_tiled:
        fields |= {322: [grid.block_width * step], 323: [grid.block_height]}
    else:
        fields[278] = [grid.block_height]
    starts, sizes = _numbers(tags, places), _numbers(tags, lengths)
    if len(starts) < count * blocks:
        raise ValueError(f"Expected {count * blocks} strips or tiles, received {len(starts)}")
    planes = []
    for plane in range(count):
        part = slice(plane * blocks, (plane + 1) * blocks)
        page = {**fields, places: starts[part]}
        if sizes[part]:
            page[lengths] = sizes[part]
        planes.append(_read_grey(data, page, layout.big_endian))
    return planes


def _read_grey(data: bytes, page: Mapping[int, Sequence[int]], big_endian: bool) -> Image.Image:
    """Let Pillow read the file's bytes by a directory of our own."""
    if page[259] == [1]:  # Pillow looks into the file as it goes: no copy of it is needed
        packed = _Bytes(io.BytesIO(_with_directory(b"", page, big_endian)))
        packed.fp = io.BytesIO(data)
    else:  # libtiff wants directory and data in one piece
        packed = _Bytes(io.BytesIO(_with_directory(data, page, big_endian)))
    packed.load()
    return Image.Image()._new(packed.im)


def _with_directory(data: bytes, page: Mapping[int, Sequence[int]], big_endian: bool) -> bytes:
    """The file with another directory behind it; its own bytes stay where they are."""
    order = ">" if big_endian else "<"
    at = max(8, len(data) + len(data) % 2)
    after = at + 2 + 12 * len(page) + 4
    entries, further = [struct.pack(order + "H", len(page))], b""
    for tag, values in sorted(page.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            packed, place = struct.pack(order + "I", after + len(further)), packed
            further += place
        entries.append(struct.pack(order + "HHI", tag, 4, len(values)) + packed)
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", at)
    padding = bytes(len(data) % 2)
    return b"".join([head, memoryview(data)[8:], padding, *entries, bytes(4), further])


def _tiff_bands(
    planes: Sequence[Image.Image], image: TiffImagePlugin.TiffImageFile, layout: _Layout
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    import numpy as np

    grid = _grid(image)
    width, height = image._tile_size
    samples = 1 if grid.is_planar else layout.samples
    rows = max(1, _BAND_BYTES // (planes[0].width * len(planes)))
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        bands = []
        for plane in planes:
            raw = plane.crop((0, top, plane.width, bottom)).tobytes()
            blocks = np.frombuffer(raw, np.uint8).reshape(
                bottom - top, grid.across, grid.block_width, samples * layout.sample_bytes
            )
            numbers = _unpredicted(blocks, grid.predictor, samples, layout)
            bands.append(numbers.reshape(bottom - top, -1, samples)[:, :width])
        yield top, bands[0] if len(bands) == 1 else np.concatenate(bands, axis=-1)


def _unpredicted(
    blocks: npt.NDArray[np.uint8], predictor: int, samples: int, layout: _Layout
) -> npt.NDArray[Any]:
    """Numbers of blocks of bytes: rows, blocks across, pixels, bytes."""
    import numpy as np

    rows, across, pixels, _ = blocks.shape
    size = layout.sample_bytes
    if predictor == 3:
        if layout.kind != _FLOAT:
            raise ValueError("a predictor of floats for other numbers")
        # Each row of a block: differences of bytes, all the first bytes of its numbers first.
        summed = blocks.reshape(rows, across, pixels * size, samples).cumsum(2, dtype=np.uint8)
        sorted_ = summed.reshape(rows, across, size, pixels * samples).swapaxes(2, 3)
        return np.ascontiguousarray(sorted_).view(f">f{size}")
    numbers = blocks.view(layout.dtype)
    if predictor == 2:
        whole = numbers.view(f"{layout.dtype[0]}u{size}").astype(f"=u{size}")
        summed = whole.reshape(rows, across, pixels, samples).cumsum(2, dtype=whole.dtype)
        return summed.view(f"={layout.dtype[1:]}")
    return numbers


# -- PFM -----------------------------------------------------------------------------------------

_PFM_BEGINNING: Final = re.compile(rb"P[Ff]\s+\d")
_PFM_HEADER: Final = re.compile(
    rb"P([Ff])\s+(\d{1,10})\s+(\d{1,10})\s+([-+]?[\d.]+(?:[eE][-+]?\d+)?)(?:\r\n|\s)"
)


@dataclass(frozen=True, slots=True)
class PfmHeader:
    """What a PFM's text says.

    Attributes:
        mode: F or RGB.
        size: Width and height.
        big_endian: Byte order.
        start: Where the numbers begin.
    """

    mode: str
    size: tuple[int, int]
    big_endian: bool
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row; there is no padding."""
        return 4 * self.size[0] * (1 if self.mode == "F" else 3)


def read_pfm_header(data: bytes) -> PfmHeader:
    """Read a PFM's header.

    Raises:
        ValueError: It is none.
    """
    match = _PFM_HEADER.match(data[:200])
    if match is None:
        raise ValueError("The header of the PFM is not one.")
    scale = float(match[4])  # its size is a brightness that nobody agrees on; its sign counts
    if not scale or not math.isfinite(scale):
        raise ValueError("The header of the PFM states no byte order.")
    mode = "F" if match[1] == b"f" else "RGB"
    return PfmHeader(mode, (int(match[2]), int(match[3])), scale > 0, match.end())


def is_pfm(prefix: bytes) -> bool:
    """Tell a PFM by its first bytes."""
    return _PFM_BEGINNING.match(prefix) is not None


class PfmImageFile(ImageFile.ImageFile):
    """A PFM, opened by its header; Pillow itself reads the grey ones alone."""

    format = "PFM"
    format_description = "Portable float map"
    big_endian = False

    def _open(self) -> None:
        assert self.fp is not None
        try:
            header = read_pfm_header(self.fp.read(200))
        except ValueError as error:
            raise SyntaxError(str(error)) from error
        self._mode, self._size = header.mode, header.size
        self.big_endian = header.big_endian
        self.tile = []  # `load_wide` fills it


def _pfm_bands(
    image: PfmImageFile, data: bytes, layout: _Layout
) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Rows from the top, which are last in the file; missing ones are left out."""
    import numpy as np

    header = read_pfm_header(data)
    width, height = header.size
    have = (len(data) - header.start) // header.row_bytes
    rows = max(1, _BAND_BYTES // header.row_bytes)
    for first in range(0, min(height, have), rows):
        count = min(rows, min(height, have) - first)
        band = np.frombuffer(
            data,
            layout.dtype,
            count * width * layout.samples,
            header.start + first * header.row_bytes,
        )
        shaped = band.reshape(count, width, layout.samples)
        yield height - first - count, shaped[::-1]


def register_wide() -> None:
    """Let Pillow open these; what it has itself stays as it is."""
    for key, value in wide_layouts().items():
        TiffImagePlugin.OPEN_INFO.setdefault(key, value)
    Image.register_open("PFM", PfmImageFile, is_pfm)
