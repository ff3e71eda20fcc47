"""Whether asking the kernel for the next file early helps a cold read, decode, read, decode, ...

Compares a loop with `posix_fadvise(WILLNEED)` on the next file against one without, files evicted
from the page cache before each. What can be won at most is the time spent waiting in read.

    python -m bench.read_ahead [PHOTOGRAPHS] [--images 60] [--rounds 5]
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)


def advise(path: Path, advice: int) -> None:
    """Tell the kernel about a whole file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, advice)
    finally:
        os.close(descriptor)


def evict(paths: Sequence[Path]) -> None:
    """Drop files from the page cache; only what is on the disk can be dropped."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def read_and_decode(paths: Sequence[Path], *, ahead: bool) -> tuple[float, float]:
    """Wall seconds in all, and those waiting for reads."""
    waited_s = 0.0
    started_s = time.perf_counter()
    for index, path in enumerate(paths):
        if ahead and index + 1 < len(paths):
            advise(paths[index + 1], os.POSIX_FADV_WILLNEED)
        read_from_s = time.perf_counter()
        data = path.read_bytes()
        waited_s += time.perf_counter() - read_from_s
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (1024, 1024))
            image.convert("RGB").thumbnail((1024, 1024), Image.Resampling.LANCZOS)
    return time.perf_counter() - started_s, waited_s


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="folder on the disk to be measured")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.work)))
        fill_with_camera_jpegs(photographs, work, arguments.images)
        paths = sorted(work.iterdir())
        size_mb = sum(path.stat().st_size for path in paths) / 1e6
        read_and_decode(paths, ahead=False)
        print(f"{len(paths)} JPEGs, {size_mb:.0f} MB, read and decoded to 1024 px one by one")
        print("| round | cache | s, plain | waiting | s, read ahead | waiting |")
        print("|---|---|---|---|---|---|")
        saved = []
        for number in range(arguments.rounds):
            rows: dict[bool, tuple[float, float]] = {}
            # Turn about, so that neither always comes second.
            for ahead in (False, True) if number % 2 == 0 else (True, False):
                evict(paths)
                rows[ahead] = read_and_decode(paths, ahead=ahead)
            (plain_s, plain_wait_s), (ahead_s, ahead_wait_s) = rows[False], rows[True]
            saved.append(1 - ahead_s / plain_s)
            print(
                f"| {number + 1} | cold | {plain_s:.3f} | {plain_wait_s:.3f} "
                f"| {ahead_s:.3f} | {ahead_wait_s:.3f} |",
                flush=True,
            )
        warm_s, warm_wait_s = read_and_decode(paths, ahead=False)
        print(f"| - | warm | {warm_s:.3f} | {warm_wait_s:.3f} |  |  |")
        print(f"read-ahead saves {statistics.median(saved):+.1%} of the loop's time (median)")


if __name__ == "__main__":
    main()
