"""Which codecs this process has, and their versions: part of every recipe.

Optional ones come with plugins. A plugin counts as there when it can be imported, not when it is
merely installed; that is tried once a process, when it first matters.
"""

import os

# SVT-AV1 prints its configuration for every image unless told not to; read when it is loaded.
os.environ.setdefault("SVT_LOG", "1")

from dataclasses import dataclass
from functools import cache
from typing import Final

import PIL
from PIL import Image, features

from image_assets.engine.pixels.formats import MASTER, OUTPUT_FORMATS
from image_assets.engine.pixels.tiff_layouts import register_layouts
from image_assets.engine.pixels.wide_pixels import register_wide

try:
    import pillow_avif
except ImportError:  # pragma: no cover - a declared dependency; Pillow's own AVIF takes over
    pillow_avif = None


@dataclass(frozen=True, slots=True)
class Plugin:
    """What brings an optional input format.

    Attributes:
        title: The format's name for people.
        package: The package's name where packages come from.
        extra: What to install.
    """

    title: str
    package: str
    extra: str


PLUGINS: Final = {
    # Import takes 20 to 30 ms and 5 MB of memory.
    "HEIF": Plugin("HEIC", "pillow-heif", "image-assets[heic]"),
    # 12 ms and 1.3 MB.
    "JXL": Plugin("JPEG XL", "pillow-jxl-plugin", "image-assets[jxl]"),
}
"""By Pillow's name of the input format."""


@cache
def load_decoder(name: str) -> bool:
    """Load the plugin of an optional input format; tell whether it is there.

    Args:
        name: A key of `PLUGINS`.
    """
    try:
        if name == "HEIF":
            import pillow_heif

            # One thread, for a worker is one of several processes; the image itself and neither
            # its thumbnail nor its depth map.
            pillow_heif.register_heif_opener(
                decode_threads=1, thumbnails=False, depth_images=False, aux_images=False
            )
        else:
            from image_assets.engine.pixels import jxl

            jxl.register()
    except (ImportError, OSError):  # OSError: a library below it is missing or broken
        return False
    return True


def optional_decoders() -> tuple[str, ...]:
    """Names of the input formats that are read because an optional plugin is installed."""
    return tuple(name for name in PLUGINS if load_decoder(name))


@cache
def codec_versions() -> dict[str, str]:
    """Versions by codec name; a codec that is missing is not a key.

    Names: ``svt``, ``aom``, ``rav1e`` (AVIF encoders), ``libavif``, ``libwebp``,
    ``libjpeg_turbo``, ``libjxl`` (its plugin's version, which tells libjxl's), ``littlecms``,
    ``pillow``.
    """
    found = {"pillow": PIL.__version__}
    if pillow_avif is not None:
        from pillow_avif import _avif

        found["libavif"] = str(_avif.libavif_version)
        for entry in str(_avif.codec_versions()).split(", "):
            name, _, version = entry.partition(":")
            label = name.split(" ")[0]
            if "[enc]" in name or label == "aom":
                found[label] = version
    elif features.check("avif"):
        found["libavif"] = str(features.version("avif"))
        found["aom"] = found["libavif"]
    for codec, feature in (("libwebp", "webp"), ("littlecms", "littlecms2")):
        if features.check(feature):
            found[codec] = str(features.version(feature))
    if features.check("jpg"):
        turbo = features.version("libjpeg_turbo")
        found["libjpeg_turbo"] = str(turbo or features.version("jpg"))
    if load_decoder("JXL"):
        found["libjxl"] = plugin_version("JXL")
    return found


def plugin_version(name: str) -> str:
    """Return the version of an installed plugin's package.

    Args:
        name: A key of `PLUGINS`.
    """
    from importlib import metadata  # 30 ms, for those who have a plugin

    try:
        return metadata.version(PLUGINS[name].package)
    except metadata.PackageNotFoundError:  # importable, but not installed as a package
        return "unknown"


CODECS_OF_FORMAT: Final = {
    **{name: entry.codecs for name, entry in OUTPUT_FORMATS.items()},
    MASTER: ("libwebp",),
}
"""The codecs that the policy may choose for a format; their versions are in its recipes."""


def prepare_pillow() -> None:
    """Load the codecs and lift Pillow's own pixel limit, which the engine's limit replaces."""
    codec_versions()
    Image.preinit()
    register_layouts()
    register_wide()
    Image.MAX_IMAGE_PIXELS = None
