"""Print how far each RGB profile of a set of images moves colours from sRGB's, and its gamut.

python -m bench.srgb_profiles FILE...
"""

import sys
import warnings

from PIL import Image, ImageCms

from image_assets.engine.pixels import colour
from image_assets.engine.pixels.codecs import prepare_pillow


def main(paths: list[str]) -> None:
    """Print one line a profile: the largest step of 255, whether it is wide, its name."""
    prepare_pillow()
    warnings.simplefilter("ignore")
    seen: set[bytes] = set()
    for path in paths:
        try:
            with Image.open(path) as image:
                profile = image.info.get("icc_profile")
        except OSError:
            continue
        if not profile or profile in seen:
            continue
        seen.add(profile)
        header = colour.profile_header(profile)
        if header is None or header[0] != "RGB":
            continue
        try:
            step, wide = colour.step_from_srgb(profile), colour.is_wide(profile, "RGB")
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            print(f"{header[1]}: {error}")
            continue
        print(f"{step:4.0f}  {'wide' if wide else 'sRGB':5} {len(profile):7}  {header[1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
