"""What the colour stage costs: 12 MP RGB without a profile, with sRGB's, with others; CMYK, 16 bit.

The first call in a worker builds the transform and looks at what the profile does to 472 colours;
the others find both in a cache.

    python -m bench.colour
"""

import statistics
import time

from PIL import Image, ImageCms

from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.colour import to_srgb
from image_assets.engine.pixels.profiles import display_p3_profile

_SIZE = (4000, 3000)
_ROUNDS = 7


def main() -> None:
    """Print milliseconds of the first call and the median of those after it."""
    prepare_pillow()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = Image.effect_noise(_SIZE, 60)
    rgb = Image.merge("RGB", (noise, noise.rotate(180), noise))
    cases = {
        "RGB, no profile": (rgb, None),
        "RGB, sRGB profile": (rgb, srgb),
        "RGB, Display P3 profile": (rgb, display_p3_profile()),
        "RGBA, opaque, no profile": (rgb.convert("RGBA"), None),
        "CMYK, no profile": (rgb.convert("CMYK"), None),
        "16-bit grey": (noise.convert("I").convert("I;16"), None),
        "float grey": (noise.convert("F"), None),
    }
    print(f"{'12 MP':26} {'first ms':>9} {'then ms':>9}")
    for name, (image, profile) in cases.items():
        times = []
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            to_srgb(image, profile)
            times.append((time.perf_counter() - started) * 1e3)
        print(f"{name:26} {times[0]:9.1f} {statistics.median(times[1:]):9.1f}")


if __name__ == "__main__":
    main()
