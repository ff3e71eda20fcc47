"""Whole processes as a person starts them: their wall time, CPU seconds and memory."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

SAMPLE_INTERVAL_S: Final = 0.05
QUIET_SHARE: Final = 0.03
"""A wall time counts where others took at most this share of the cores."""
COMPRESS: Final = ("-m", "image_assets", "compress")
REPOSITORY: Final = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class MemorySample:
    """Memory of a process tree at one moment, and how far its work was."""

    tree_bytes: int
    progress: int
    by_process: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Finished:
    """A process that ended well.

    Attributes:
        wall_s: From before it was started until it was gone.
        cpu_s: User and system time of it and all its children that it waited for.
        other_cpu_s: CPU seconds that the rest of the machine took meanwhile.
        samples: Memory every `SAMPLE_INTERVAL_S`, where asked for.
        report: What it wrote to its `--json` file, where it has one.
    """

    wall_s: float
    cpu_s: float
    other_cpu_s: float
    samples: list[MemorySample] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def other_share(self) -> float:
        """Share of the machine's cores that others took meanwhile."""
        return self.other_cpu_s / (self.wall_s * (os.cpu_count() or 1))

    @property
    def peak_bytes(self) -> int:
        """Largest memory of the tree seen."""
        return max((sample.tree_bytes for sample in self.samples), default=0)


def tree_pss_bytes(pid: int) -> int:
    """Memory of a process and all below it, shared pages counted once (PSS)."""
    return sum(pss_bytes_by_process(pid).values())


def pss_bytes_by_process(pid: int) -> dict[int, int]:
    """Memory of a process and of each below it, shared pages by their share (PSS)."""
    try:
        root = psutil.Process(pid)
        pids = [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return {}
    found = {}
    for each in pids:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        found[each] = sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return found


def busy_cpu_s() -> float:
    """CPU seconds that all processes of the machine have taken since it started."""
    words = Path("/proc/stat").read_text().split(maxsplit=9)
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, words[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def child_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a person's shell: bytecode is cached, our packages are found."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPATH"] = str(REPOSITORY)
    environment.update(extra or {})
    return environment


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    progress: Callable[[], int] | None = None,
    sample_memory: bool = False,
    sample_interval_s: float = SAMPLE_INTERVAL_S,
) -> Finished:
    """Run a process to its end and measure it.

    Args:
        command: Arguments after the Python interpreter.
        environment: Variables beyond the own ones.
        progress: Tells how far the work is; asked with every memory sample.
        sample_memory: Whether to look at the tree's memory, which costs it some CPU.
        sample_interval_s: How often.

    Raises:
        SystemExit: It failed; what it printed is in the message.
    """
    samples: list[MemorySample] = []
    ended = threading.Event()

    def sample(pid: int) -> None:
        while not ended.wait(sample_interval_s):
            done = progress() if progress else 0
            found = pss_bytes_by_process(pid)
            samples.append(MemorySample(sum(found.values()), done, found))

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    own_before_s, busy_before_s = time.process_time(), busy_cpu_s()
    started_s = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=child_environment(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tempfile.gettempdir(),
        )
        watcher = threading.Thread(target=sample, args=(process.pid,), daemon=True)
        if sample_memory:
            watcher.start()
        status = process.wait()
        wall_s = time.perf_counter() - started_s
        ended.set()
        if sample_memory:
            watcher.join()
        if status != 0:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {status}:\n{output.read()[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    own_s = cpu_s + time.process_time() - own_before_s
    other_cpu_s = max(0.0, busy_cpu_s() - busy_before_s - own_s)
    return Finished(wall_s, cpu_s, other_cpu_s, samples)


def undisturbed(measure: Callable[[], Finished], tries: int = 4) -> Finished:
    """Measure until the machine was quiet, at most `tries` times; the least disturbed counts."""
    best = measure()
    for _ in range(tries - 1):
        if best.other_share <= QUIET_SHARE:
            break
        best = min(best, measure(), key=lambda finished: finished.other_share)
    return best


def compress(
    source: Path,
    output: Path,
    *arguments: str,
    progress: Callable[[], int] | None = None,
    sample_memory: bool = False,
    sample_interval_s: float = SAMPLE_INTERVAL_S,
) -> Finished:
    """Run `image-assets compress` and read its report."""
    with tempfile.TemporaryDirectory() as folder:
        report_path = Path(folder) / "report.json"
        finished = run(
            [*COMPRESS, str(source), str(output), "--json", str(report_path), *arguments],
            progress=progress,
            sample_memory=sample_memory,
            sample_interval_s=sample_interval_s,
        )
        finished.report = json.loads(report_path.read_text())
    return finished
