"""Small photographs for tests: plain functions, deterministic, quick to make."""

import io
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image, ImageDraw

COPYRIGHT: Final = "Copyright holder of the test"
ARTIST: Final = "Creator of the test"
GPS_MARK: Final = "GPSMARK"
"""Text inside the GPS block of `camera_exif`, to look for in written bytes."""


def picture(size: tuple[int, int] = (240, 160), *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return a picture that compresses like a photograph: slopes, an edge, some grain.

    It has no symmetry: the left top quarter is red, so that every orientation differs.
    """
    width, height = size
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x / max(1, width), y / max(1, height)
    phase = 0.7 * seed
    red = 110 + 90 * np.sin(5 * x + 2 * y + phase)
    green = 110 + 90 * np.sin(3 * y - 2 * x + 1 + phase)
    blue = 110 + 90 * np.cos(4 * x * y + phase)
    pixels = np.stack([red, green, blue], axis=-1)
    pixels[y > 0.8 - 0.2 * x] *= 0.5
    pixels[(x < 0.5) & (y < 0.5)] = (210, 30, 40)
    pixels += random.normal(0, 6, pixels.shape)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")
    if mode in ("RGBA", "LA"):
        image = image.convert("L").convert("RGBA") if mode == "LA" else image.convert("RGBA")
        # Clear at the right edge, opaque from the middle on.
        image.putalpha(Image.fromarray((255 * (2 - 2 * x).clip(0, 1)).astype(np.uint8), "L"))
        return image.convert(mode)
    if mode == "I;16":
        grey = np.asarray(image.convert("L"), dtype=np.uint16)
        return Image.fromarray(grey * np.uint16(257))
    return image.convert(mode)


def drawing(size: tuple[int, int] = (400, 300), *, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Return what is no photograph: flat colours, hard edges, lines and text without smoothing."""
    width, height = size
    image = Image.new("RGB", size, "#ffffff")
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1"
    pen.rectangle((0, 0, width // 4, height), fill="#e8eef7")
    colours = ("#d02020", "#1060d0", "#108040", "#202020", "#c06000")
    for line in range(height // 14):
        colour = colours[(line + seed) % len(colours)]
        pen.text((6 + width // 4 * (line % 2), 14 * line), f"line {line + seed}: graphic", colour)
        pen.line((width // 2, 14 * line, width, height - 14 * line), fill=colour)
    pen.rectangle((width // 2, height // 2, width - 8, height - 8), fill="#1060d0")
    return image.convert(mode)


def camera_exif(orientation: int = 1) -> Image.Exif:
    """Return EXIF as a camera writes it: orientation, owner, make, and where it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Camera maker of the test"
    exif[ExifTags.Base.Copyright] = COPYRIGHT
    exif[ExifTags.Base.Artist] = ARTIST
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N"
    gps[ExifTags.GPS.GPSLatitude] = (47.0, 30.0, 15.0)
    gps[ExifTags.GPS.GPSMapDatum] = GPS_MARK
    return exif


def encode_photograph(
    size: tuple[int, int] = (240, 160),
    *,
    orientation: int = 1,
    icc: bytes | None = None,
    mode: str = "RGB",
    format: str = "JPEG",
    seed: int = 0,
    exif: Image.Exif | None = None,
    **save_options: Any,
) -> bytes:
    """Return the bytes of a photograph.

    Args:
        size: Width and height of the stored pixels, px.
        orientation: EXIF orientation to write; the pixels are stored as they are.
        icc: Profile to embed.
        mode: Pillow mode; JPEG takes RGB, L and CMYK.
        format: Pillow's name of the format.
        seed: Another seed, another picture.
        exif: EXIF to write; orientation is set in it where it is not 1.
        save_options: Passed on to ``Image.save``.
    """
    exif = Image.Exif() if exif is None else exif
    if orientation != 1:
        exif[ExifTags.Base.Orientation] = orientation
    if len(exif):
        save_options.setdefault("exif", exif)
    if icc is not None:
        save_options.setdefault("icc_profile", icc)
    buffer = io.BytesIO()
    picture(size, mode=mode, seed=seed).save(buffer, format, **save_options)
    return buffer.getvalue()


def save_photograph(
    path: Path,
    size: tuple[int, int] = (240, 160),
    *,
    orientation: int = 1,
    icc: bytes | None = None,
    mode: str = "RGB",
    format: str = "JPEG",
    seed: int = 0,
    exif: Image.Exif | None = None,
    **save_options: Any,
) -> Path:
    """Write a photograph, folders included, and return its path; see `encode_photograph`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        encode_photograph(
            size,
            orientation=orientation,
            icc=icc,
            mode=mode,
            format=format,
            seed=seed,
            exif=exif,
            **save_options,
        )
    )
    return path
