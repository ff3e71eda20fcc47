"""Whether memory grows with the number of images: 600 of them, the tree's PSS in windows of 100.

Every window compresses the same photographs, so that windows differ by age only.

    python -m bench.memory_growth [PHOTOGRAPHS] [--images 600] [--preset throughput]
"""

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Final

from bench.processes import compress
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)

TARGET_GROWTH_BYTES: Final = 20_000_000
WINDOW: Final = 100


def count_begun(renditions: Path) -> int:
    """Sources that have a folder of renditions: begun or done."""
    return sum(sum(1 for _ in day.iterdir()) for day in renditions.glob("*"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--preset", default="throughput")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        source, output = work / "source", work / "output"
        fill_with_camera_jpegs(photographs, source, WINDOW)
        originals = sorted(source.iterdir())
        for index in range(WINDOW, arguments.images):
            # Sorted behind those of the window before.
            (source / f"{index:04d}.jpg").hardlink_to(originals[index % WINDOW])
        for index, path in enumerate(originals):
            path.rename(source / f"{index:04d}.jpg")
        finished = compress(
            source,
            output,
            *("--preset", arguments.preset),
            progress=lambda: count_begun(output / "renditions"),
            sample_memory=True,
        )
    print(f"{arguments.images} images, preset {arguments.preset}, {finished.wall_s:.0f} s")
    print("| images | mean MB | median MB | peak MB |")
    print("|---|---|---|---|")
    means = []
    for start in range(0, arguments.images, WINDOW):
        window = [
            sample.tree_bytes / 1e6
            for sample in finished.samples
            if start < sample.progress <= start + WINDOW
        ]
        # The last samples are of workers that are being ended.
        window = window[:-4] if start + WINDOW >= arguments.images else window
        means.append(statistics.fmean(window))
        print(
            f"| {start + 1} to {start + WINDOW} | {means[-1]:.1f} "
            f"| {statistics.median(window):.1f} | {max(window):.1f} |"
        )
    print(
        f"growth after the first {WINDOW} images: {means[-1] - means[1]:+.1f} MB "
        f"(last window less the second; target {TARGET_GROWTH_BYTES / 1e6:.0f}); "
        f"less the first: {means[-1] - means[0]:+.1f} MB"
    )


if __name__ == "__main__":
    main()
