"""What a run costs that finds nothing to do: 1,000 unchanged images.

python -m bench.unchanged [PHOTOGRAPHS] [--images 1000] [--rounds 5]
"""

import argparse
import contextlib
import statistics
import tempfile
from pathlib import Path
from typing import Final

from bench.processes import compress, undisturbed
from bench.source_folders import (
    add_photographs_argument,
    fill_with_tiny_jpegs,
    photographs_or_samples,
)

TARGET_ENGINE_S: Final = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        source, output = work / "source", work / "output"
        fill_with_tiny_jpegs(photographs, source, arguments.images)
        first = compress(source, output)
        print(
            f"first run: {first.report['written']} renditions written, "
            f"engine {first.report['elapsed_s']:.2f} s, process {first.wall_s:.2f} s"
        )
        print("| run | written | skipped | engine s | process s | CPU s | others |")
        print("|---|---|---|---|---|---|---|")
        engine_s, wall_s = [], []
        for number in range(arguments.rounds):
            again = undisturbed(lambda: compress(source, output))
            assert again.report["written"] == 0, again.report
            engine_s.append(float(again.report["elapsed_s"]))
            wall_s.append(again.wall_s)
            print(
                f"| {number + 2} | {again.report['written']} | {again.report['skipped']} "
                f"| {engine_s[-1]:.3f} | {wall_s[-1]:.3f} | {again.cpu_s:.3f} "
                f"| {again.other_share:.1%} |",
                flush=True,
            )
        print(
            f"engine time for {arguments.images} unchanged images: "
            f"{statistics.median(engine_s):.3f} s (target {TARGET_ENGINE_S}); "
            f"process {statistics.median(wall_s):.3f} s"
        )


if __name__ == "__main__":
    main()
