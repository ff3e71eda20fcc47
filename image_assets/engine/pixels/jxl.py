"""Open JPEG XL by its header; `pillow_jxl` decodes the whole image to tell its size.

A header that is read first is what pixel limits and memory admission stand on.
"""

import io
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageFile

from image_assets.engine.reasons import NotCompressedError, Reason

_CODESTREAM: Final = b"\xff\x0a"
_CONTAINER: Final = b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a"
_BOXES_MAX: Final = 1_000

# ISO/IEC 18181-1, SizeHeader: width as a ratio of height.
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIZE_BITS: Final = (9, 13, 18, 30)


@dataclass(frozen=True, slots=True)
class JxlHeader:
    """What a file's first bytes say.

    Attributes:
        width_px: As decoded: upright, but for a recompressed JPEG.
        height_px: Likewise.
        is_jpeg: A JPEG without loss inside; it comes back as stored, with its EXIF orientation.
        is_animated: It moves.
    """

    width_px: int
    height_px: int
    is_jpeg: bool
    is_animated: bool


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError("JPEG XL header is truncated")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


def read_jxl_header(data: bytes) -> JxlHeader:
    """Read size, kind and orientation.

    Args:
        data: The whole file, or as much of it as holds the beginning of the image.

    Raises:
        EOFError: It ends within the header.
        ValueError: It is no JPEG XL.
    """
    stream, is_jpeg = _codestream(data)
    if not stream.startswith(_CODESTREAM):
        raise ValueError("JPEG XL container without an image")
    bits = _Bits(stream[2:64])
    width, height = _size(bits)
    orientation, animated = 1, False
    if not bits.take(1) and bits.take(1):  # neither all defaults nor without extra fields
        orientation = 1 + bits.take(3)
        if bits.take(1):  # its intrinsic size, which no pixel has
            _size(bits)
        if not bits.take(1):  # with a preview, the header goes on with that: not looked into
            animated = bool(bits.take(1))
    if orientation >= 5 and not is_jpeg:
        width, height = height, width
    return JxlHeader(width, height, is_jpeg, animated)


def _codestream(data: bytes) -> tuple[bytes, bool]:
    """Return the beginning of the image's own bytes, and whether a JPEG is in it."""
    if not data.startswith(_CONTAINER):
        return data[:64], False
    offset, found, is_jpeg, boxes = 0, b"", False, 0
    while offset + 8 <= len(data) and boxes < _BOXES_MAX:
        size, kind = int.from_bytes(data[offset : offset + 4]), data[offset + 4 : offset + 8]
        start = offset + 8
        if size == 1:
            size, start = int.from_bytes(data[offset + 8 : offset + 16]), offset + 16
        end = len(data) if size == 0 else offset + size
        if end < start:
            break
        if kind == b"jbrd":
            is_jpeg = True
        elif kind == b"jxlc" and not found:
            found = data[start : start + 64]
        elif kind == b"jxlp" and len(found) < 64:
            found += data[start + 4 : min(end, start + 68)]
        offset, boxes = end, boxes + 1
    if not found:
        raise EOFError("JPEG XL container is truncated before its image")
    return found[:64], is_jpeg


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _side(bits, small), height
    numerator, denominator = _RATIOS[ratio - 1]
    return height * numerator // denominator, height


def _side(bits: _Bits, small: int) -> int:
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_SIZE_BITS[bits.take(2)])


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL image for Pillow: opened by its header, decoded by ``pillow_jxl`` when loaded.

    Attributes:
        jpeg: It holds a JPEG, which comes as stored: EXIF's orientation is still to be undone.
    """

    format = "JXL"
    format_description = "JPEG XL image"

    def _open(self) -> None:
        assert self.fp is not None
        self._file_bytes = self.fp.read()
        try:
            header = read_jxl_header(self._file_bytes)
        except (ValueError, EOFError) as error:
            raise SyntaxError(str(error)) from error
        if header.is_animated:
            raise NotCompressedError(
                Reason.UNSUPPORTED_FORMAT, "The file is an animated JPEG XL image; stills are read."
            )
        self._size = (header.width_px, header.height_px)
        self._mode = "RGB"  # until it is decoded
        self.jpeg = header.is_jpeg
        self._is_loaded = False
        self.tile = []

    def load(self) -> Any:
        """Decode; mode, profile, EXIF and XMP are known from here on."""
        if not self._is_loaded:
            self._decode()
        return super().load()

    def _decode(self) -> None:
        from pillow_jxl import Decoder

        try:
            # One thread: a worker is one of several processes.
            is_jpeg, info, data, profile, boxes = Decoder(num_threads=1)(self._file_bytes)
        except RuntimeError as error:  # whose text advises to build libjxl anew
            raise OSError("the JPEG XL decoder refuses it") from error
        self._is_loaded = True
        self._file_bytes = b""
        if is_jpeg:
            self._take_jpeg(bytes(data))
            return
        if (info.width, info.height) != self.size:
            raise OSError(f"JPEG XL image of {info.width} x {info.height} with another header")
        mode = "F" if info.mode == "F;16" else info.mode
        image = Image.frombytes(mode, self.size, bytes(data), "raw", info.mode)
        self._mode, self.im = mode, image.im
        if profile:
            self.info["icc_profile"] = bytes(profile)
        for box in boxes:
            if box.box_type == b"xml ":
                self.info.setdefault("xmp", bytes(box.data))
            elif box.box_type == b"Exif":
                self.info.setdefault("exif", _block(bytes(box.data)))

    def _take_jpeg(self, data: bytes) -> None:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
            if image.size != self.size:
                raise OSError(f"JPEG XL holds a JPEG of {image.size} with another header")
            self.info = dict(image.info)
            self._mode, self.im = image.mode, image.im


def exif_box(exif: bytes) -> bytes:
    """Return what ``pillow_jxl`` is to write: it leaves out the offset that the box begins with."""
    return bytes(4) + exif.removeprefix(b"Exif\x00\x00") if exif else b""


def _block(box: bytes) -> bytes:
    """Return the EXIF block of a box, with its offset before it or, by that plugin, without."""
    return box if box[:4] in (b"II*\x00", b"MM\x00*") else box[4 + int.from_bytes(box[:4]) :]


def register() -> None:
    """Let Pillow open JPEG XL with this module, and write it with ``pillow_jxl``.

    Raises:
        ImportError: The plugin is missing or cannot be loaded.
    """
    import pillow_jxl  # noqa: F401 - it registers its own opener and its writer

    Image.register_open(JxlImageFile.format, JxlImageFile, _accepts)  # in the place of its own


def _accepts(prefix: bytes) -> bool:
    return prefix.startswith((_CODESTREAM, _CONTAINER))
