"""Whether memory grows with the number of images: 2,000 of them, the tree's PSS in windows of 100.

Every window compresses the same photographs, so that windows differ by age only. A window's figure
is the mean over its samples; growth is the last window less the second, the first being start-up.

    python -m bench.memory_growth [PHOTOGRAPHS] [--images 2000] [--preset throughput]
        [--megapixels 3] [--set full_px=512]

Run it from an environment of its own: where another process has the same libraries mapped, their
pages count in part only, and the figures move when it starts or ends.
"""

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Final

from bench.processes import MemorySample, compress
from bench.source_folders import (
    MEGAPIXELS,
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)

TARGET_GROWTH_BYTES: Final = 10_000_000
WINDOW: Final = 100
END: Final = 20
"""Of the last images there are fewer than workers, then chunks of one."""


def count_begun(renditions: Path) -> int:
    """Sources that have a folder of renditions: begun or done."""
    return sum(sum(1 for _ in day.iterdir()) for day in renditions.glob("*"))


def of_workers(sample: MemorySample) -> int:
    """What the processes below the first hold."""
    return sum(list(sample.by_process.values())[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--preset", default="throughput")
    parser.add_argument("--megapixels", type=float, help="of every source; default 3 to 12")
    parser.add_argument("--set", action="append", default=[], dest="pairs", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        source, output = work / "source", work / "output"
        sizes_mp = (arguments.megapixels,) if arguments.megapixels else MEGAPIXELS
        fill_with_camera_jpegs(photographs, source, WINDOW, sizes_mp=sizes_mp)
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
            *(word for pair in arguments.pairs for word in ("--set", pair)),
            progress=lambda: count_begun(output / "renditions"),
            sample_memory=True,
        )
    print(
        f"{arguments.images} images, preset {arguments.preset} {' '.join(arguments.pairs)}, "
        f"{finished.wall_s:.0f} s"
    )
    print("| images | mean MB | median MB | peak MB | parent, mean MB | workers, mean MB |")
    print("|---|---|---|---|---|---|")
    means = []
    # While all workers live: not when the first start, nor when tables are written at the end.
    processes = max(len(sample.by_process) for sample in finished.samples)
    for start in range(0, arguments.images, WINDOW):
        window = [
            sample
            for sample in finished.samples
            if start < sample.progress <= min(start + WINDOW, arguments.images - END)
            and len(sample.by_process) == processes
        ]
        trees = [sample.tree_bytes / 1e6 for sample in window]
        workers = statistics.fmean(of_workers(sample) / 1e6 for sample in window)
        means.append(statistics.fmean(trees))
        print(
            f"| {start + 1} to {start + WINDOW} | {means[-1]:.1f} | {statistics.median(trees):.1f} "
            f"| {max(trees):.1f} | {means[-1] - workers:.1f} | {workers:.1f} |"
        )
    print(
        f"growth after the first {WINDOW} images: {means[-1] - means[1]:+.1f} MB "
        f"(last window less the second; target {TARGET_GROWTH_BYTES / 1e6:.0f}); "
        f"less the first: {means[-1] - means[0]:+.1f} MB"
    )


if __name__ == "__main__":
    main()
