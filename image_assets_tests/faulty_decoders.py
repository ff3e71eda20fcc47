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
"""Widths of the JPEGs, pixels. The last one's decoder takes all memory that it gets."""

_PROGRAM: Final = """
import ctypes, signal
import simplejpeg

decode = simplejpeg.decode_jpeg


def faulty(data, **options):
    width = simplejpeg.decode_jpeg_header(data)[1]
    if width == 97:
        ctypes.string_at(0)
    if width == 98:
        signal.pause()
    eaten = []
    while width == 99:
        eaten.append(b"x" * 10_000_000)
    return decode(data, **options)


simplejpeg.decode_jpeg = faulty
"""


def make_decoders_faulty(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the workers that are started from now on have the decoders."""
    place = folder / "faulty_decoders"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(place), prepend=":")
