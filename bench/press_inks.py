"""Print the table of inks in `engine/pixels/profiles.py`, and how near it is to libvips.

python -m bench.press_inks CMYK_FILE...
"""

import itertools
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import Image

from image_assets.engine.pixels.colour import to_srgb
from image_assets_tests.colour_difference import mean_difference

_NODES = (0, 128, 255)


def main(paths: list[str]) -> None:
    """Print CIELAB of the inks as libvips reads CMYK without a profile, then the differences."""
    inks = np.array(list(itertools.product(_NODES, repeat=4)), dtype=np.uint8)
    image = _in_inks(inks.reshape(1, -1, 4))
    lab = image.icc_import(input_profile="cmyk", intent="relative", pcs="lab").numpy()
    print(", ".join(str(tuple(int(part) for part in row)) for row in lab[0].round()))
    for path in paths:
        with Image.open(path) as source:
            pixels = source.convert("CMYK") if source.mode != "CMYK" else source.copy()
        reference = _in_inks(np.asarray(pixels)).icc_transform(
            "srgb", input_profile="cmyk", intent="relative"
        )
        ours = to_srgb(pixels, None).image
        plain = mean_difference(pixels.convert("RGB"), Image.fromarray(reference.numpy()))
        near = mean_difference(ours, Image.fromarray(reference.numpy()))
        print(f"{path}: CIEDE2000 {near:.2f}; 255 minus ink {plain:.2f}")


def _in_inks(pixels: npt.NDArray[Any]) -> Any:
    return pyvips.Image.new_from_array(pixels).copy(interpretation="cmyk")


if __name__ == "__main__":
    main(sys.argv[1:])
