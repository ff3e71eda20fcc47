"""Scores of whole runs against one neutral reference, each picture scored once.

The reference is the source decoded in full, upright, in sRGB, and brought to the rendition's size
by LANCZOS on its gamma values: nobody's own way of decoding small. References and scores are kept
in build/bench, by the hashes of what they are of.
"""

import hashlib
import json
import os
import statistics
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pillow_avif  # noqa: F401 - for AVIF of every flavour
from PIL import Image

from bench.photographs import to_srgb
from bench.processes import REPOSITORY
from bench.scoring import score

KEPT: Final = REPOSITORY / "build" / "bench"
VALID_FROM_PX: Final = 256
"""SSIMULACRA2 says nothing about smaller sides."""


@dataclass(frozen=True, slots=True)
class Scores:
    """SSIMULACRA2 of one format over the scored photographs."""

    mean: float
    p10: float


def summarise(scores: Iterable[float]) -> Scores:
    """Mean and 10th percentile, linear between the two photographs next to it."""
    ordered = sorted(scores)
    place = 0.1 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    p10 = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return Scores(statistics.fmean(ordered), p10)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:24]


def _reference(source: Path, size: tuple[int, int]) -> Image.Image:
    kept = KEPT / "references" / f"{_digest(source.read_bytes())}-{size[0]}x{size[1]}.png"
    if not kept.exists():
        with Image.open(source) as opened:
            picture = to_srgb(opened).resize(size, Image.Resampling.LANCZOS)
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_suffix(f".{os.getpid()}.part")
        picture.save(unfinished, "PNG", compress_level=1)
        unfinished.replace(kept)
    with Image.open(kept) as opened:
        opened.load()
        return opened.convert("RGB")


def _score_file(source: Path, rendition: Path) -> float:
    data = rendition.read_bytes()
    with Image.open(rendition) as opened:
        size = opened.size
    return score(_reference(source, size), data)


class ScoreBook:
    """Scores by the bytes of source and rendition."""

    def __init__(self, path: Path = KEPT / "scores.json") -> None:
        self._path = path
        self._known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def scores(self, pairs: Mapping[str, tuple[Path, Path]]) -> dict[str, float]:
        """The score of each (source, rendition), those not known in as many processes as cores."""
        keys = {
            name: f"{_digest(source.read_bytes())} {_digest(rendition.read_bytes())}"
            for name, (source, rendition) in pairs.items()
        }
        missing = {key: pairs[name] for name, key in keys.items() if key not in self._known}
        if missing:
            os.environ["OMP_NUM_THREADS"] = "1"  # read by the processes' numpy
            with ProcessPoolExecutor(os.cpu_count()) as pool:
                found = pool.map(_score_file, *zip(*missing.values(), strict=True))
                self._known.update(zip(missing, found, strict=True))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(self._known, indent=0))
        return {name: self._known[key] for name, key in keys.items()}
