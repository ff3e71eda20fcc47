"""Encode one image as one format: which encoder serves, at which native quality and speed."""

import bisect
import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from image_assets.engine.colour import flatten

SVT_QUALITY_OF_AOM: Final = (
    (1, 3), (10, 10), (20, 17), (30, 24), (40, 33), (50, 43), (60, 54), (70, 65), (75, 72),
    (80, 78), (85, 82), (90, 88), (92, 92), (95, 97), (100, 98),
)  # fmt: skip
"""SVT quality of the same mean SSIMULACRA2 as aom's; linear between.

Measured by ``bench/calibrate_avif_quality.py``: six photographs at 1024 px, 4:2:0, aom speed 6
against SVT speed 8 tune 3. At SVT speeds 7 and 9 scores differ from aom's by less than 1 from
aom quality 60 up. 98 is SVT's best: at 100 its pictures are broken without an error.
"""

AOM_FROM_QUALITY: Final = 93
"""From this quality on aom serves AVIF, as 4:4:4: SVT's 4:2:0 costs 1.38 times the bytes at 95."""

SVT_MIN_SIDE_PX: Final = 4
SVT_MAX_WIDTH_PX: Final = 16_384
SVT_MAX_HEIGHT_PX: Final = 8_704
"""SVT 4.1 refuses sides of 1 to 3 px and heights from 8,705 on; all other sizes tried were right
(``bench/avif_limits.py``)."""

_SVT_TUNE_IQ: Final = "3"
_JPEG_END: Final = b"\xff\xd9"


def svt_speed(avif_speed: int) -> int:
    """Return the SVT preset that serves a place on the speed scale, 0 (slow) to 10 (fast).

    aom at the guide's speed 4 takes 18.8 CPU s for a 2048 px image, fifty times below the guide's
    own target; SVT 7 takes 0.55 (DESIGN sections 6 and 7). So 4 is SVT 7, 6 is 8, 8 and above 9:
    measured at equal SSIMULACRA2, SVT 5 to 9 take 414, 242, 128, 77 and 71 CPU ms a megapixel
    for 1.033, 1.061, 1.091, 1.125 and 1.143 of aom 6's bytes; SVT 10 gives the bytes of 9.
    """
    return min(9, 5 + avif_speed // 2)


def aom_speed(avif_speed: int) -> int:
    """Return the aom speed where aom serves in SVT's place, 2 to 9."""
    return min(9, avif_speed + 2)


def svt_quality(quality: int) -> int:
    """Return SVT's quality for one on the guide's (aom's) scale, 1 to 100."""
    table = SVT_QUALITY_OF_AOM
    index = bisect.bisect_left(table, (quality, 0))
    if table[index][0] == quality:
        return table[index][1]
    (low, low_svt), (high, high_svt) = table[index - 1], table[index]
    return round(low_svt + (high_svt - low_svt) * (quality - low) / (high - low))


@dataclass(frozen=True, slots=True)
class EncodePolicy:
    """What encoding needs of a preset and a plan; the same for every image of a run.

    Attributes:
        avif_speed: 0 to 10.
        avif_threads: Threads of encoders whose bytes do not depend on them (SVT).
        webp_method: 0 to 6.
        background: Colour under transparency where a format carries none, ``#rrggbb``.
        codecs: Versions by codec; what is not a key is missing.
        graphics: Encode what is no photograph as such.
    """

    avif_speed: int
    avif_threads: int
    webp_method: int
    background: str
    codecs: Mapping[str, str]
    graphics: bool = True


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a rendition is made.

    Attributes:
        encoder: ``svt``, ``aom``, ``libwebp`` or ``libjpeg_turbo``.
        native_quality: On the encoder's own scale.
        speed: The encoder's own speed or method; 0 where it has none.
        options: Arguments of Pillow's save.
    """

    encoder: str
    native_quality: int
    speed: int
    pillow_format: str
    options: Mapping[str, Any]


def choose_encoding(
    size: tuple[int, int], format_name: str, quality: int, policy: EncodePolicy
) -> Encoding:
    """Choose the encoder and its own numbers for a rendition.

    Args:
        size: Width and height, pixels.
        format_name: avif, webp, jpeg or master (lossless WebP).
        quality: 1 to 100 on the guide's scale.
        policy: The run's.
    """
    match format_name:
        case "avif":
            return _choose_avif(size, quality, policy)
        case "webp":
            options = {"quality": quality, "method": policy.webp_method}
            return Encoding("libwebp", quality, policy.webp_method, "WEBP", options)
        case "jpeg":
            # Progressive with optimised tables: 0.95 of baseline's bytes for 14 ms a megapixel.
            options = {"quality": quality, "progressive": True, "optimize": True}
            return Encoding("libjpeg_turbo", quality, 0, "JPEG", options)
        case "master":
            # Effort 20 of 100: libwebp's lossless default of 80 takes several times as long.
            options = {"lossless": True, "quality": 20, "method": 2, "exact": True}
            return Encoding("libwebp", 100, 2, "WEBP", options)
    raise ValueError(f"no encoder is registered for format {format_name!r}")


def _choose_avif(size: tuple[int, int], quality: int, policy: EncodePolicy) -> Encoding:
    width, height = size
    fits = (
        min(size) >= SVT_MIN_SIDE_PX and width <= SVT_MAX_WIDTH_PX and height <= SVT_MAX_HEIGHT_PX
    )
    if "svt" in policy.codecs and fits and quality < AOM_FROM_QUALITY:
        native, speed = svt_quality(quality), svt_speed(policy.avif_speed)
        options: dict[str, Any] = {
            "codec": "svt",
            "quality": native,
            "speed": speed,
            "subsampling": "4:2:0",  # the only one that SVT has; greyscale's default is another
            "max_threads": policy.avif_threads,
            "advanced": {"tune": _SVT_TUNE_IQ},
        }
        return Encoding("svt", native, speed, "AVIF", options)
    speed = aom_speed(policy.avif_speed)
    options = {
        "codec": "aom",
        "quality": quality,
        "speed": speed,
        "subsampling": "4:4:4" if quality >= AOM_FROM_QUALITY else "4:2:0",
        "max_threads": 1,  # aom's bytes depend on its threads
        "autotiling": False,
    }
    return Encoding("aom", quality, speed, "AVIF", options)


def prepare(image: Image.Image, format_name: str, policy: EncodePolicy) -> Image.Image:
    """Return the image in a mode that the format's encoder takes."""
    if format_name == "jpeg":
        return flatten(image, policy.background)
    return image.convert("RGB") if image.mode == "L" and format_name != "avif" else image


def encode_to(path: str, image: Image.Image, encoding: Encoding, exif: bytes) -> None:
    """Write one file; the only metadata in it is ``exif``.

    Args:
        path: Where; a real path rather than memory, because Pillow then frees the GIL.
        image: As `prepare` returned it.
        encoding: As `choose_encoding` returned it.
        exif: EXIF block to keep (copyright, creator), or empty.

    Raises:
        OSError: The encoder or the disk refuses.
    """
    options = dict(encoding.options)
    if exif:
        options["exif"] = exif
    image.save(path, encoding.pillow_format, **options)
    if encoding.pillow_format == "JPEG" and not _is_whole_jpeg(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _is_whole_jpeg(path: str) -> bool:
    """Whether a JPEG has its end: Pillow's writer takes what a full disk cut short for done."""
    with open(path, "rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - len(_JPEG_END)))
        return file.read() == _JPEG_END
