"""SSIMULACRA2 of an encoded picture against its master (PyPI `ssimulacra2`)."""

import io

from PIL import Image
from ssimulacra2 import compute_ssimulacra2


def score(master: Image.Image, encoded: bytes) -> float:
    """SSIMULACRA2 of `encoded` against `master`: 100 is identical, 90 visually lossless.

    Costs about 2.7 CPU seconds per megapixel; not valid below 256 px a side.
    """
    reference = io.BytesIO()
    master.save(reference, "BMP")
    reference.seek(0)
    return float(compute_ssimulacra2(reference, io.BytesIO(encoded)))
