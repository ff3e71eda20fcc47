"""Measuring and giving back memory. Linux facts are read from /proc; elsewhere psutil answers."""

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_M_ARENA_MAX: Final = -8
# glibc's default of 8 arenas a core holds 77 MB after an image where 2 hold 36 (DESIGN section 5).
_ARENAS: Final = 2


def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


def limit_arenas() -> None:
    """Let the C allocator of this process keep few arenas."""
    libc = _libc()
    if libc is not None and hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, _ARENAS)


def collect_and_trim() -> None:
    """Collect garbage and give free heap pages back to the system."""
    gc.collect()
    libc = _libc()
    if libc is not None and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def die_with_parent() -> None:
    """Ask the kernel to end this process when the thread that started it ends (Linux)."""
    libc = _libc()
    if libc is not None and hasattr(libc, "prctl"):
        pr_set_pdeathsig, sigkill = 1, 9
        libc.prctl(pr_set_pdeathsig, sigkill, 0, 0, 0)


def die_first() -> None:
    """Ask the kernel to end this process before others of the machine where memory runs out.

    A worker costs one image; its parent would cost the run, another process somebody's work.
    """
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("800")


@contextlib.contextmanager
def data_limit(growth_bytes: int) -> Iterator[None]:
    """Let this process's private memory grow by so much and no more; then allocation fails.

    The kernel counts what is reserved, not what is used, so the limit is no estimate of resident
    memory but an upper bound of it (Linux; elsewhere nothing is limited).

    Args:
        growth_bytes: Over what the process has now.
    """
    now = data_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = now + growth_bytes
    if not now or (soft != resource.RLIM_INFINITY and limit > soft):  # a person's own is tighter
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Private writable memory that this process has reserved, bytes; 0 where it is not known."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[5]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def resident_bytes() -> int:
    """Resident memory of this process, bytes."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_resident_bytes()


def reset_peak() -> None:
    """Let `peak_resident_bytes` count from now on, where the kernel allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def peak_resident_bytes() -> int:
    """Largest resident memory of this process since `reset_peak` or its start, bytes."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def process_bytes(pid: int) -> int:
    """Memory of a process, shared pages by their share (PSS), in bytes; 0 where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0
