"""What Dagster itself costs: a whole run in Dagster less the command line on the same images.

python -m bench.dagster_overhead [PHOTOGRAPHS] [--rounds 3]
"""

import argparse
import contextlib
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from bench.processes import Finished, compress, run, undisturbed
from bench.source_folders import (
    add_photographs_argument,
    fill_with_tiny_jpegs,
    photographs_or_samples,
)

RUN_ONCE: Final = ("-m", "image_assets.defs.run_once")
FEW: Final = 10
MANY: Final = 1000
TARGET_RUN_S: Final = 4.0
TARGET_IMAGE_MS: Final = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        home = work / "dagster_home"
        home.mkdir()
        sources = {count: work / f"source{count}" for count in (FEW, MANY)}
        for count, source in sources.items():
            fill_with_tiny_jpegs(photographs, source, count)

        def in_dagster(count: int) -> Finished:
            output = work / "output"
            finished = run(
                [*RUN_ONCE, "--source", str(sources[count]), "--output", str(output)],
                environment={"DAGSTER_HOME": str(home)},
            )
            made = sum(1 for path in (output / "renditions").rglob("*") if path.is_file())
            assert made == 6 * count, made
            shutil.rmtree(output)
            return finished

        def on_command_line(count: int) -> Finished:
            finished = compress(sources[count], work / "output")
            assert finished.report["written"] == 6 * count
            shutil.rmtree(work / "output")
            return finished

        first = in_dagster(FEW)
        print(f"first run, which makes the storage and bytecode: {first.wall_s:.2f} s")
        print("| images | round | Dagster s | command line s | difference s | in CPU s | others |")
        print("|---|---|---|---|---|---|---|")
        walls: dict[int, list[float]] = {FEW: [], MANY: []}
        cpus: dict[int, list[float]] = {FEW: [], MANY: []}
        for number in range(arguments.rounds):
            for count in (FEW, MANY):
                inside = undisturbed(partial(in_dagster, count))
                outside = undisturbed(partial(on_command_line, count))
                walls[count].append(inside.wall_s - outside.wall_s)
                cpus[count].append(inside.cpu_s - outside.cpu_s)
                print(
                    f"| {count} | {number + 1} | {inside.wall_s:.2f} | {outside.wall_s:.2f} "
                    f"| {walls[count][-1]:.2f} | {cpus[count][-1]:.2f} "
                    f"| {max(inside.other_share, outside.other_share):.1%} |",
                    flush=True,
                )
        per_run_s = statistics.median(walls[FEW])
        images = MANY - FEW
        per_image_ms = 1e3 * (statistics.median(walls[MANY]) - per_run_s) / images
        cpu_ms = 1e3 * (statistics.median(cpus[MANY]) - statistics.median(cpus[FEW])) / images
        print(f"per run: {per_run_s:.2f} s (target {TARGET_RUN_S:.0f})")
        print(
            f"per image: {per_image_ms:.2f} ms wall, {cpu_ms:.2f} ms CPU "
            f"(target {TARGET_IMAGE_MS:.0f})"
        )


if __name__ == "__main__":
    main()
