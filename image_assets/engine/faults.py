"""Faults of the machine while sources are read: told apart from images that are bad.

An error is the image's (a row, the run goes on) as long as other images can be read. It is the
machine's (the run stops, nothing is counted as a bad image) where the process has no file handle
left, where the source folder itself is gone or another one, and where `BROKEN_IN_A_ROW` sources in
a row meet an error of the device. One bad sector costs one image; an unmounted or dying disk costs
no night full of rows.
"""

import errno
import os
from pathlib import Path
from typing import Final

from image_assets.engine.errors import RunError

PROCESS_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""Nothing that any image could do about it."""

DEVICE_ERRORS: Final = frozenset(
    {errno.EIO, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO}  # disks
    | {errno.ESTALE, errno.ENOTCONN, errno.ESHUTDOWN}  # network and user-space file systems
    | {errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)
"""What a disk or a file system answers that is failing or gone."""

BROKEN_IN_A_ROW: Final = 10
# A bad spot of a disk holds a few neighbours: 4 MB of bad sectors are one photograph or two. Ten
# without a good one between them were never seen on a disk that the rest could be read from.


class SourceDisk:
    """Watches the folder of a partition's sources while they are read.

    Args:
        root: The folder; None where the partition has none.

    Raises:
        RunError: By every method, where the machine is at fault; the message names the folder.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._identity = _identity(root)
        self._in_a_row = 0

    def was_read(self) -> None:
        """A source was read."""
        self._in_a_row = 0

    def met(self, number: int | None, source_key: str) -> None:
        """Reading a source met the error with this number."""
        if number in PROCESS_ERRORS:
            raise out_of_handles(source_key)
        if number == errno.ENOENT:
            self.vanished()
        if number not in DEVICE_ERRORS:
            return
        assert number is not None
        self._in_a_row += 1
        if self._in_a_row >= BROKEN_IN_A_ROW:
            raise RunError(
                f"Expected a source folder that can be read, received {os.strerror(number)!r} from "
                f"{self._in_a_row} files in a row, last {source_key!r} ({self._root}). Look at the "
                "disk or mount it again; the next run goes on from here."
            )

    def vanished(self) -> None:
        """A source that was listed is not there: see whether its folder still is."""
        now = _identity(self._root)
        if now is None or now != self._identity:
            what = "that it is gone" if now is None else "another folder in its place"
            raise RunError(
                f"Expected the source folder to stay until the run ends, received {what} "
                f"({self._root}). Mount it again; the next run goes on from here."
            )


def out_of_handles(path: object) -> RunError:
    """The error for a process that can open no more files."""
    return RunError(
        f"Expected a free file handle, received none to read {str(path)!r} (ulimit -n). Raise the "
        "limit or lower max_workers."
    )


def _identity(root: Path | None) -> tuple[int, int] | None:
    try:
        status = root.stat() if root is not None else None
    except OSError:
        return None
    # The inode changes where a disk is mounted or unmounted over the folder.
    return None if status is None else (status.st_dev, status.st_ino)
