"""Each preset's speed, bytes and score, in one run with aom at the guide's literal settings.

Scores are SSIMULACRA2 of the `full` rendition. "Whole" is against the photograph decoded in full
and brought to size by LANCZOS: what a person loses. "Encoder" is against the picture that the
encoder was given (a lossless master, `keep_masters`): what the encoder loses.

python -m bench.presets [PHOTOGRAPHS] [--images 6] [--presets balanced ...]
"""

import argparse
import contextlib
import io
import os
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("SVT_LOG", "1")  # read by the encoder at its first use

import pillow_avif  # noqa: F401
import pyarrow.parquet
from PIL import Image

from bench.photographs import list_photographs, to_srgb
from bench.processes import Finished, compress, undisturbed
from bench.scoring import as_bmp, score
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)
from image_assets.engine.planning.presets import (
    PRESET_NAMES,
    ResolvedPreset,
    parse_set,
    resolve_preset,
)
from image_assets.engine.planning.settings import load_settings

SUFFIXES: Final = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}
TIMED_PER_SCORED: Final = 5
"""Photographs timed for each one scored: scoring takes ten times as long as compressing."""


@dataclass(slots=True)
class Avif:
    """AVIF of the scored photographs by one encoder."""

    encoder: str
    cpu_s: list[float] = field(default_factory=list)
    full_bytes: list[int] = field(default_factory=list)
    whole_scores: list[float] = field(default_factory=list)
    encoder_scores: list[float] = field(default_factory=list)

    def print_row(self, preset: str) -> None:
        """One line of the table."""
        print(
            f"| {preset} | {self.encoder} | {1e3 * statistics.fmean(self.cpu_s):.0f} "
            f"| {statistics.fmean(self.full_bytes) / 1e3:.0f} "
            f"| {statistics.fmean(self.encoder_scores):.1f} "
            f"| {statistics.fmean(self.whole_scores):.1f} |",
            flush=True,
        )


def read_outcomes(output: Path) -> list[dict[str, Any]]:
    """One row per rendition of a run."""
    rows: list[dict[str, Any]] = []
    for path in (output / "tables" / "outcomes").rglob("renditions-*.parquet"):
        rows += pyarrow.parquet.read_table(path).to_pylist()
    return rows


def encode_by_aom(picture: Image.Image, quality: int, speed: int) -> tuple[bytes, float]:
    """AVIF as the guide says, on one thread, and its CPU seconds."""
    buffer = io.BytesIO()
    started_s = time.process_time()
    picture.save(buffer, "AVIF", quality=quality, speed=speed, codec="aom", max_threads=1)
    return buffer.getvalue(), time.process_time() - started_s


def compress_afresh(source: Path, output: Path, *settings: str) -> Finished:
    """Compress into an empty folder."""
    shutil.rmtree(output, ignore_errors=True)
    return compress(source, output, *settings)


def compare(
    preset: ResolvedPreset,
    source: Path,
    paths: Sequence[Path],
    output: Path,
    arguments: Sequence[str],
    *,
    literal: bool,
) -> tuple[dict[str, float], list[Avif]]:
    """Score the preset's renditions: mean whole score by format, and both AVIF encoders."""
    compress(source, output, *arguments, "--set", "keep_masters=true")
    rows = read_outcomes(output)
    day = next((output / "renditions").iterdir())
    avif_rows = [row for row in rows if row["format"] == "avif"]
    full_row = next(row for row in avif_rows if row["variant"] == "full")
    ours = Avif(
        f"{full_row['encoder']} s{full_row['speed']} q{full_row['native_quality']}, as we map it"
    )
    aom = Avif(f"aom s{preset.avif_speed} q{full_row['quality']}, the guide literally")
    whole: dict[str, list[float]] = defaultdict(list)
    for path in paths:
        with Image.open(path) as opened:
            original = to_srgb(opened)
        given = {}
        for variant in ("full", "thumbnail"):
            with Image.open(day / path.name / f"{variant}.master.webp") as opened:
                given[variant] = opened.convert("RGB")
        ideal = original.resize(given["full"].size, Image.Resampling.LANCZOS)
        for format_name, suffix in SUFFIXES.items():
            rendition = (day / path.name / f"full.{suffix}").read_bytes()
            whole[format_name].append(score(ideal, rendition))
            if format_name == "avif":
                ours.full_bytes.append(len(rendition))
                ours.encoder_scores.append(score(given["full"], rendition))
        whole["resize alone"].append(score(ideal, as_bmp(given["full"])))
        mine = [row for row in avif_rows if row["source_key"] == path.name]
        ours.cpu_s.append(sum(row["encode_cpu_ms"] for row in mine) / 1e3)
        if literal:
            quality = preset.variant("full").quality["avif"]
            data, cpu_s = encode_by_aom(given["full"], quality, preset.avif_speed)
            small_quality = preset.variant("thumbnail").quality["avif"]
            _, small_cpu_s = encode_by_aom(given["thumbnail"], small_quality, preset.avif_speed)
            aom.cpu_s.append(cpu_s + small_cpu_s)
            aom.full_bytes.append(len(data))
            aom.encoder_scores.append(score(given["full"], data))
            aom.whole_scores.append(score(ideal, data))
    ours.whole_scores = whole["avif"]
    means = {format_name: statistics.fmean(scores) for format_name, scores in whole.items()}
    return means, [ours, aom] if literal else [ours]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=6, help="photographs to score")
    parser.add_argument("--presets", nargs="+", default=list(PRESET_NAMES), choices=PRESET_NAMES)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as for image-assets"
    )
    parser.add_argument("--no-literal", action="store_true", help="leave out aom")
    arguments = parser.parse_args()
    settings = load_settings()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        timed, scored = work / "timed", work / "scored"
        fill_with_camera_jpegs(photographs, timed, arguments.images * TIMED_PER_SCORED)
        scored.mkdir()
        for path in list_photographs(timed)[::TIMED_PER_SCORED]:
            (scored / path.name).hardlink_to(path)
        paths = list_photographs(scored)
        print(f"{len(list_photographs(timed))} JPEGs of 3 to 12 MP timed, {len(paths)} scored")
        print(
            "\n| preset | images/s | CPU s/image | KB/image | AVIF score | WebP score | JPEG score "
            "| resize alone | others |\n|---|---|---|---|---|---|---|---|---|"
        )
        encoders: dict[str, list[Avif]] = {}
        kilobytes: dict[str, dict[tuple[str, str], float]] = {}
        for name in arguments.presets:
            preset = resolve_preset(name, settings, parse_set(arguments.set))
            passed = [
                "--preset",
                name,
                *(word for pair in arguments.set for word in ("--set", pair)),
            ]
            finished = undisturbed(partial(compress_afresh, timed, work / "timed_output", *passed))
            report = finished.report
            images = report["images"]
            kilobytes[name] = {
                (row["variant"], row["format"]): row["output_bytes"] / images / 1e3
                for row in report["by_format_variant"]
            }
            means, encoders[name] = compare(
                preset, scored, paths, work / name, passed, literal=not arguments.no_literal
            )
            print(
                f"| {name} | {images / finished.wall_s:.2f} | {finished.cpu_s / images:.3f} "
                f"| {report['output_bytes'] / images / 1e3:.0f} | {means['avif']:.1f} "
                f"| {means['webp']:.1f} | {means['jpeg']:.1f} | {means['resize alone']:.1f} "
                f"| {finished.other_share:.1%} |",
                flush=True,
            )
        print(
            "\nAVIF of the scored photographs, both variants in CPU, `full` in bytes and score\n"
            "| preset | encoder | CPU ms/image | KB | encoder score | whole score |\n"
            "|---|---|---|---|---|---|"
        )
        for name, rows in encoders.items():
            for row in rows:
                row.print_row(name)
        pairs = [(v, f) for v in settings.variant_names for f in settings.formats]
        print("\nKB per rendition\n| preset | " + " | ".join(f"{v} {f}" for v, f in pairs) + " |")
        print("|---" * (len(pairs) + 1) + "|")
        for name, by_pair in kilobytes.items():
            print(f"| {name} | " + " | ".join(f"{by_pair[pair]:.1f}" for pair in pairs) + " |")


if __name__ == "__main__":
    main()
