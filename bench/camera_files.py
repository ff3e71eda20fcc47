"""Sources of the comparisons: photographs as a camera of 12 MP writes them."""

import io
import os
import struct
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from PIL import Image

from bench.photographs import list_photographs

MEGAPIXELS: Final = 12.0
NEARLY: Final = (11.0, 13.0)
"""A JPEG of so many megapixels is taken as it is."""
SMALLEST_MEGAPIXELS: Final = 2.0
"""Less is no scene for 12 MP: enlarged that far it is a blur."""


def _of_twelve_megapixels(path: Path) -> tuple[str, bytes] | None:
    with Image.open(path) as image:
        megapixels = image.width * image.height / 1e6
        if megapixels < SMALLEST_MEGAPIXELS:
            return None
        if image.format == "JPEG" and NEARLY[0] <= megapixels <= NEARLY[1]:
            return path.stem, path.read_bytes()
        scale = (MEGAPIXELS / megapixels) ** 0.5
        size = tuple(16 * round(side * scale / 16) for side in image.size)
        buffer = io.BytesIO()
        image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS).save(
            buffer,
            "JPEG",
            quality=92,
            exif=image.info.get("exif", b""),
            icc_profile=image.info.get("icc_profile"),
        )
        return path.stem, buffer.getvalue()


def scenes(photographs: Path) -> list[tuple[str, bytes]]:
    """Name and JPEG of 12 MP of every photograph from 2 MP on, in the folder's order.

    Nearly 12 MP are taken as they are; others are brought to 12 MP at quality 92, with their
    colour profile and EXIF.
    """
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(_of_twelve_megapixels, list_photographs(photographs))
        found = [scene for scene in made if scene is not None]
    if not found:
        raise SystemExit(
            f"Expected photographs of {SMALLEST_MEGAPIXELS:g} MP or more in '{photographs}', "
            "found none."
        )
    return found


def fill(target: Path, chosen: list[tuple[str, bytes]], count: int) -> list[Path]:
    """`count` files, scene after scene and again: no two have the same bytes.

    A repeated scene carries its number as a JPEG comment: its pixels, and what is made of them,
    are the same.
    """
    target.mkdir(parents=True)
    write = partial(_write, target, chosen)
    return [write(index) for index in range(count)]


def _write(target: Path, chosen: list[tuple[str, bytes]], index: int) -> Path:
    stem, data = chosen[index % len(chosen)]
    number = f"{index:05d}".encode()
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(number)) + number
    path = target / f"{index:04d}-{stem}.jpg"
    path.write_bytes(data[:2] + comment + data[2:])
    return path
