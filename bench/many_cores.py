"""What would stop 16 and 64 workers: the parent's time per image, bytes through pipes, and Amdahl.

python -m bench.many_cores [PHOTOGRAPHS] [--images 1500] [--workers 2 16]

Workers are processes, so that no interpreter lock is shared; what is serial is the parent. Its CPU
time per image is measured with as many workers as are asked about, on tiny images (this machine's
cores are too few for the work, but the parent's part is the same), and looking at their memory,
which costs by time and not by image, apart. The work per image is that of photographs.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from bench.processes import child_environment, compress
from bench.scale import fill
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)

LOOKS_PER_S: Final = 4
"""How often the pool looks at the memory of its processes."""

# In a process of its own; counts what the connections to the workers carry.
_RUN: Final = """
import json, sys, time
from multiprocessing.connection import Connection
from image_assets.engine.api import compress_folder
from image_assets.engine.workers import memory, pool
piped, looking = [0, 0], [0.0, 0]
receive, send, look = Connection._recv_bytes, Connection._send_bytes, pool.WorkerPool._sample
def counted_receive(self, *arguments):
    found = receive(self, *arguments)
    piped[0] += len(found.getbuffer()); piped[1] += 1
    return found
def counted_send(self, data):
    piped[0] += len(data); piped[1] += 1
    send(self, data)
def timed_look(self):
    peak, began = self._next_sample, time.process_time()
    look(self)
    looking[0] += time.process_time() - began
    looking[1] += self._next_sample != peak
Connection._recv_bytes, Connection._send_bytes = counted_receive, counted_send
pool.WorkerPool._sample = timed_look
began = time.process_time()
result = compress_folder(sys.argv[1], sys.argv[2], preset="throughput",
                         overrides={"max_workers": int(sys.argv[3])})
spent = time.process_time() - began
json.dump({"parent_s": spent, "looking_s": looking[0], "looks": looking[1], "bytes": piped[0],
           "messages": piped[1], "written": result.counts.written}, open(sys.argv[4], "w"))
"""


def parent_of(source: Path, work: Path, workers: int) -> dict[str, Any]:
    """What the parent spends on a folder with that many workers."""
    report = work / "report.json"
    subprocess.run(
        [sys.executable, "-c", _RUN, str(source), str(work / f"o{workers}"), str(workers), report],
        env=child_environment(),
        check=True,
    )
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=1_500)
    parser.add_argument("--photographs", type=int, default=24, dest="large")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 16])
    parser.add_argument("--work", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="image_assets_bench_", dir=arguments.work)
            )
        )
        fill_with_camera_jpegs(photographs, work / "large", arguments.large, originals=8)
        large = compress(work / "large", work / "large_out", "--preset", "throughput")
        work_ms = 1e3 * float(large.report["cpu_s"]) / arguments.large
        print(f"work of an image of 3 to 12 MP, preset throughput: {work_ms:.0f} ms CPU")
        source = work / "source"
        fill(source, arguments.images)
        parent_of(source, work, 1)  # bytecode
        print(
            "| workers | parent ms per image | of it looking at memory | one look ms | share of "
            "a core that looking takes | bytes piped per image | messages per image "
            "| images/s that the parent allows | speed-up by Amdahl, of that many |"
        )
        print("|---" * 9 + "|")
        for workers in arguments.workers:
            found = parent_of(source, work, workers)
            look_ms = 1e3 * found["looking_s"] / max(1, found["looks"])
            share = LOOKS_PER_S * look_ms / 1e3
            serial_ms = 1e3 * (found["parent_s"] - found["looking_s"]) / arguments.images
            # What looking leaves of a core is the parent's for images.
            effective_ms = serial_ms / max(0.01, 1 - share)
            part = effective_ms / (effective_ms + work_ms)
            print(
                f"| {workers} | {1e3 * found['parent_s'] / arguments.images:.2f} "
                f"| {1e3 * found['looking_s'] / arguments.images:.2f} | {look_ms:.2f} "
                f"| {share:.1%} | {found['bytes'] / arguments.images:,.0f} "
                f"| {found['messages'] / arguments.images:.2f} | {1e3 / effective_ms:.0f} "
                f"| {1 / (part + (1 - part) / workers):.1f} |",
                flush=True,
            )
        print(f"{os.cpu_count()} cores here")


if __name__ == "__main__":
    main()
