"""The cost of a whole process tree, by a launcher that outlives all of it.

The launcher is the tree's "subreaper": whatever loses its parent becomes its child, so that the
CPU time of helpers which nobody waits for (a fork server, a resource tracker) counts too.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from bench.processes import REPOSITORY, SAMPLE_INTERVAL_S, busy_cpu_s, tree_pss_bytes

_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True)
class TreeCost:
    """What one process tree took, from before it was started until the last of it was gone.

    Attributes:
        wall_s: Until the command itself ended: what a person waits for.
        cpu_s: User and system time of every process of it.
        other_cpu_s: What the rest of the machine took meanwhile.
        peak_bytes: Largest PSS of the tree, 0 where it was not looked at.
    """

    wall_s: float
    cpu_s: float
    other_cpu_s: float
    peak_bytes: int

    @property
    def other_share(self) -> float:
        """Share of the machine's cores that others took meanwhile."""
        return self.other_cpu_s / (self.wall_s * (os.cpu_count() or 1))


def measure(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    sample_memory: bool = False,
) -> TreeCost:
    """Run a command to its end and measure its tree.

    Args:
        command: Program and arguments.
        environment: Variables beyond the own ones; PYTHONPATH is not passed on.
        sample_memory: Look at its memory every 50 ms, which costs it some CPU.

    Raises:
        SystemExit: It failed; what it printed is in the message.
    """
    passed = dict(os.environ)
    # Python caches bytecode in a person's shell.
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):
        passed.pop(name, None)
    passed.update(environment or {})
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cost.json"
        request = {"command": list(command), "environment": passed, "memory": sample_memory}
        (Path(folder) / "request.json").write_text(json.dumps(request))
        subprocess.run(
            [sys.executable, "-m", "bench.process_trees", folder],
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            check=True,
        )
        answer = json.loads(result.read_text())
    if "failure" in answer:
        raise SystemExit(answer["failure"])
    return TreeCost(**answer)


def _launch(folder: Path) -> None:
    request = json.loads((folder / "request.json").read_text())
    command = request["command"]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    ended = threading.Event()
    peaks = [0]

    def watch() -> None:
        while not ended.wait(SAMPLE_INTERVAL_S):
            peaks.append(tree_pss_bytes(process.pid))

    own_before_s, busy_before_s = time.process_time(), busy_cpu_s()
    started_s = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            env=request["environment"],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tempfile.gettempdir(),
        )
        watcher = threading.Thread(target=watch, daemon=True)
        if request["memory"]:
            watcher.start()
        status = process.wait()
        wall_s = time.perf_counter() - started_s
        ended.set()
        if request["memory"]:
            watcher.join()
        while True:  # orphans of the tree
            try:
                os.wait()
            except ChildProcessError:
                break
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = used.ru_utime + used.ru_stime
        own_s = cpu_s + time.process_time() - own_before_s
        others_s = max(0.0, busy_cpu_s() - busy_before_s - own_s)
        output.seek(0)
        answer: dict[str, object] = asdict(TreeCost(wall_s, cpu_s, others_s, max(peaks)))
        if status != 0:
            answer = {"failure": f"{' '.join(command)[:300]} ended with {status}:\n"}
            answer["failure"] = f"{answer['failure']}{output.read()[-4000:]}"
    (folder / "cost.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Runs one request of `measure`.")
    parser.add_argument("folder", type=Path)
    _launch(parser.parse_args().folder)
