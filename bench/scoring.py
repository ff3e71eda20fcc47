"""SSIMULACRA2 of an encoded picture against its master (PyPI `ssimulacra2`)."""

import io

from PIL import Image
from ssimulacra2 import compute_ssimulacra2


def score(master: Image.Image, encoded: bytes) -> float:
    """SSIMULACRA2 of `encoded` against `master`: 100 is identical, 90 visually lossless.

    Costs about 2.7 CPU seconds per megapixel; not valid below 256 px a side.
    """
    return float(compute_ssimulacra2(io.BytesIO(as_bmp(master)), io.BytesIO(encoded)))


def as_bmp(image: Image.Image) -> bytes:
    """The picture without loss, for a comparison of what encoders are given."""
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    return buffer.getvalue()
