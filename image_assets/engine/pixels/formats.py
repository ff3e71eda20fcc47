"""The output formats: the one place where a format is registered.

Adding a format is adding an entry to `OUTPUT_FORMATS`, with a function that names its encoder's
numbers (`image_assets.engine.pixels.choice`); settings, assets, recipes, naming, encoding and
`doctor` follow. A format whose codec Pillow lacks names the plugin that brings it, in
`image_assets.engine.pixels.codecs`.
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from image_assets.engine.pixels.choice import (
    Encoding,
    Request,
    Ways,
    avif_ways,
    jpeg_ways,
    jxl_ways,
    master_ways,
    webp_ways,
)
from image_assets.engine.reasons import NotCompressedError, Reason


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """All there is to know of a format.

    Attributes:
        name: The name in settings, tables and asset keys.
        extension: File extension with its dot.
        description: One line for people.
        max_side_px: Longest side the format or its encoder can carry.
        carries_alpha: Whether transparency survives; else the background colour is used.
        carries_animation: Whether ``animation = "keep"`` writes moving pictures in it.
        carries_display_p3: Whether ``keep_display_p3`` holds for it.
        default_quality: On the format's own 1 to 100 scale, where neither preset nor settings say.
        ways: Lists the ways to make a rendition.
        encoders: Codecs that can write it; one of them is enough.
        codecs: Codecs whose versions are part of its recipes: all that ``ways`` may choose.
        extra: What to install where none of ``encoders`` is there.
        quality_like: Format whose qualities presets state for this one too: their numbers mean the
            same.
        takes: Settings beside its quality that change its bytes; part of its recipes.
    """

    name: str
    extension: str
    description: str
    max_side_px: int
    carries_alpha: bool
    carries_animation: bool
    carries_display_p3: bool
    default_quality: int
    ways: Ways
    encoders: tuple[str, ...]
    codecs: tuple[str, ...]
    extra: str = "pillow"
    quality_like: str | None = None
    takes: tuple[str, ...] = ()


OUTPUT_FORMATS: Final[dict[str, OutputFormat]] = {
    entry.name: entry
    for entry in (
        OutputFormat(
            name="avif",
            extension=".avif",
            description="AVIF: smallest files, all current browsers",
            max_side_px=16_384,  # where libavif's default size limit ends
            carries_alpha=True,
            carries_animation=True,
            carries_display_p3=True,
            default_quality=75,
            ways=avif_ways,
            encoders=("svt", "aom"),
            codecs=("libavif", "svt", "aom"),
            extra="pillow-avif-plugin",
            takes=("avif_speed",),
        ),
        OutputFormat(
            name="webp",
            extension=".webp",
            description="WebP: small files, nearly all browsers",
            max_side_px=16_383,  # 14 bits, WebP's own
            carries_alpha=True,
            carries_animation=True,
            carries_display_p3=True,
            default_quality=80,
            ways=webp_ways,
            encoders=("libwebp",),
            codecs=("libwebp",),
            takes=("webp_method",),
        ),
        OutputFormat(
            name="jpeg",
            extension=".jpg",
            description="JPEG: read by everything",
            max_side_px=65_500,  # libjpeg's JPEG_MAX_DIMENSION
            carries_alpha=False,
            carries_animation=False,
            carries_display_p3=False,
            default_quality=85,
            ways=jpeg_ways,
            encoders=("libjpeg_turbo",),
            codecs=("libjpeg_turbo",),
            takes=("jpeg_coding",),
        ),
        OutputFormat(
            name="jxl",
            extension=".jxl",
            description="JPEG XL: small files at high quality, few browsers yet",
            max_side_px=65_500,  # far below the format's own 2**30: as JPEG
            carries_alpha=True,
            carries_animation=False,  # the plugin writes stills only
            carries_display_p3=False,  # the plugin embeds no profile
            default_quality=85,
            ways=jxl_ways,
            encoders=("libjxl",),
            codecs=("libjxl",),
            extra="image-assets[jxl]",
            # Mean SSIMULACRA2 of six photographs at 768 px, JPEG's and this one's: 70: 71.3, 70.4;
            # 75: 74.0, 73.9; 80: 76.9, 77.4; 85: 79.7, 81.5; 90: 83.4, 85.9.
            quality_like="jpeg",
        ),
    )
}

MASTER: Final = "master"
"""The lossless file of ``keep_masters``: made like a format, and none that a person selects."""


def ways_to_make(format_name: str, request: Request) -> tuple[Encoding, ...]:
    """List the ways to make a rendition of a registered format, or a master.

    Raises:
        ValueError: No such format: a mistake of ours.
        NotCompressedError: The format cannot carry such a size.
    """
    if format_name == MASTER:
        return master_ways(request)
    entry = OUTPUT_FORMATS.get(format_name)
    if entry is None:
        raise ValueError(f"no encoder is registered for format {format_name!r}")
    if max(request.size) > entry.max_side_px:
        raise NotCompressedError(
            Reason.UNSUPPORTED_PIXELS,
            f"Expected sides of at most {entry.max_side_px} px, received "
            f"{request.size[0]} x {request.size[1]} ({format_name}).",
        )
    return entry.ways(request)


def missing_codec(format_name: str, codecs: Container[str]) -> NotCompressedError | None:
    """Say why a format cannot be made with these codecs; None where it can.

    Args:
        format_name: A registered format; a master needs no more than WebP does.
        codecs: Names of the codecs that are there.
    """
    entry = OUTPUT_FORMATS["webp" if format_name == MASTER else format_name]
    if any(name in codecs for name in entry.encoders):
        return None
    return NotCompressedError(
        Reason.CODEC_MISSING,
        f"No encoder for {format_name} is installed: pip install '{entry.extra}'.",
    )
