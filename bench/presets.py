"""Each preset's speed, bytes and score, in one run with aom at the guide's literal settings.

python -m bench.presets [PHOTOGRAPHS] [--images 6] [--presets balanced ...]
"""

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

os.environ.setdefault("SVT_LOG", "1")  # read by the encoder at its first use

import pillow_avif  # noqa: F401
from PIL import Image

from bench.photographs import list_photographs, to_srgb
from bench.processes import compress
from bench.scoring import score
from bench.source_folders import (
    add_photographs_argument,
    fill_with_camera_jpegs,
    photographs_or_samples,
)
from image_assets.engine.presets import PRESET_NAMES, resolve_preset
from image_assets.engine.settings import load_settings

SUFFIXES: Final = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}


@dataclass(slots=True)
class Literal:
    """AVIF by aom at the guide's own settings."""

    cpu_s: float = 0.0
    bytes_by_variant: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    scores: list[float] = field(default_factory=list)


def score_full(rendition: Path, original: Image.Image) -> tuple[float, Image.Image]:
    """The score of a `full` rendition against the original at its size, and that master."""
    with Image.open(rendition) as image:
        size = image.size
    master = original.resize(size, Image.Resampling.LANCZOS)
    return score(master, rendition.read_bytes()), master


def encode_literally(
    literal: Literal, master: Image.Image, variant: str, quality: int, speed: int
) -> bytes:
    """Encode as the guide says, one thread, and add to the sums."""
    buffer = io.BytesIO()
    started_s = time.process_time()
    master.save(buffer, "AVIF", quality=quality, speed=speed, codec="aom", max_threads=1)
    literal.cpu_s += time.process_time() - started_s
    literal.bytes_by_variant[variant] += len(buffer.getvalue())
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--presets", nargs="+", default=list(PRESET_NAMES), choices=PRESET_NAMES)
    parser.add_argument("--no-literal", action="store_true", help="leave out aom, most of the time")
    arguments = parser.parse_args()
    settings = load_settings()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench_")))
        source = work / "source"
        fill_with_camera_jpegs(photographs, source, arguments.images * 4)
        # Every fourth: sizes and scenes both vary, and runs are long enough for the pool's start.
        chosen = list_photographs(source)[:: max(1, 4)]
        print(f"{arguments.images * 4} JPEGs for speed and bytes, {len(chosen)} of them scored")
        print(
            "| preset | images/s | CPU s/image | AVIF CPU ms/image | renditions KB/image "
            "| score AVIF | score WebP | score JPEG |"
        )
        print("|---|---|---|---|---|---|---|---|")
        bytes_lines: list[str] = []
        for name in arguments.presets:
            preset = resolve_preset(name, settings, {})
            output = work / name
            report = compress(source, output, "--preset", name).report
            rows = {
                (row["format"], row["variant"]): row
                for row in report["by_format_variant"]
                if row["format"] in SUFFIXES
            }
            images = report["images"]
            scores: dict[str, list[float]] = defaultdict(list)
            literal = Literal()
            day = next((output / "renditions").iterdir())
            for path in chosen:
                with Image.open(path) as opened:
                    original = to_srgb(opened)
                for format_name, suffix in SUFFIXES.items():
                    rendition = day / path.name / f"full.{suffix}"
                    value, master = score_full(rendition, original)
                    scores[format_name].append(value)
                if arguments.no_literal:
                    continue
                quality = preset.variant("full").quality["avif"]
                data = encode_literally(literal, master, "full", quality, preset.avif_speed)
                literal.scores.append(score(master, data))
                with Image.open(day / path.name / "thumbnail.jpg") as small:
                    thumbnail = master.resize(small.size, Image.Resampling.LANCZOS)
                quality = preset.variant("thumbnail").quality["avif"]
                encode_literally(literal, thumbnail, "thumbnail", quality, preset.avif_speed)
            means = {name: statistics.fmean(values) for name, values in scores.items()}
            avif_ms = avif_cpu_ms(output, images)
            print(
                f"| {name} | {report['images_per_s']:.2f} | {report['cpu_s'] / images:.3f} "
                f"| {avif_ms:.0f} | {report['output_bytes'] / images / 1e3:.0f} "
                f"| {means['avif']:.1f} | {means['webp']:.1f} | {means['jpeg']:.1f} |",
                flush=True,
            )
            kilobytes = {pair: row["output_bytes"] / images / 1e3 for pair, row in rows.items()}
            bytes_lines.append(f"| {name} | " + " | ".join(
                f"{kilobytes[format_name, variant]:.1f}"
                for variant in settings.variant_names for format_name in settings.formats
            ) + " |")  # fmt: skip
            if literal.scores:
                ours = sum((day / p.name / "full.avif").stat().st_size for p in chosen)
                per_image = len(chosen)
                print(
                    f"| {name}, AVIF by aom s{preset.avif_speed} |  |  "
                    f"| {1e3 * literal.cpu_s / per_image:.0f} "
                    f"| full AVIF {ours / per_image / 1e3:.0f} (ours) against "
                    f"{literal.bytes_by_variant['full'] / per_image / 1e3:.0f} "
                    f"| {statistics.fmean(literal.scores):.1f} |  |  |",
                    flush=True,
                )
        heads = [f"{v} {f}" for v in settings.variant_names for f in settings.formats]
        print("\nKB per rendition\n| preset | " + " | ".join(heads) + " |")
        print("|---" * (len(heads) + 1) + "|")
        print("\n".join(bytes_lines))


def avif_cpu_ms(output: Path, images: int) -> float:
    """CPU milliseconds of AVIF encoding per image, from the run's rows."""
    import pyarrow.parquet

    total_ms = 0.0
    for path in (output / "tables" / "outcomes").rglob("renditions-*.parquet"):
        for row in pyarrow.parquet.read_table(path).to_pylist():
            if row["format"] == "avif":
                total_ms += row["encode_cpu_ms"]
    return total_ms / images


if __name__ == "__main__":
    main()
