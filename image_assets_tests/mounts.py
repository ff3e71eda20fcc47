"""Real disks of a test: small, full, read-only, gone. They need root and the right to mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image_assets_tests.processes import wait_until


@contextmanager
def mounted(folder: Path, *words: str) -> Iterator[Path]:
    """Mount something on a folder while the block runs; skip the test where nobody may."""
    folder.mkdir(parents=True, exist_ok=True)
    _mount(*words, folder)
    try:
        yield folder
    finally:
        unmount(folder)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of a size such as ``64k``."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs"):
        yield folder


@contextmanager
def protected(folder: Path) -> Iterator[Path]:
    """A folder that is read-only while the block runs, whoever is writing there."""
    # On top of what is there, for a file system with files open for writing stays writable.
    with mounted(folder, "--bind", str(folder)):
        change(folder, "bind,ro")
        yield folder


class RemovableDisk:
    """A disk that is taken out of a folder, which stays behind empty, and put back.

    Where nobody may mount, the folder itself is moved away and back.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content = folder.with_name(f"{folder.name} disk")
        self.content.mkdir()
        self._is_mounted = False

    def put_in(self) -> None:
        """Let the folder hold what is on the disk."""
        self._is_mounted = _try_to_mount("--bind", self.content, self.folder) == ""
        if not self._is_mounted:
            self.folder.rmdir()
            self.content.rename(self.folder)

    def take_out(self) -> None:
        """Leave the empty mount point; nothing happens where the disk is out already."""
        if self._is_mounted:
            unmount(self.folder)
            self._is_mounted = False
        elif not self.content.exists():
            self.folder.rename(self.content)
            self.folder.mkdir()


@contextmanager
def removable_disk(folder: Path) -> Iterator[RemovableDisk]:
    """A disk for an existing empty folder, out at first and in the end."""
    disk = RemovableDisk(folder)
    try:
        yield disk
    finally:
        disk.take_out()


@contextmanager
def broken_sector(path: Path) -> Iterator[Path]:
    """A file of which every byte is an input/output error of the kernel while the block runs."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        # Nothing is mapped at address 0 of any process: reading there is EIO.
        _mount("--bind", f"/proc/{process.pid}/mem", path)
        try:
            yield path
        finally:
            unmount(path)
            process.kill()


def change(folder: Path, options: str) -> None:
    """Give a mounted disk other options: ``size=10m``, ``bind,ro``."""

    def is_changed() -> bool:
        words = ["mount", "-o", f"remount,{options}", os.fspath(folder)]
        return subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode == 0

    # A disk does not turn read-only while a file on it is being written.
    wait_until(is_changed, f"{folder} is mounted with {options}")


def unmount(folder: Path) -> None:
    """Take a disk away, at once, whoever uses it."""
    subprocess.run(["umount", "--lazy", folder], check=False, stderr=subprocess.DEVNULL)


def _mount(*words: str | Path) -> None:
    problem = _try_to_mount(*words)
    if problem:
        pytest.skip(f"this machine lets nobody mount: {problem}")


def _try_to_mount(*words: str | Path) -> str:
    done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
    return (done.stderr.strip() or f"status {done.returncode}") if done.returncode else ""
