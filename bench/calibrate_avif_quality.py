"""Which SVT-AV1 quality looks like which aom quality, and what each encoder speed costs.

Quality numbers everywhere in the project are on aom's scale (the guide's numbers were meant for
it). SVT-AV1's scale is another one, so the engine maps `quality` through a table. This script
measures that table: for every aom quality, the SVT quality with the same mean SSIMULACRA2.

    python -m bench.calibrate_avif_quality PHOTOGRAPHS [--part quality|speeds|threads]
"""

import argparse
import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

os.environ.setdefault("SVT_LOG", "1")  # read by the encoder at its first use

import pillow_avif  # noqa: F401
from PIL import Image

from bench.photographs import load_masters, pick_photographs
from bench.scoring import score

AOM_SPEED: Final = 6
AOM_QUALITIES: Final = (1, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 95, 98)
SVT_SPEED: Final = 8
SVT_QUALITIES: Final = (1, 5, 10, 20, 30, 40, 50, 60, 65, 70, 75, 80, 85, 90, 95, 98)
# Each with enough points around the qualities that presets use to see the map hold or fail.
OTHER_SVT_SPEEDS: Final = (7, 9)
OTHER_SVT_QUALITIES: Final = (1, 5, 10, 20, 30, 50, 65, 75, 85, 93)
SPEED_QUALITY: Final = 75
SVT_SPEEDS: Final = (5, 6, 7, 8, 9, 10)
AOM_SPEEDS: Final = (4, 6, 8, 9)


@dataclass(frozen=True)
class Point:
    """One photograph encoded once."""

    size_bytes: int
    encode_cpu_s: float
    score: float


def encode(
    master: Image.Image, codec: str, speed: int, quality: int, max_threads: int = 1
) -> tuple[bytes, float]:
    """The AVIF bytes and the CPU seconds they took."""
    options: dict[str, object] = {"advanced": {"tune": "3"}} if codec == "svt" else {}
    buffer = io.BytesIO()
    started_s = time.process_time()
    master.save(
        buffer,
        "AVIF",
        quality=quality,
        speed=speed,
        codec=codec,
        max_threads=max_threads,
        subsampling="4:2:0",
        **options,
    )
    return buffer.getvalue(), time.process_time() - started_s


class Measurements:
    """Every (photograph, codec, speed, quality) measured once and remembered in a file."""

    def __init__(self, masters: dict[str, Image.Image], cache_path: Path, repeats: int) -> None:
        self._masters = masters
        self._cache_path = cache_path
        self._repeats = repeats
        self._points: dict[str, Point] = {}
        if cache_path.exists():
            stored = json.loads(cache_path.read_text())
            self._points = {key: Point(**point) for key, point in stored.items()}

    def points(self, codec: str, speed: int, quality: int) -> list[Point]:
        """One point per photograph."""
        return [
            self._point(name, master, codec, speed, quality)
            for name, master in self._masters.items()
        ]

    def _point(self, name: str, master: Image.Image, codec: str, speed: int, quality: int) -> Point:
        key = f"{name} {master.width}x{master.height} {codec} s{speed} q{quality}"
        if key not in self._points:
            runs = [encode(master, codec, speed, quality) for _ in range(self._repeats)]
            encoded = runs[0][0]
            # The least of the repeats: other work on the machine only ever adds.
            cpu_s = min(run_cpu_s for _, run_cpu_s in runs)
            self._points[key] = Point(len(encoded), cpu_s, score(master, encoded))
            content = json.dumps({known: asdict(p) for known, p in self._points.items()})
            self._cache_path.write_text(content)
        return self._points[key]

    def mean_score(self, codec: str, speed: int, quality: int) -> float:
        """Mean SSIMULACRA2 over the photographs."""
        return statistics.fmean(p.score for p in self.points(codec, speed, quality))

    def total_bytes(self, codec: str, speed: int, quality: int) -> int:
        """Sum of the photographs' encoded sizes."""
        return sum(p.size_bytes for p in self.points(codec, speed, quality))

    def cpu_ms_per_megapixel(self, codec: str, speed: int, quality: int) -> float:
        """CPU milliseconds per megapixel of the photographs."""
        pixels = sum(master.width * master.height for master in self._masters.values())
        cpu_s = sum(p.encode_cpu_s for p in self.points(codec, speed, quality))
        return cpu_s * 1e9 / pixels


def interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """`y` at `x` on the monotone cubic (Fritsch-Carlson) through rising `xs`, linear outside."""
    steps = [b - a for a, b in itertools.pairwise(xs)]
    slopes = [(b - a) / step for a, b, step in zip(ys, ys[1:], steps, strict=False)]
    tangents = [slopes[0]]
    for left, right, step_left, step_right in zip(
        slopes, slopes[1:], steps, steps[1:], strict=False
    ):
        if left * right <= 0:
            tangents.append(0.0)
            continue
        weight_left = 2 * step_right + step_left
        weight_right = step_right + 2 * step_left
        tangents.append((weight_left + weight_right) / (weight_left / left + weight_right / right))
    tangents.append(slopes[-1])
    if x <= xs[0]:
        return ys[0] + (x - xs[0]) * slopes[0]
    if x >= xs[-1]:
        return ys[-1] + (x - xs[-1]) * slopes[-1]
    at = max(index for index, known in enumerate(xs[:-1]) if known <= x)
    step = steps[at]
    t = (x - xs[at]) / step
    return (
        (1 + 2 * t) * (1 - t) ** 2 * ys[at]
        + t * (1 - t) ** 2 * step * tangents[at]
        + t**2 * (3 - 2 * t) * ys[at + 1]
        + t**2 * (t - 1) * step * tangents[at + 1]
    )


def equal_quality(
    measured: Measurements, target_score: float, speed: int, qualities: Sequence[int]
) -> float:
    """The SVT quality whose mean score is `target_score`."""
    scores = [measured.mean_score("svt", speed, quality) for quality in qualities]
    return interpolate(target_score, scores, [float(quality) for quality in qualities])


def print_quality_map(measured: Measurements) -> dict[int, float]:
    """Print the map at the speed it is made for; return it."""
    sizes = [float(measured.total_bytes("svt", SVT_SPEED, q)) for q in SVT_QUALITIES]
    scores = [measured.mean_score("svt", SVT_SPEED, q) for q in SVT_QUALITIES]
    print(f"\nsvt speed {SVT_SPEED}, tune 3: quality, mean score, bytes, CPU ms per megapixel")
    for quality, mean_score, size_bytes in zip(SVT_QUALITIES, scores, sizes, strict=True):
        cpu_ms = measured.cpu_ms_per_megapixel("svt", SVT_SPEED, quality)
        print(f"  {quality:3d}  {mean_score:6.2f}  {size_bytes:10.0f}  {cpu_ms:6.0f}")
    print(f"\naom speed {AOM_SPEED} against svt speed {SVT_SPEED} at the same mean SSIMULACRA2")
    print("| aom quality | score | bytes | svt quality | bytes | ratio | aom ms/MP |")
    print("|---|---|---|---|---|---|---|")
    table = {}
    for quality in AOM_QUALITIES:
        target = measured.mean_score("aom", AOM_SPEED, quality)
        native = equal_quality(measured, target, SVT_SPEED, SVT_QUALITIES)
        aom_bytes = measured.total_bytes("aom", AOM_SPEED, quality)
        svt_bytes = interpolate(native, [float(q) for q in SVT_QUALITIES], sizes)
        cpu_ms = measured.cpu_ms_per_megapixel("aom", AOM_SPEED, quality)
        print(
            f"| {quality} | {target:.2f} | {aom_bytes} | {native:.1f} | {svt_bytes:.0f} "
            f"| {svt_bytes / aom_bytes:.3f} | {cpu_ms:.0f} |",
            flush=True,
        )
        table[quality] = native
    print("constant:", {quality: round(native) for quality, native in table.items()})
    return table


def print_other_speeds(measured: Measurements, table: dict[int, float]) -> None:
    """Print by how many score points the map misses at SVT's other speeds."""
    print("\nscore at the mapped quality, less aom's score (should stay within 1)")
    print("| aom quality | " + " | ".join(f"svt s{speed}" for speed in OTHER_SVT_SPEEDS) + " |")
    print("|---" * (len(OTHER_SVT_SPEEDS) + 1) + "|")
    for quality, native in table.items():
        target = measured.mean_score("aom", AOM_SPEED, quality)
        cells = []
        for speed in OTHER_SVT_SPEEDS:
            scores = [measured.mean_score("svt", speed, q) for q in OTHER_SVT_QUALITIES]
            xs = [float(q) for q in OTHER_SVT_QUALITIES]
            cells.append(f"{interpolate(float(round(native)), xs, scores) - target:+.2f}")
        print(f"| {quality} | " + " | ".join(cells) + " |", flush=True)


def print_speeds(measured: Measurements, native: int) -> None:
    """Print CPU and bytes of every speed worth a place on the speed scale."""
    base_bytes = measured.total_bytes("aom", AOM_SPEED, SPEED_QUALITY)
    print(f"\nat aom quality {SPEED_QUALITY} (svt quality {native})")
    print("| encoder | CPU ms per megapixel | score | bytes against aom s6 |")
    print("|---|---|---|---|")
    rows = [("aom", speed, SPEED_QUALITY) for speed in AOM_SPEEDS]
    rows += [("svt", speed, native) for speed in SVT_SPEEDS]
    for codec, speed, quality in rows:
        print(
            f"| {codec} s{speed} | {measured.cpu_ms_per_megapixel(codec, speed, quality):.0f} "
            f"| {measured.mean_score(codec, speed, quality):.2f} "
            f"| {measured.total_bytes(codec, speed, quality) / base_bytes:.3f} |",
            flush=True,
        )


def print_threads(masters: dict[str, Image.Image], native: int) -> None:
    """Print whether the bytes depend on the number of threads."""
    print("\nsame bytes at 1, 2 and 4 threads?")
    rows = [("svt", speed, native) for speed in (6, 7, 8, 9)]
    rows += [("aom", speed, SPEED_QUALITY) for speed in (6, 8, 9)]
    for codec, speed, quality in rows:
        same = 0
        for master in masters.values():
            once, _ = encode(master, codec, speed, quality)
            same += all(encode(master, codec, speed, quality, n)[0] == once for n in (2, 4))
        print(f"  {codec} s{speed}: {same} of {len(masters)} photographs", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--longest-px", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--part", choices=("quality", "speeds", "threads", "all"), default="all")
    parser.add_argument("--svt-quality", type=int, help="mapped quality, without the map")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir()) / "image_assets_avif_calibration.json",
    )
    arguments = parser.parse_args()
    masters = load_masters(
        pick_photographs(arguments.photographs, arguments.count), arguments.longest_px
    )
    for name, master in masters.items():
        print(f"{name} {master.width}x{master.height}")
    measured = Measurements(masters, arguments.cache, arguments.repeats)
    native = arguments.svt_quality
    if arguments.part in ("quality", "all"):
        table = print_quality_map(measured)
        print_other_speeds(measured, table)
        native = round(table[SPEED_QUALITY])
    native = native if native is not None else SPEED_QUALITY
    if arguments.part in ("speeds", "all"):
        print_speeds(measured, native)
    if arguments.part in ("threads", "all"):
        print_threads(masters, native)


if __name__ == "__main__":
    main()
