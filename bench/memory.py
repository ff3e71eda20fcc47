"""The memory of a run, whole process tree: before the first image, at its peak, against a budget.

Twelve-megapixel photographs on two workers, from the command line and as a Dagster run; and a mix
of 1 to 100 MP under several values of ``memory_budget_bytes``.

    python -m bench.memory [PHOTOGRAPHS] [--images 40] [--preset throughput]
    python -m bench.memory --budgets        # the mix
"""

import argparse
import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import Final

from bench.cost import CLASSES
from bench.dagster_overhead import RUN_ONCE
from bench.processes import Finished, compress, run
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)
from image_assets.engine.run.result import PartitionResult, load_result, read_rows

WORKERS: Final = 2
SAMPLE_INTERVAL_S: Final = 0.01
# Base and peak, command line and Dagster.
TARGETS_BYTES: Final = {"command line": (200e6, 400e6), "Dagster": (350e6, 550e6)}
BUDGETS_BYTES: Final = (400_000_000, 600_000_000, 1_000_000_000)
MIX: Final = (
    ("jpeg", 1),
    ("png", 1),
    ("jpeg", 12),
    ("jpeg progressive", 12),
    ("tiff", 12),
    ("png", 24),
    ("jpeg progressive", 24),
    ("tiff lzw", 24),
    ("jpeg", 50),
    ("jpeg progressive", 50),
    ("png", 50),
    ("jpeg", 99),
    ("jpeg progressive", 99),
    ("tiff", 99),
    ("jpeg", 3),
    ("png", 6),
)


def fill_with_mix(source: Path) -> None:
    """Baseline and progressive JPEG, PNG and TIFF of 1 to 99 MP."""
    source.mkdir()
    for index, (name, megapixels) in enumerate(MIX):
        width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
        path = source / f"{index:02d} {name} {megapixels} MP"
        path.write_bytes(CLASSES[name](width, width * 3 // 4))


def in_dagster(source: Path, output: Path, home: Path, preset: str) -> Finished:
    """A run of the nightly job, and what it wrote down."""
    finished = run(
        [
            *(*RUN_ONCE, "--source", str(source), "--output", str(output)),
            *("--preset", preset, "--set", f"max_workers={WORKERS}"),
        ],
        environment={"DAGSTER_HOME": str(home)},
        sample_memory=True,
        sample_interval_s=SAMPLE_INTERVAL_S,
    )
    return finished


def result_of(output: Path) -> PartitionResult:
    """What the only run of an output wrote down."""
    [performance] = (output / "tables" / "performance").glob("*/*.parquet")
    return load_result(output, performance.parent.name, performance.stem)


def on_command_line(source: Path, output: Path, preset: str, *settings: str) -> Finished:
    """A run of `image-assets compress`."""
    pairs = (f"max_workers={WORKERS}", *settings)
    return compress(
        source,
        output,
        *("--preset", preset),
        *(word for pair in pairs for word in ("--set", pair)),
        sample_memory=True,
        sample_interval_s=SAMPLE_INTERVAL_S,
    )


def print_peaks(photographs: Path, work: Path, preset: str, images: int) -> None:
    """Base and peak of both ways to run."""
    source, output, home = work / "source", work / "output", work / "home"
    home.mkdir()
    fill_with_camera_jpegs(photographs, source, images, sizes_mp=(12,))
    print(f"{images} photographs of 12 MP, {WORKERS} workers, preset {preset}; MB of all processes")
    print("| run | base | its target | peak | its target | parent at peak | each worker at peak |")
    print("|---|---|---|---|---|---|---|")
    for name in TARGETS_BYTES:
        if name == "Dagster":
            # The first makes Dagster's storage, which the second finds.
            for _ in range(2):
                shutil.rmtree(output, ignore_errors=True)
                finished = in_dagster(source, output, home, preset)
        else:
            finished = on_command_line(source, output, preset)
        base_bytes = result_of(output).base_memory_bytes
        shutil.rmtree(output)
        highest = max(finished.samples, key=lambda sample: sample.tree_bytes)
        parent, *workers = highest.by_process.values()
        base, peak = TARGETS_BYTES[name]
        print(
            f"| {name} | {base_bytes / 1e6:.0f} | {base / 1e6:.0f} "
            f"| {finished.peak_bytes / 1e6:.0f} | {peak / 1e6:.0f} | {parent / 1e6:.0f} "
            f"| {', '.join(f'{each / 1e6:.0f}' for each in workers)} |",
            flush=True,
        )


def print_budgets(work: Path, preset: str, budgets: list[int]) -> None:
    """Peak against budget and one image, over the mix."""
    source, output = work / "source", work / "output"
    fill_with_mix(source)
    print(f"{len(MIX)} images of 1 to 99 MP, preset {preset}, {WORKERS} workers asked for; MB")
    print("| budget | workers | peak | dearest image | rejected | wall s |")
    print("|---|---|---|---|---|---|")
    for budget in budgets:
        finished = on_command_line(source, output, preset, f"memory_budget_bytes={budget}")
        result = result_of(output)
        costs = (
            read_rows(output, result.partition_key, result.run_id)
            .sources.column("cost_bytes")
            .to_pylist()
        )
        dearest = max(cost for cost in costs if cost)
        held = "" if finished.peak_bytes <= budget + dearest else " (!)"
        print(
            f"| {budget / 1e6:.0f} | {result.plan['max_workers']} "
            f"| {finished.peak_bytes / 1e6:.0f}{held} | {dearest / 1e6:.0f} "
            f"| {result.counts.rejected} | {finished.wall_s:.1f} |",
            flush=True,
        )
        shutil.rmtree(output)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--preset", default="throughput")
    parser.add_argument("--budgets", type=int, nargs="*", metavar="BYTES")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        if arguments.budgets is not None:
            print_budgets(work, arguments.preset, arguments.budgets or list(BUDGETS_BYTES))
            return
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        print_peaks(photographs, work, arguments.preset, arguments.images)


if __name__ == "__main__":
    main()
