"""Encode one image as one format, by the ways that `image_assets.engine.pixels.formats` lists."""

import errno
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from image_assets.engine.pixels.choice import (
    AOM_FROM_QUALITY,
    PHOTOGRAPH,
    SVT_MAX_HEIGHT_PX,
    SVT_MAX_WIDTH_PX,
    SVT_MIN_SIDE_PX,
    SVT_QUALITY_OF_AOM,
    EncodePolicy,
    Encoding,
    Request,
    aom_speed,
    svt_quality,
    svt_speed,
)
from image_assets.engine.pixels.colour import flatten
from image_assets.engine.pixels.formats import ways_to_make
from image_assets.engine.pixels.jxl import exif_box
from image_assets.engine.pixels.metadata import Metadata
from image_assets.engine.pixels.resize import fill_hidden

__all__ = [
    "AOM_FROM_QUALITY",
    "SVT_MAX_HEIGHT_PX",
    "SVT_MAX_WIDTH_PX",
    "SVT_MIN_SIDE_PX",
    "SVT_QUALITY_OF_AOM",
    "EncodePolicy",
    "Encoding",
    "aom_speed",
    "choose_encoding",
    "encode_smallest",
    "encode_to",
    "list_encodings",
    "prepare",
    "svt_quality",
    "svt_speed",
]

_JPEG_END: Final = b"\xff\xd9"

_HOPELESS: Final = 1.7
"""A way whose quick look takes more than this times the smallest bytes so far is not tried in
earnest: effort takes 0.60 to 0.85 of the quick look's bytes, for WebP and JPEG XL alike (ten
graphics, ``bench/graphics.py``)."""


def list_encodings(
    size: tuple[int, int],
    format_name: str,
    quality: int,
    policy: EncodePolicy,
    content: str = PHOTOGRAPH,
) -> tuple[Encoding, ...]:
    """List the ways to make a rendition, for `encode_smallest`.

    Args:
        size: Width and height, pixels.
        format_name: A registered format or ``master`` (lossless WebP).
        quality: 1 to 100 on the guide's scale.
        policy: The run's.
        content: ``photograph`` or ``graphic``.

    Raises:
        NotCompressedError: The format cannot carry such a size.
    """
    return ways_to_make(format_name, Request(size, quality, content, policy))


def choose_encoding(
    size: tuple[int, int], format_name: str, quality: int, policy: EncodePolicy
) -> Encoding:
    """Choose the encoder and its own numbers for a rendition of a photograph."""
    return list_encodings(size, format_name, quality, policy)[0]


def prepare(image: Image.Image, format_name: str, policy: EncodePolicy) -> Image.Image:
    """Return the image in a mode that the format's encoder takes: grey stays grey but in WebP."""
    if format_name == "jpeg":
        return flatten(image, policy.background)
    if image.mode == "L" and format_name in ("webp", "master"):
        return image.convert("RGB")
    if image.mode == "RGBA" and format_name == "avif":
        return fill_hidden(image)
    return image


def encode_smallest(
    path: str, image: Image.Image, encodings: Sequence[Encoding], metadata: Metadata
) -> Encoding:
    """Write one file, the smallest of what the encodings make of an image.

    A further encoding is one that loses nothing, and is kept where it is no larger than the first.
    Bytes depend on the image and the encodings alone.

    Args:
        path: Where.
        image: As `prepare` returned it.
        encodings: As `list_encodings` returned them.
        metadata: What to embed.

    Returns:
        The encoding that was kept.

    Raises:
        OSError: The encoder or the disk refuses.
    """
    kept = encodings[0]
    encode_to(path, image, kept, metadata)
    smallest = Path(path).stat().st_size
    for further in encodings[1:]:
        buffer = io.BytesIO()
        image.save(buffer, further.pillow_format, **_save_options(image, further, metadata))
        size = buffer.tell()
        if size <= smallest:
            kept, smallest = further, size
            with open(path, "wb") as file:
                file.write(buffer.getbuffer())
        elif size > _HOPELESS * smallest:
            break
    return kept


def encode_to(path: str, image: Image.Image, encoding: Encoding, metadata: Metadata) -> None:
    """Write one file; what is in it beside pixels is ``metadata``, and Display P3's profile.

    Args:
        path: Where; a real path rather than memory, because Pillow then frees the GIL.
        image: As `prepare` returned it.
        encoding: One of `list_encodings`.
        metadata: What to embed.

    Raises:
        OSError: The encoder or the disk refuses.
    """
    image.save(path, encoding.pillow_format, **_save_options(image, encoding, metadata))
    if encoding.pillow_format == "JPEG" and not _is_whole_jpeg(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _save_options(image: Image.Image, encoding: Encoding, metadata: Metadata) -> dict[str, Any]:
    # Empty rather than absent: in their absence writers look into the image for what it once had.
    exif = exif_box(metadata.exif) if encoding.pillow_format == "JXL" else metadata.exif
    options = {**encoding.options, "exif": exif, "xmp": metadata.xmp}
    if "icc_profile" in image.info:  # only `to_srgb` sets it
        options["icc_profile"] = image.info["icc_profile"]
    return options


def _is_whole_jpeg(path: str) -> bool:
    """Whether a JPEG has its end: Pillow's writer takes what a full disk cut short for done."""
    with open(path, "rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - len(_JPEG_END)))
        return file.read() == _JPEG_END
