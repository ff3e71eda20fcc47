"""Storage: list, read, publish, delete. Local disk here; an object store implements the same.

Everything published appears whole or not at all.
"""

import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from image_assets.engine.errors import RunError
from image_assets.engine.reasons import Reason
from image_assets.engine.source_key import from_path

# Written by operating systems, never by a person: not sources.
IGNORED_NAMES = frozenset({".DS_Store", "Thumbs.db", "thumbs.db", "desktop.ini", ".directory"})

# Errors that are the machine's, never the image's: they end the run.
_MACHINE_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG}
    | {errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ESTALE, errno.ENOTCONN}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing found: a file, or what stands in the place of one.

    Attributes:
        path: Path below the listed root, ``/``-separated, as the operating system spells it.
        size_bytes: Size at listing.
        mtime_ns: Modification time at listing.
        reason: Why it is not read (``unreadable``, ``link``, ``not_a_file``), or None.
        problem: The same as a sentence, or None.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    reason: Reason | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes with the size and date that held before and after they were read."""

    data: bytes
    mtime_ns: int


class ChangedWhileReadError(OSError):
    """A file changed while its bytes were read, each time that they were."""


class Store(Protocol):
    """What the engine asks of a place that holds sources or renditions."""

    def list(self) -> Iterator[Entry]:
        """Yield everything that is no folder at any depth, in sorted order of path."""

    def read(self, path: str) -> Content:
        """Return a whole file, never a mix of two versions."""

    def size_of(self, path: str) -> int | None:
        """Return a file's size in bytes, or None where it is not."""

    def publish(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all."""

    def delete(self, path: str) -> None:
        """Remove a file; nothing happens where it is not."""


def _identities_above(root: Path) -> Iterator[tuple[int, int]]:
    """The folders that a root lies in: a link to one of them leads back, too."""
    for folder in Path(os.path.realpath(root)).parents:
        with contextlib.suppress(OSError):
            yield _identity(os.stat(folder))


_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


class LocalStore:
    """A folder of a local disk.

    Args:
        root: The folder. It need not exist until something is published.
        follow_links: Follow symbolic links below the root, in listing and reading. The root
            itself may always be one.
    """

    def __init__(self, root: Path, *, follow_links: bool = False) -> None:
        self.root = root
        self.follow_links = follow_links

    def list(self, enter: Callable[[Path], None] | None = None) -> Iterator[Entry]:
        """Yield everything that is no folder at any depth, sorted by path, each once.

        What cannot be read is an entry with its reason: unreadable files and folders, links (where
        they are not followed, lead nowhere or lead back), pipes, sockets and devices, which are
        never opened. Only the leavings of operating systems, `IGNORED_NAMES`, are left out.

        Args:
            enter: Called with every folder below the root before it is listed; may raise.

        Raises:
            RunError: The root itself cannot be listed.
        """
        try:
            status = os.stat(self.root)
            names = _names(os.fspath(self.root))
        except OSError as error:
            raise RunError(
                f"Expected a folder that can be listed, received {error.strerror!r} ({self.root})."
            ) from error
        # No recursion: folders may lie deeper than Python calls itself.
        above = [*_identities_above(self.root), _identity(status)]
        levels = [("", iter(names))]
        while levels:
            prefix, rest = levels[-1]
            name = next(rest, None)
            if name is None:
                levels.pop()
                above.pop()
                continue
            path = prefix + name
            try:
                found = self._look_at(path, name, above)
                if isinstance(found, os.stat_result):
                    if enter is not None:
                        enter(Path(self._path(path)))
                    names = _names(self._path(path))
                    levels.append((path + "/", iter(names)))
                    above.append(_identity(found))
                elif found is not None:
                    yield found
            except OSError as error:
                yield Entry(
                    path, 0, 0, Reason.UNREADABLE, f"The folder cannot be listed: {error.strerror}."
                )

    def _look_at(
        self, path: str, name: str, above: Sequence[tuple[int, int]]
    ) -> Entry | os.stat_result | None:
        """Return a folder's status to enter it, an entry to yield, or None to pass over."""
        try:
            status = os.lstat(self._path(path))
            if stat.S_ISLNK(status.st_mode):
                target = os.readlink(self._path(path))
                followed = self._follow(path, status, target)
                if isinstance(followed, Entry):
                    return followed
                status = followed
        except OSError as error:
            problem = f"The file cannot be read: {error.strerror}."
            return Entry(path, 0, 0, Reason.UNREADABLE, problem)
        size, mtime_ns = status.st_size, file_mtime_ns(status)
        if stat.S_ISDIR(status.st_mode):
            if _identity(status) not in above:
                return status
            problem = "The link leads back to a folder that it lies in, so it is not followed."
            return Entry(path, 0, mtime_ns, Reason.LINK, problem)
        if stat.S_ISREG(status.st_mode):
            return None if name in IGNORED_NAMES else Entry(path, size, mtime_ns)
        kind = next((what for test, what in _KINDS if test(status.st_mode)), "no file")
        problem = f"It is {kind}, not a file, and was not opened."
        return Entry(path, 0, mtime_ns, Reason.NOT_A_FILE, problem)

    def _follow(self, path: str, link: os.stat_result, target: str) -> Entry | os.stat_result:
        where = from_path(target)  # as inert as a source key: it goes into tables and terminals
        problem = f"It is a link to {where}, and links are not followed (follow_links does)."
        if self.follow_links:
            try:
                return os.stat(self._path(path))
            except FileNotFoundError:
                problem = f"It is a link to {where}, which is not there."
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                problem = f"It is a link to {where}, which leads back to itself."
        return Entry(path, link.st_size, file_mtime_ns(link), Reason.LINK, problem)

    def _open(self, path: str) -> int:
        """Open a file for reading; not through a link, unless they are followed.

        A pipe that came into its place since it was listed does not hold us up.
        """
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._path(path), flags if self.follow_links else flags | os.O_NOFOLLOW)

    def read(self, path: str) -> Content:
        """Return a whole file, never a mix of two versions; a link or device is not opened.

        Raises:
            OSError: It cannot be read.
            ChangedWhileReadError: It changed under each of three readings.
        """
        previous = None
        for _ in range(3):
            data = b""  # one copy in memory at a time: it may weigh as much as its image is granted
            descriptor = self._open(path)
            with open(descriptor, "rb") as file:
                before = os.fstat(descriptor)
                if not stat.S_ISREG(before.st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
                data = file.read()
                after = os.fstat(descriptor)
            same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
            # A date says nothing within a tick of the clock: then two readings must agree.
            is_old = time.time_ns() - after.st_mtime_ns > _TICK_NS
            digest = None if is_old else hashlib.sha256(data).digest()
            if same and len(data) == after.st_size and (is_old or digest == previous):
                return Content(data, file_mtime_ns(after))
            previous = digest
        raise ChangedWhileReadError("the file changed while it was read")

    def read_prefix(self, path: str, length: int) -> bytes:
        """Return the first bytes of a file, at most ``length``."""
        descriptor = self._open(path)
        try:
            return os.read(descriptor, length)
        finally:
            os.close(descriptor)

    def sha256(self, path: str) -> str:
        """Return the sha256 of a file, read in pieces.

        Raises:
            OSError: It cannot be read, or is no regular file any more.
        """
        with open(self._open(path), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return hashlib.file_digest(file, "sha256").hexdigest()

    def has_changed(self, path: str, size_bytes: int, read_mtime_ns: int) -> bool:
        """Tell whether a file that was read is another by now; one that is gone has not changed."""
        try:
            status = os.stat(self._path(path))
        except OSError:
            return False
        return (status.st_size, file_mtime_ns(status)) != (size_bytes, read_mtime_ns)

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
        rendition in flight and the rerun takes it over. It is locked while it is written: of two
        processes that publish one path at once, the second waits for the first.

        Raises:
            RunError: The machine refuses (disk full, permission); the path is named.
        """
        final = self._path(path)
        folder, name = os.path.split(final)
        temporary = os.path.join(folder, f".{name[:200]}.tmp")
        try:
            _make_folders(folder)
            descriptor = _hold(temporary)
            try:
                yield temporary
                os.fsync(descriptor)
                os.replace(temporary, final)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            finally:
                os.close(descriptor)
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


def file_mtime_ns(status: os.stat_result) -> int:
    """A file's date; one before 1678 or after 2262, which no table holds, is the nearest."""
    return max(-_INT64_MAX, min(status.st_mtime_ns, _INT64_MAX))


_INT64_MAX = 2**63 - 1
# The coarsest clock of a kernel's file dates: 100 ticks a second. Linux 6.13 and newer are exact.
_TICK_NS = 10_000_000


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as found:
        return sorted(entry.name for entry in found)


def _make_folders(folder: str) -> None:
    """``os.makedirs`` without its recursion, which ends at a thousand levels."""
    missing = [folder]
    while missing:
        try:
            os.mkdir(missing[-1])
        except FileNotFoundError:
            missing.append(os.path.dirname(missing[-1]))
            continue
        except FileExistsError:
            if not os.path.isdir(missing[-1]):
                raise
        missing.pop()


TEMPORARY_NAMES = ".*.tmp"
"""Pattern of the names that `LocalStore.publishing` writes under."""


def _hold(temporary: str) -> int:
    """Open a temporary file, empty and locked by us; the lock ends with the descriptor."""
    while True:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, wait=True)
            # Whoever had it before has published or removed it: then this is no more its file.
            if _is_at(descriptor, temporary):
                if os.fstat(descriptor).st_size:
                    os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        # A file system without locks: the lease alone keeps runs apart.
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_temporary(folder: str | os.PathLike[str]) -> int:
    """Remove the temporary files that a killed process left directly in a folder.

    One that a live process writes is left alone.

    Returns:
        Number of files removed.
    """
    removed = 0
    try:
        with os.scandir(folder) as found:
            # A folder of such a name is that of a source of such a name.
            names = [
                entry.path
                for entry in found
                if fnmatch.fnmatchcase(entry.name, TEMPORARY_NAMES)
                and entry.is_file(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for name in names:
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            _lock(descriptor, wait=False)
            os.unlink(name)
            removed += 1
        except (BlockingIOError, FileNotFoundError):
            continue
        finally:
            os.close(descriptor)
    return removed
