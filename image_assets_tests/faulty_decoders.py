"""Decoders that crash, hang or eat memory, in the real workers of a test.

A worker is a fresh interpreter, so what makes its decoder faulty comes in as Python's own
``sitecustomize``: a picture's width says what its decoder does.
"""

from pathlib import Path
from typing import Final

import pytest

CRASHES: Final = 97
HANGS: Final = 98
EATS_MEMORY: Final = 99
"""Widths of the pictures, pixels. The last one's decoder takes all memory that it gets."""

_PROGRAM: Final = """
import ctypes, signal, sys
from PIL import ImageFile

load = ImageFile.ImageFile.load


def faulty(self):
    if self.tile and self.width == 97:
        ctypes.string_at(0)
    if self.tile and self.width == 98:
        signal.pause()
    eaten = []
    while self.tile and self.width == 99:
        eaten.append(b"x" * 10_000_000)
    return load(self)


ImageFile.ImageFile.load = faulty
"""


def make_decoders_faulty(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the workers that are started from now on have the decoders."""
    place = folder / "faulty_decoders"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(place), prepend=":")
