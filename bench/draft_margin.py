"""What decoding a JPEG at a reduced scale costs in score and saves in CPU, by margin.

The picture that the encoders get (JPEG decoded at the smallest scale of at least `margin` times the
variant, then LANCZOS) against the one from a full decode, before any encoding: SSIMULACRA2 100 is
the same picture.

python -m bench.draft_margin [PHOTOGRAPHS] [--px 1024] [--photos 4] [--side-step-px 16]
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Final

from PIL import Image

from bench.scoring import as_bmp, score
from bench.source_folders import (
    MEGAPIXELS,
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.opening import decode, open_source
from image_assets.engine.pixels.resize import resize, variant_size

MARGINS: Final = (1.0, 1.25, 1.5, 2.0)
FULL_DECODE: Final = 8.0


def decode_and_resize(data: bytes, px: int, margin: float) -> tuple[Image.Image, float, int]:
    """The variant by the engine's own steps, their CPU seconds, and the longest side decoded."""
    started_s = time.process_time()
    image, header = open_source(data)
    decoded = decode(image, header, px * margin)
    size = variant_size(header.width_px, header.height_px, px)
    variant = resize(decoded.image, size, box=(0, 0, *decoded.extent))
    return variant, time.process_time() - started_s, max(decoded.image.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--px", type=int, default=1024)
    parser.add_argument("--photos", type=int, default=4)
    parser.add_argument(
        "--side-step-px", type=int, default=16, help="1: sides that no decode scale divides"
    )
    arguments = parser.parse_args()
    prepare_pillow()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        source = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_"))
        )
        fill_with_camera_jpegs(
            photographs,
            source,
            arguments.photos * len(MEGAPIXELS),
            originals=arguments.photos,
            side_step_px=arguments.side_step_px,
        )
        print(f"{arguments.photos} photographs at each size, variant of {arguments.px} px")
        print("| source MP | margin | decoded to px | score against full decode | least | CPU ms |")
        print("|---|---|---|---|---|---|")
        mean_score: dict[float, list[float]] = defaultdict(list)
        mean_ms: dict[float, list[float]] = defaultdict(list)
        for megapixels in MEGAPIXELS:
            paths = sorted(source.glob(f"*_{megapixels:.0f}mp_*"))
            files = [path.read_bytes() for path in paths]
            masters = [decode_and_resize(data, arguments.px, FULL_DECODE) for data in files]
            seen: dict[tuple[int, ...], list[float]] = {
                tuple(longest for _, _, longest in masters): [100.0] * len(files)
            }
            for margin in (*MARGINS, FULL_DECODE):
                made = [decode_and_resize(data, arguments.px, margin) for data in files]
                sides = tuple(longest for _, _, longest in made)
                if sides not in seen:  # another margin may have led to the same scale
                    seen[sides] = [
                        score(master, as_bmp(variant))
                        for (master, _, _), (variant, _, _) in zip(masters, made, strict=True)
                    ]
                cpu_ms = 1e3 * statistics.fmean(cpu_s for _, cpu_s, _ in made)
                mean_score[margin] += seen[sides]
                mean_ms[margin].append(cpu_ms)
                print(
                    f"| {megapixels:.0f} | {margin:g} | {min(sides)} to {max(sides)} "
                    f"| {statistics.fmean(seen[sides]):.1f} | {min(seen[sides]):.1f} "
                    f"| {cpu_ms:.0f} |",
                    flush=True,
                )
        for margin, scores in mean_score.items():
            print(
                f"| all | {margin:g} |  | {statistics.fmean(scores):.1f} | {min(scores):.1f} "
                f"| {statistics.fmean(mean_ms[margin]):.0f} |"
            )


if __name__ == "__main__":
    main()
