"""Are graphics told from photographs, what does it cost, and what does it bring?

FOLDER has two folders, `photo` and `graphic`. Every picture is classified and timed; those taken
for graphics are encoded as such and as photographs, and both are scored against what the encoders
were given (on white where it is transparent). Photographs encode to the same bytes either way.

python -m bench.graphics FOLDER [--px 1024] [--preset balanced] [--formats avif,webp,jpeg,jxl]
"""

import argparse
import dataclasses
import io
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from bench.photographs import list_photographs
from bench.scoring import score
from image_assets.engine.pixels.choice import GRAPHIC, EncodePolicy
from image_assets.engine.pixels.codecs import codec_versions, prepare_pillow
from image_assets.engine.pixels.colour import flatten, to_srgb
from image_assets.engine.pixels.content import classify
from image_assets.engine.pixels.encode import encode_smallest, list_encodings, prepare
from image_assets.engine.pixels.metadata import NO_METADATA
from image_assets.engine.pixels.opening import decode, open_source
from image_assets.engine.pixels.resize import resize, variant_size
from image_assets.engine.pixels.stated_colour import read_colour
from image_assets.engine.planning.presets import ResolvedPreset, resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings

WHITE = "#ffffff"


class Made(NamedTuple):
    """One rendition."""

    encoder: str
    size_bytes: int
    score: float
    cpu_ms: float


class Decision(NamedTuple):
    """What a picture was taken for, and the CPU time of that and of the whole image."""

    name: str
    content: str
    decide_ms: float
    whole_ms: float


def make(
    image: Image.Image, format_name: str, quality: int, policy: EncodePolicy, content: str
) -> Made:
    """Encode a variant as the engine does, and score it."""
    prepared = prepare(image, format_name, policy)
    ways = list_encodings(prepared.size, format_name, quality, policy, content)
    with tempfile.NamedTemporaryFile() as file:
        started_s = time.process_time()
        kept = encode_smallest(file.name, prepared, ways, NO_METADATA)
        cpu_ms = 1e3 * (time.process_time() - started_s)
        data = Path(file.name).read_bytes()
    name = f"{kept.encoder}{' lossless' if kept.lossless else ''}"
    return Made(name, len(data), scored(image, data), cpu_ms)


def scored(image: Image.Image, data: bytes) -> float:
    """SSIMULACRA2 of a rendition against its picture, both on white."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        shown = flatten(opened.convert("RGBA") if "A" in opened.mode else opened, WHITE)
    buffer = io.BytesIO()
    shown.convert("RGB").save(buffer, "BMP")
    return score(flatten(image, WHITE).convert("RGB"), buffer.getvalue())


def look_at(path: Path, px: int) -> tuple[Image.Image, str, float, float]:
    """The variant, what it was taken for, CPU ms of that, and CPU ms of it and all before."""
    data = path.read_bytes()
    started_s = time.process_time()
    image, header = open_source(data)
    decoded = decode(image, header, px).image  # graphics are rarely JPEGs at a reduced scale
    source = to_srgb(decoded, read_colour(image, data)).image
    decided_s = time.process_time()
    content = classify(source)
    decide_ms = 1e3 * (time.process_time() - decided_s)
    variant = resize(source, variant_size(*source.size, px))
    return variant, content, decide_ms, 1e3 * (time.process_time() - started_s)


def policy_of(preset: ResolvedPreset) -> EncodePolicy:
    """What a preset asks of encoders, one thread each."""
    return EncodePolicy(
        preset.avif_speed, 1, preset.webp_method, WHITE, codec_versions(), graphics=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--px", type=int, default=1024)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--formats", default="avif,webp,jpeg,jxl")
    arguments = parser.parse_args()
    prepare_pillow()
    settings = dataclasses.replace(
        load_settings(DEFAULT_SETTINGS_PATH), formats=tuple(arguments.formats.split(","))
    )
    preset = resolve_preset(arguments.preset, settings)
    quality, policy = preset.variant("full").quality, policy_of(preset)
    decisions: dict[str, list[Decision]] = defaultdict(list)
    totals: dict[str, dict[str, list[Made]]] = defaultdict(lambda: defaultdict(list))
    print("| picture | format | as a photograph: bytes, score, CPU ms | as a graphic |")
    print("|---|---|---|---|")
    for label in ("photo", "graphic"):
        for path in list_photographs(arguments.folder / label):
            image, content, decide_ms, whole_ms = look_at(path, arguments.px)
            for name in settings.formats:
                if content != GRAPHIC:
                    whole_ms += encode_only(image, name, quality[name], policy)
                    continue
                off = make(image, name, quality[name], policy, "photograph")
                on = make(image, name, quality[name], policy, content)
                whole_ms += on.cpu_ms
                totals[name]["off"].append(off)
                totals[name]["on"].append(on)
                print(f"| {path.name} | {name} | {cell(off)} | {cell(on)} |", flush=True)
            decisions[label].append(Decision(path.name, content, decide_ms, whole_ms))
    for name, both in totals.items():
        off_bytes = sum(made.size_bytes for made in both["off"])
        on_bytes = sum(made.size_bytes for made in both["on"])
        print(
            f"| all {len(both['on'])} | {name} | {mean(both['off'])} | {mean(both['on'])}, "
            f"{on_bytes / off_bytes:.2f} of the bytes |"
        )
    print("\n| labelled | taken for photographs | for graphics | decision, CPU ms (most) | share |")
    print("|---|---|---|---|---|")
    for label, found in decisions.items():
        graphics = [d.name for d in found if d.content == GRAPHIC]
        times = [d.decide_ms for d in found]
        share = sum(times) / sum(d.whole_ms for d in found)
        print(
            f"| {label} | {len(found) - len(graphics)} | {len(graphics)} "
            f"| {statistics.fmean(times):.1f} ({max(times):.1f}) | {share:.2%} |"
        )
        odd = [d.name for d in found if (d.content == GRAPHIC) != (label == "graphic")]
        if odd:
            print(f"  otherwise than labelled: {', '.join(odd)}")


def encode_only(image: Image.Image, name: str, quality: int, policy: EncodePolicy) -> float:
    """CPU ms of encoding as a photograph."""
    prepared = prepare(image, name, policy)
    with tempfile.NamedTemporaryFile() as file:
        started_s = time.process_time()
        ways = list_encodings(prepared.size, name, quality, policy)
        encode_smallest(file.name, prepared, ways, NO_METADATA)
        return 1e3 * (time.process_time() - started_s)


def cell(made: Made) -> str:
    return f"{made.size_bytes / 1e3:.1f} kB, {made.score:.1f}, {made.cpu_ms:.0f} ({made.encoder})"


def mean(made: list[Any]) -> str:
    return (
        f"{sum(m.size_bytes for m in made) / 1e3:.0f} kB, "
        f"{statistics.fmean(m.score for m in made):.1f}, "
        f"{statistics.fmean(m.cpu_ms for m in made):.0f}"
    )


if __name__ == "__main__":
    main()
