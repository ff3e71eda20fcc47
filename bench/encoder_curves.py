"""Bytes and CPU of encoders at equal SSIMULACRA2: which one, at which effort, is worth its time.

Each encoder writes each photograph at some qualities; bytes (on a logarithmic scale) and CPU are
read off at the scores asked for, linearly between.

python -m bench.encoder_curves [PHOTOGRAPHS] [--encoders "svt 9 4" "webp 2" ...] [--photos 5]
"""

import argparse
import contextlib
import io
import itertools
import math
import statistics
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.scoring import score
from bench.source_folders import add_photographs_argument, photographs_or_samples
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.resize import resize, variant_size

SCORES: Final = (65.0, 70.0, 75.0, 80.0)
QUALITIES: Final = {
    "svt": (36, 48, 58, 70, 80),
    "aom": (44, 55, 66, 76, 86),
    "webp": (66, 74, 81, 88),
    "jpeg": (62, 70, 78, 87),
}
DEFAULT: Final = (
    *("svt 9 4", "svt 9 3", "svt 9 0", "svt 8 3", "svt 7 3", "aom 9 4:2:0", "aom 9 4:4:4"),
    *("webp 0", "webp 1", "webp 2", "webp 3", "webp 4", "webp 6"),
    *("jpeg baseline", "jpeg optimize", "jpeg progressive"),
)
"""Encoder, effort, then SVT's tune or aom's subsampling."""


def save_options(encoder: str, quality: int) -> tuple[str, dict[str, Any]]:
    """Pillow's format and options of an encoder as `DEFAULT` names them."""
    name, *words = encoder.split()
    if name == "svt":
        advanced = {"tune": words[1]}
        return "AVIF", _avif("svt", quality, words[0], "4:2:0") | {"advanced": advanced}
    if name == "aom":
        return "AVIF", _avif("aom", quality, words[0], words[1]) | {"autotiling": False}
    if name == "webp":
        return "WEBP", {"quality": quality, "method": int(words[0])}
    progressive = words[0] == "progressive"
    optimize = progressive or words[0] == "optimize"
    return "JPEG", {"quality": quality, "progressive": progressive, "optimize": optimize}


def _avif(codec: str, quality: int, speed: str, subsampling: str) -> dict[str, Any]:
    return {
        "codec": codec,
        "quality": quality,
        "speed": int(speed),
        "subsampling": subsampling,
        "max_threads": 1,
    }


@dataclass(frozen=True, slots=True)
class Job:
    """One photograph by one encoder at one quality."""

    encoder: str
    quality: int
    photograph: Path
    px: int


def measure(job: Job) -> tuple[float, float, float]:
    """SSIMULACRA2, bytes and CPU ms (the least of three)."""
    prepare_pillow()
    with Image.open(job.photograph) as image:
        size = variant_size(*image.size, job.px)
        master = resize(image.convert("RGB"), size)
    format_name, options = save_options(job.encoder, job.quality)
    least_ms = math.inf
    for _ in range(3):
        buffer = io.BytesIO()
        started_s = time.process_time()
        master.save(buffer, format_name, **options)
        least_ms = min(least_ms, 1e3 * (time.process_time() - started_s))
    return score(master, buffer.getvalue()), buffer.tell(), least_ms


def at_score(wanted: float, points: Iterable[tuple[float, float, float]]) -> tuple[float, float]:
    """Bytes and ms where the curve through (score, bytes, ms) has this score; NaN outside it."""
    known = sorted(points)
    for (low, low_bytes, low_ms), (high, high_bytes, high_ms) in itertools.pairwise(known):
        if low <= wanted <= high:
            share = (wanted - low) / (high - low)
            logarithm = (1 - share) * math.log(low_bytes) + share * math.log(high_bytes)
            return math.exp(logarithm), (1 - share) * low_ms + share * high_ms
    return math.nan, math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--encoders", nargs="+", default=DEFAULT)
    parser.add_argument("--photos", type=int, default=5)
    parser.add_argument("--px", type=int, default=1024)
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(photographs_or_samples(arguments.photographs))
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
        large = [path for path in paths if max(Image.open(path).size) >= arguments.px]
        chosen = large[: arguments.photos]
        pool = stack.enter_context(ProcessPoolExecutor())
        print(f"{len(chosen)} photographs at {arguments.px} px: kB and CPU ms an image")
        print("| encoder | " + " | ".join(f"at {wanted:.0f}" for wanted in SCORES) + " |")
        print("|---" * (1 + len(SCORES)) + "|")
        for encoder in arguments.encoders:
            qualities = QUALITIES[encoder.split()[0]]
            jobs = [Job(encoder, q, path, arguments.px) for q in qualities for path in chosen]
            rows = list(pool.map(measure, jobs))
            points = []
            for index in range(len(qualities)):
                part = rows[index * len(chosen) : (index + 1) * len(chosen)]
                score_, bytes_, ms = map(statistics.fmean, zip(*part, strict=True))
                points.append((score_, bytes_, ms))
            cells = [at_score(wanted, points) for wanted in SCORES]
            print(
                f"| {encoder} | "
                + " | ".join(f"{size / 1e3:.1f} kB, {ms:.1f} ms" for size, ms in cells)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
