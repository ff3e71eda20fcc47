"""Which codecs this process has, and their versions: part of every recipe."""

import os

# SVT-AV1 prints its configuration for every image unless told not to; read when it is loaded.
os.environ.setdefault("SVT_LOG", "1")

from functools import cache

import PIL
from PIL import Image, features

try:
    import pillow_avif
except ImportError:  # pragma: no cover - a declared dependency; Pillow's own AVIF takes over
    pillow_avif = None


@cache
def codec_versions() -> dict[str, str]:
    """Versions by codec name; a codec that is missing is not a key.

    Names: ``svt``, ``aom``, ``rav1e`` (AVIF encoders), ``libavif``, ``libwebp``,
    ``libjpeg_turbo``, ``littlecms``, ``pillow``.
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
    return found


def optional_decoders() -> tuple[str, ...]:
    """Names of the input formats that are read because an optional plugin is installed."""
    return ()


# The codecs that the policy may choose for a format; their versions are in its recipes.
CODECS_OF_FORMAT = {
    "avif": ("libavif", "svt", "aom"),
    "webp": ("libwebp",),
    "jpeg": ("libjpeg_turbo",),
    "master": ("libwebp",),
}


def prepare_pillow() -> None:
    """Load the codecs and lift Pillow's own pixel limit, which the engine's limit replaces."""
    codec_versions()
    Image.preinit()
    Image.MAX_IMAGE_PIXELS = None
