"""What TurboJPEG's 3/8 is worth beside Pillow's 1/2: CPU of decoding and resizing, and the score.

python -m bench.jpeg_decode [PHOTOGRAPHS] [--px 1024] [--rounds 5]
"""

import argparse
import contextlib
import statistics
import time
from pathlib import Path

from PIL import Image

from bench.scoring import as_bmp, score
from bench.source_folders import add_photographs_argument, photographs_or_samples
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.jpeg import decode_eighths, decode_jpeg, load_library
from image_assets.engine.pixels.opening import open_source
from image_assets.engine.pixels.resize import resize, variant_size


def by_pillow(data: bytes, px: int) -> Image.Image:
    """The variant, decoded at 1/1, 1/2, 1/4 or 1/8."""
    image, header = open_source(data)
    longest = max(image.size)
    scale = next((n for n in (8, 4, 2) if longest / n >= px), 1)
    drafted = image.draft(None, (max(1, image.width // scale), max(1, image.height // scale)))
    size = variant_size(header.width_px, header.height_px, px)
    return resize(image.convert("RGB"), size, box=drafted and drafted[1])


def by_turbojpeg(data: bytes, px: int) -> Image.Image:
    """The variant, decoded at 3/8 where that is enough."""
    _, header = open_source(data)
    eighths = decode_eighths(header.width_px, header.height_px, px)
    decoded = decode_jpeg(data, "RGB", eighths)
    assert decoded is not None, "an ordinary JPEG"
    covered = (header.width_px * eighths / 8, header.height_px * eighths / 8)
    return resize(
        decoded.image,
        variant_size(header.width_px, header.height_px, px),
        box=(0, 0, *covered),
    )


def whole(data: bytes, px: int) -> Image.Image:
    """The variant from a full decode."""
    image, header = open_source(data)
    return resize(image.convert("RGB"), variant_size(header.width_px, header.height_px, px))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--px", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    prepare_pillow()
    load_library()
    with contextlib.ExitStack() as stack:
        folder: Path = stack.enter_context(photographs_or_samples(arguments.photographs))
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg"))
        print("| photograph | px | pillow ms | turbojpeg ms | pillow score | turbojpeg score |")
        print("|---|---|---|---|---|---|")
        totals: list[tuple[float, ...]] = []
        for path in paths:
            data = path.read_bytes()
            size = Image.open(path).size
            if max(size) <= arguments.px:
                continue
            seconds: dict[str, list[float]] = {"pillow": [], "turbo": []}
            for _ in range(arguments.rounds):
                for name, way in (("pillow", by_pillow), ("turbo", by_turbojpeg)):
                    started_s = time.process_time()
                    way(data, arguments.px)
                    seconds[name].append(time.process_time() - started_s)
            master = whole(data, arguments.px)
            row = (
                1e3 * statistics.median(seconds["pillow"]),
                1e3 * statistics.median(seconds["turbo"]),
                score(master, as_bmp(by_pillow(data, arguments.px))),
                score(master, as_bmp(by_turbojpeg(data, arguments.px))),
            )
            totals.append(row)
            print(f"| {path.name} | {max(size)} | " + " | ".join(f"{x:.1f}" for x in row) + " |")
        means = [statistics.fmean(column) for column in zip(*totals, strict=True)]
        print("| mean | | " + " | ".join(f"{x:.1f}" for x in means) + " |")
        print(f"CPU ratio {means[1] / means[0]:.2f}")


if __name__ == "__main__":
    main()
