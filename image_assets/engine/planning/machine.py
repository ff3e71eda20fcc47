"""What this machine may use: cores, memory, disk, file handles, as its cgroup limits them."""

import os
import platform
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

# A cgroup v1 without a limit reports the largest page-aligned int64; anything this large is none.
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class Machine:
    """The limits a plan is made for.

    Attributes:
        cores: Usable cores, at least 1: affinity and cgroup CPU quota applied.
        memory_bytes: Memory of the machine or of its cgroup, whichever is smaller.
        available_bytes: Memory that can be taken now without swapping, below the same limit.
        own_bytes: Resident memory of this process, which will be the parent of workers.
    """

    cores: int
    memory_bytes: int
    available_bytes: int
    own_bytes: int = 0

    @property
    def fingerprint(self) -> str:
        """A short name by which runs on like machines are compared."""
        return f"{platform.system()}-{platform.machine()}-{self.cores}c-{self.memory_bytes >> 30}g"


def inspect_machine(root: Path = Path("/")) -> Machine:
    """Read this machine's limits.

    Args:
        root: Where ``/proc/self/cgroup`` and ``/sys/fs/cgroup`` are looked for (tests fake it).
    """
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = read_cgroup(root)
    total, available = memory.total, memory.available
    if limits.memory_bytes is not None:
        total = min(total, limits.memory_bytes)
        available = min(available, max(0, limits.memory_bytes - (limits.used_bytes or 0)))
    usable = cores or 1
    if limits.cores is not None:
        usable = min(usable, max(1, int(limits.cores + 0.5)))
    return Machine(
        cores=max(1, usable),
        memory_bytes=total,
        available_bytes=available,
        own_bytes=psutil.Process().memory_info().rss,
    )


@dataclass(frozen=True, slots=True)
class CgroupLimits:
    """Limits of the process's cgroup; None where it sets none."""

    memory_bytes: int | None = None
    used_bytes: int | None = None
    cores: float | None = None


def read_cgroup(root: Path = Path("/")) -> CgroupLimits:
    """Read memory and CPU limits of this process's cgroup, version 1 or 2.

    Every ancestor's limit applies, so the smallest of them is returned. Page cache that the
    kernel would give back (``inactive_file``) does not count as used.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return CgroupLimits()
    base = root / "sys/fs/cgroup"
    memory: list[tuple[int, int]] = []
    quotas: list[float] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = set(controllers.split(",")) if controllers else set()
        relative = path.strip("/")
        if not controllers:  # version 2
            for folder in _ancestors(base, relative):
                _add_memory(memory, folder, "memory.max", "memory.current")
                quota = _read_words(folder / "cpu.max")
                if len(quota) == 2 and quota[0] != "max":
                    quotas.append(int(quota[0]) / int(quota[1]))
        if "memory" in names:
            for folder in _ancestors(base / "memory", relative):
                _add_memory(memory, folder, "memory.limit_in_bytes", "memory.usage_in_bytes")
        if "cpu" in names:
            mount = next((base / n for n in (controllers, "cpu") if (base / n).is_dir()), base)
            for folder in _ancestors(mount, relative):
                quota_us = _read_words(folder / "cpu.cfs_quota_us")
                period_us = _read_words(folder / "cpu.cfs_period_us")
                if quota_us and period_us and int(quota_us[0]) > 0:
                    quotas.append(int(quota_us[0]) / int(period_us[0]))
    limit, used = min(memory, key=lambda pair: pair[0] - pair[1], default=(None, None))
    return CgroupLimits(limit, used, min(quotas, default=None))


def _ancestors(mount: Path, relative: str) -> list[Path]:
    """The cgroup's folder and its parents up to the mount; the mount alone inside a container."""
    folders = [mount]
    for part in relative.split("/") if relative else []:
        folders.append(folders[-1] / part)
    return [folder for folder in folders if folder.is_dir()]


def _add_memory(found: list[tuple[int, int]], folder: Path, limit: str, usage: str) -> None:
    words = _read_words(folder / limit)
    if not words or words[0] == "max" or int(words[0]) >= _NO_LIMIT_BYTES:
        return
    used = _read_words(folder / usage)
    cache = 0
    for line in _read_lines(folder / "memory.stat"):
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file"):
            cache = int(value)
    found.append((int(words[0]), max(0, (int(used[0]) if used else 0) - cache)))


def _read_words(path: Path) -> list[str]:
    lines = _read_lines(path)
    return lines[0].split() if lines else []


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def free_disk_bytes(path: Path) -> int:
    """Free bytes for us on the file system that holds ``path`` or its nearest existing parent."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def file_handle_limit() -> int:
    """The soft limit of open files of this process."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
