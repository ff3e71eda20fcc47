"""Storage: list, read, publish, delete. Local disk here; an object store implements the same.

Everything published appears whole or not at all.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from image_assets.engine.errors import RunError

# Written by operating systems, never by a person: not sources.
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", ".directory"})

# Errors that are the machine's, never the image's: they end the run.
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG}
    | {errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ESTALE, errno.ENOTCONN}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A regular file of a listing.

    Attributes:
        path: Path below the listed root, ``/``-separated, as the operating system spells it.
        size_bytes: Size at listing.
        mtime_ns: Modification time at listing.
        problem: Why it cannot be read, or None.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes with the size and date that held before and after they were read."""

    data: bytes
    mtime_ns: int


class ChangedWhileReadError(OSError):
    """A file's size or date changed while its bytes were read, twice in a row."""


class Store(Protocol):
    """What the engine asks of a place that holds sources or renditions."""

    def list(self) -> Iterator[Entry]:
        """Yield every regular file at any depth, in sorted order of path."""

    def read(self, path: str) -> Content:
        """Return a whole file, never a mix of two versions."""

    def size_of(self, path: str) -> int | None:
        """Return a file's size in bytes, or None where it is not."""

    def publish(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all."""

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where it is not."""


class LocalStore:
    """A folder of a local disk.

    Args:
        root: The folder. It need not exist until something is published.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> Iterator[Entry]:
        """Yield every regular file at any depth, sorted by path; links are not followed.

        Raises:
            RunError: The root itself cannot be listed. An unreadable folder below it is an entry
                with a problem.
        """
        yield from self._list(str(self.root), "")

    def _list(self, folder: str, prefix: str) -> Iterator[Entry]:
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if not prefix:
                raise RunError(
                    f"Expected a folder that can be listed, received {error.strerror!r} ({folder})."
                ) from error
            yield Entry(prefix.rstrip("/"), 0, 0, f"folder cannot be listed: {error.strerror}")
            return
        for entry in entries:
            path = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from self._list(entry.path, path + "/")
            elif entry.is_file(follow_symlinks=False) and entry.name not in IGNORED_NAMES:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError as error:
                    yield Entry(path, 0, 0, error.strerror)
                else:
                    yield Entry(path, status.st_size, status.st_mtime_ns)

    def read(self, path: str) -> Content:
        """Return a whole file, never a mix of two versions; a link or device is not opened.

        Raises:
            OSError: It cannot be read.
            ChangedWhileReadError: It changed under two readings in a row.
        """
        for _ in range(2):
            descriptor = os.open(
                self._path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            )
            with open(descriptor, "rb") as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                data = file.read()
                after = os.fstat(descriptor)
            same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            if same and len(data) == after.st_size:
                return Content(data, after.st_mtime_ns)
        raise ChangedWhileReadError("the file changed while it was read")

    def read_prefix(self, path: str, length: int) -> bytes:
        """Return the first bytes of a file, at most ``length``."""
        descriptor = os.open(
            self._path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        )
        try:
            return os.read(descriptor, length)
        finally:
            os.close(descriptor)

    def size_of(self, path: str) -> int | None:
        """Return a regular file's size in bytes, or None where it is not."""
        try:
            status = os.lstat(self._path(path))
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def publish(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all.

        Raises:
            RunError: The machine refuses (disk full, permission); the path is named.
        """
        with self.publishing(path) as temporary, open(temporary, "wb") as file:
            file.write(data)

    @contextlib.contextmanager
    def publishing(self, path: str) -> Iterator[str]:
        """Give a temporary file to write to; on leaving without error it becomes ``path``.

        The temporary name is fixed by ``path``, so a killed run leaves at most one beside each
        rendition in flight and the rerun takes it over.

        Raises:
            RunError: The machine refuses (disk full, permission); the path is named.
        """
        final = self._path(path)
        folder, name = os.path.split(final)
        temporary = os.path.join(folder, f".{name[:200]}.tmp")
        try:
            try:
                os.makedirs(folder, exist_ok=True)
                yield temporary
                descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.replace(temporary, final)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            if error.errno in _MACHINE_ERRORS:
                raise RunError(
                    f"Expected to be able to write {final}, received {error.strerror!r} "
                    "(output folder)."
                ) from error
            raise

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where it is not."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(path))

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path)
