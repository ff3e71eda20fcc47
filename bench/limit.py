"""How close the whole command comes to the limit that the codecs set, and its memory.

The limit is the CPU seconds of decode, colour, resize and encode alone, over the cores: measured
by `bench.plain_loop` in turn with `image-assets compress` (whole process, from start to exit).
Rounds in which others took more than 3 % of the cores are shown, not counted, and made again.

    python -m bench.limit [PHOTOGRAPHS] [--images 120] [--rounds 3] [--preset throughput]
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.plain_loop import EVERY_STAGE, STAGES
from bench.processes import QUIET_SHARE, child_environment, compress
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)
from image_assets.engine.planning.machine import inspect_machine

TARGET_SHARE: Final = 0.95
TARGET_PEAK_BYTES: Final = 400_000_000
MAX_TRIES: Final = 3  # times the wanted rounds


def run_loops(source: Path, work: Path, preset: str, count: int) -> dict[str, float]:
    """CPU seconds by stage of `count` plain loops side by side, each with its part."""
    loops = []
    for index in range(count):
        output = work / f"loop{index}"
        command = [sys.executable, "-m", "bench.plain_loop", str(source), str(output), preset]
        loops.append(
            subprocess.Popen(
                [*command, "--part", f"{index}/{count}"],
                env=child_environment(),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    total = dict.fromkeys(EVERY_STAGE, 0.0)
    for loop in loops:
        text, _ = loop.communicate()
        assert loop.returncode == 0, "a plain loop failed"
        for stage, cpu_s in json.loads(text)["cpu_s"].items():
            total[stage] += cpu_s
    for index in range(count):
        shutil.rmtree(work / f"loop{index}")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", default="throughput")
    arguments = parser.parse_args()
    cores = inspect_machine().cores
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        source = work / "source"
        fill_with_camera_jpegs(photographs, source, arguments.images)
        size_mb = sum(path.stat().st_size for path in source.iterdir()) / 1e6
        print(
            f"{arguments.images} JPEGs of 3 to 12 MP, {size_mb:.0f} MB, preset {arguments.preset}, "
            f"{cores} cores"
        )
        print("| round | limit s | limit, all cores busy s | process s | CPU s | share | others |")
        print("|---|---|---|---|---|---|---|")
        alone, busy, walls, cpus = [], [], [], []
        for number in range(MAX_TRIES * arguments.rounds):
            finished = compress(source, work / "output", "--preset", arguments.preset)
            shutil.rmtree(work / "output")
            if finished.other_share > QUIET_SHARE:
                print(
                    f"| {number + 1} |  |  | {finished.wall_s:.2f} | {finished.cpu_s:.2f} "
                    f"| not counted | {finished.other_share:.1%} |",
                    flush=True,
                )
                continue
            one = run_loops(source, work, arguments.preset, 1)
            alone_s = sum(one[stage] for stage in STAGES) / cores
            many = run_loops(source, work, arguments.preset, cores)
            busy_s = sum(many[stage] for stage in STAGES) / cores
            print(
                f"| {number + 1} | {alone_s:.2f} | {busy_s:.2f} | {finished.wall_s:.2f} "
                f"| {finished.cpu_s:.2f} | {alone_s / finished.wall_s:.1%} "
                f"| {finished.other_share:.1%} |",
                flush=True,
            )
            alone.append(alone_s)
            busy.append(busy_s)
            walls.append(finished.wall_s)
            cpus.append(finished.cpu_s)
            if len(walls) == arguments.rounds:
                break
        if not walls:
            raise SystemExit("Expected a quiet machine, received none: no round counts.")
        limit_s, wall_s = statistics.median(alone), statistics.median(walls)
        print(
            f"| median | {limit_s:.2f} | {statistics.median(busy):.2f} | {wall_s:.2f} "
            f"| {statistics.median(cpus):.2f} | {limit_s / wall_s:.1%} | {len(walls)} rounds |"
        )
        print(
            f"speed: {limit_s / wall_s:.1%} of the limit (target {TARGET_SHARE:.0%}); "
            f"{statistics.median(busy) / wall_s:.1%} of the limit with all cores busy; "
            f"{arguments.images / wall_s:.2f} images/s"
        )
        print("CPU s of the loop by stage: " + ", ".join(f"{s} {one[s]:.2f}" for s in EVERY_STAGE))
        finished = compress(
            source, work / "output", "--preset", arguments.preset, sample_memory=True
        )
        print(
            f"memory: peak {finished.peak_bytes / 1e6:.0f} MB of all processes (PSS; target "
            f"{TARGET_PEAK_BYTES / 1e6:.0f}), {finished.report['peak_memory_bytes'] / 1e6:.0f} MB "
            f"as the command reports it"
        )


if __name__ == "__main__":
    main()
