"""Open a source: by its content, from an allow-list, within limits, without decoding it."""

import io
import struct
from typing import Final

from PIL import Image, UnidentifiedImageError

from image_assets.engine.cost import Header, decode_scale
from image_assets.engine.reasons import NotCompressedError, Reason

ALLOWED_FORMATS: Final = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP")
"""What is opened, whatever a file's extension says. MPO is what drones and phones write."""

# Known by their first bytes, so that the row can say what came instead of an allowed image.
_OTHER_CONTENT: Final = (
    (b"%PDF", "a PDF document"),
    (b"8BPS", "a Photoshop document"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image it points to"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"PK\x03\x04", "a ZIP archive or Office document"),
)

PREFIX_BYTES: Final = 64
"""How much of a file `sniff` looks at."""


def sniff(prefix: bytes) -> str:
    """Return the input format that a file's first bytes announce, without running a decoder.

    Args:
        prefix: The first `PREFIX_BYTES` bytes.

    Raises:
        NotCompressedError: Empty, not an image, or an image of a format that is not read.
    """
    if not prefix:
        raise NotCompressedError(Reason.EMPTY, "The file is empty.")
    if _is_heic(prefix):
        raise _unsupported("a HEIC image")
    Image.init()
    for name in ALLOWED_FORMATS:
        entry = Image.OPEN.get(name)
        if entry is None:  # MPO has no opener of its own: Pillow finds it inside a JPEG
            continue
        accept = entry[1]
        if accept is not None and accept(prefix) is True:
            return name
    text = prefix.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")):
        raise _unsupported("an SVG or XML document")
    if text.startswith((b"<!doctype html", b"<html")):
        raise NotCompressedError(Reason.NOT_AN_IMAGE, "The file is an HTML page, not an image.")
    for magic, name in _OTHER_CONTENT:
        if prefix.startswith(magic):
            raise _unsupported(name)
    raise NotCompressedError(
        Reason.NOT_AN_IMAGE, "The file's content is no image format that is known."
    )


def _is_heic(prefix: bytes) -> bool:
    """Tell HEIC from AVIF: both may begin as ``mif1``, and then the brands that follow decide."""
    if prefix[4:8] != b"ftyp":
        return False
    brands = {prefix[start : start + 4] for start in range(8, len(prefix) - 3, 4)}
    return bool(brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}) and not (
        brands & {b"avif", b"avis"}
    )


def _unsupported(what: str) -> NotCompressedError:
    return NotCompressedError(
        Reason.UNSUPPORTED_FORMAT,
        f"The file is {what}; read are {', '.join(ALLOWED_FORMATS)}.",
    )


def open_source(data: bytes) -> tuple[Image.Image, Header]:
    """Open an image and read its header; no pixel is decoded.

    Args:
        data: The whole file.

    Raises:
        NotCompressedError: Not an image, not an allowed one, or a broken header.
    """
    announced = sniff(data[:PREFIX_BYTES])
    try:
        image = Image.open(io.BytesIO(data), formats=(announced,))
        frames = int(getattr(image, "n_frames", 1))
    except UnidentifiedImageError as error:
        raise NotCompressedError(
            Reason.CORRUPT, "The file begins like an image, but its header cannot be read."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError) as error:
        raise broken(error) from error
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        # Pillow's parsers meet broken headers with these (fuzzed TIFF and WebP files).
        raise NotCompressedError(
            Reason.CORRUPT, f"The file's header cannot be read: {error!r}."
        ) from error
    if image.width < 1 or image.height < 1:
        raise NotCompressedError(
            Reason.CORRUPT, f"The header states {image.width} x {image.height} pixels."
        )
    return image, Header(
        format=image.format or "",
        mode=image.mode,
        width_px=image.width,
        height_px=image.height,
        frames=frames,
        progressive=bool(image.info.get("progressive") or image.info.get("progression")),
        size_bytes=len(data),
    )


def check_pixels(header: Header, max_pixels: int) -> None:
    """Refuse an image of more pixels, over all its frames, than allowed.

    Raises:
        NotCompressedError: With the numbers.
    """
    pixels = header.width_px * header.height_px * max(1, header.frames)
    if pixels > max_pixels:
        frames = f" in {header.frames} frames" if header.frames > 1 else ""
        raise NotCompressedError(
            Reason.TOO_MANY_PIXELS,
            f"Expected at most {max_pixels} pixels, received {header.width_px} x "
            f"{header.height_px}{frames} = {pixels} (max_pixels).",
        )


def decode(image: Image.Image, header: Header, needed_px: float) -> None:
    """Decode the first frame, JPEG at the smallest scale that is not below what is needed.

    Args:
        image: As `open_source` returned it; holds the pixels afterwards.
        header: Its header.
        needed_px: Longest side that the largest variant needs, margin included.

    Raises:
        NotCompressedError: The data is truncated or corrupt.
    """
    try:
        if header.format in ("JPEG", "MPO"):
            scale = decode_scale(header.width_px, header.height_px, needed_px)
            if scale > 1:
                # draft() takes the size to reach; asking for exactly 1/scale gives that scale.
                image.draft(None, (header.width_px // scale, header.height_px // scale))
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, OverflowError) as error:
        raise broken(error) from error
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise NotCompressedError(
            Reason.CORRUPT, f"The image data cannot be decoded: {error!r}."
        ) from error


def broken(error: Exception) -> NotCompressedError:
    """Word a decoder's error as a row: truncated where it says so, else corrupt."""
    text = str(error) or type(error).__name__
    if any(word in text.lower() for word in ("truncated", "unexpected end", "not enough image")):
        return NotCompressedError(Reason.TRUNCATED, f"The file ends too early: {text}.")
    return NotCompressedError(Reason.CORRUPT, f"The image data cannot be decoded: {text}.")
