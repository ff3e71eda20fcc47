"""The lease of a partition: one run at a time compresses it.

All processes of one run (its shards) share the lease; a second run waits or ends with a sentence.
The kernel drops the lock with the process that holds it, however that ends.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from image_assets.engine.errors import PartitionBusyError, RunError

_POLL_INTERVAL_S = 0.2


@contextlib.contextmanager
def hold_lease(output: Path, partition_key: str, run_id: str, wait_s: float) -> Iterator[None]:
    """Hold the lease of a partition while the block runs.

    Args:
        output: Output folder.
        partition_key: The partition.
        run_id: Processes of one run share the lease.
        wait_s: How long to wait where another run holds it.

    Raises:
        PartitionBusyError: Another run still holds it after the wait.
        RunError: The lease file cannot be written.
    """
    path = output / "tables" / "ledger" / partition_key / "lease"
    deadline = time.monotonic() + wait_s
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunError(
            f"Expected to be able to write {path}, received {error.strerror!r} (output folder)."
        ) from error
    try:
        while not _try(descriptor, run_id):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another run"
                raise PartitionBusyError(
                    f"Expected partition {partition_key} to be free, received that run {holder} "
                    f"is compressing it ({path}; lease_wait_s = {wait_s:g})."
                )
            time.sleep(_POLL_INTERVAL_S)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int, run_id: str) -> bool:
    """Become or join the holder: exclusive to write the run's name, then shared to work."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, run_id.encode(), 0)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    # Turning exclusive into shared is not atomic: another run may have come between.
    if os.pread(descriptor, 200, 0).decode(errors="replace") == run_id:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
