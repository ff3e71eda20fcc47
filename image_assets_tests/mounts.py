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
    done = subprocess.run(["mount", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
