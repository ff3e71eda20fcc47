"""What an image costs as a partition grows: 100 to 100,000 small images, first run and rerun.

python -m bench.scale [--images 100 1000 10000] [--variants 1] [--workers 2] [--set KEY=VALUE]

The pictures are tiny and the one format is JPEG, so what is measured is what the engine does around
the pixels. CPU seconds are to be compared; walls are what a shared machine gave.
"""

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from PIL import Image

from bench.processes import child_environment

TARGET_FLAT: Final = 1.15
TARGET_PARENT_MB: Final = 300
TARGET_PARENT_MS: Final = 1.0
TARGET_CATALOGUE_S: Final = 10.0
TARGET_UNCHANGED_S: Final = 20.0

# In a process of its own, as a run is: the steps that the command line takes, each timed.
_RUN: Final = """
import json, resource, sys, time
from datetime import date
from pathlib import Path
from image_assets.engine.api import new_run_id
from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import load_settings
from image_assets.engine.run import partition
from image_assets.engine.storage.layout import FLAT, resolve_layout

source, output, overrides = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
settings = load_settings()
preset = resolve_preset("throughput", settings, overrides)
partition.check_folders(source, output)
layout = resolve_layout(source, output, FLAT, date(2024, 5, 1), record=True)
job = partition.PartitionJob(
    source=source, output=output, partition_key="2024-05-01", layout=layout, settings=settings,
    preset=preset, variants=settings.variant_names, formats=settings.formats, run_id=new_run_id(),
)
found = {"start_cpu_s": time.process_time()}

def timed(name, step, *arguments):
    wall, cpu = time.perf_counter(), time.process_time()
    value = step(*arguments)
    found[name + "_s"] = found.get(name + "_s", 0.0) + time.perf_counter() - wall
    found[name + "_cpu_s"] = found.get(name + "_cpu_s", 0.0) + time.process_time() - cpu
    return value

plan = timed("catalogue", partition.plan_partition, job)
shards = [timed("shards", partition.compress_shard, job, plan, n) for n in range(plan.shards)]
result = timed("publish", partition.publish_partition, job, plan, shards)
workers = resource.getrusage(resource.RUSAGE_CHILDREN)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
found.update(
    shards=plan.shards,
    workers=plan.max_workers,
    workers_cpu_s=workers.ru_utime + workers.ru_stime,
    stages_cpu_s=result.cpu_s,
    parent_bytes=int(status["VmHWM"].split()[0]) * 1024,
    tree_bytes=result.peak_memory_bytes,
    written=result.counts.written,
    skipped=result.counts.skipped,
)
json.dump(found, open(sys.argv[4], "w"))
"""


def fill(target: Path, count: int, per_folder: int = 5_000) -> None:
    """Fill a folder with `count` JPEGs of 160 x 120 whose bytes differ by a comment."""
    chance = random.Random(4)  # noqa: S311 - pictures
    bodies = []
    for _ in range(16):
        image = Image.effect_noise((160, 120), 40).convert("RGB")
        shade = tuple(chance.randrange(256) for _ in range(3))
        image = Image.blend(image, Image.new("RGB", image.size, shade), 0.7)
        data = io.BytesIO()
        image.save(data, "JPEG", quality=80)
        bodies.append(data.getvalue())
    for index in range(count):
        folder = target / f"{index // per_folder:03d}"
        if index % per_folder == 0:
            folder.mkdir(parents=True)
        comment = f"{index:010d}".encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        body = bodies[index % len(bodies)]
        (folder / f"img_{index:06d}.jpg").write_bytes(body[:2] + segment + body[2:])


def run(source: Path, output: Path, settings: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """One run of the engine in a process of its own; what it took."""
    report = output.with_suffix(".json")
    subprocess.run(
        [sys.executable, "-c", _RUN, str(source), str(output), json.dumps(overrides), str(report)],
        env=child_environment({"IMAGE_ASSETS_SETTINGS": str(settings)}),
        check=True,
    )
    found: dict[str, Any] = json.loads(report.read_text())
    found["wall_s"] = sum(found[f"{step}_s"] for step in ("catalogue", "shards", "publish"))
    found["parent_cpu_s"] = sum(
        found[f"{step}_cpu_s"] for step in ("catalogue", "shards", "publish")
    )
    return found


def _settings(folder: Path, variants: int) -> Path:
    path = folder / "settings.toml"
    tables = "".join(f"[variants.v{n}]\npx = {64 - 8 * n}\n" for n in range(variants))
    path.write_text(f'formats = ["jpeg"]\n{tables}')
    return path


def _line(name: str, images: int, found: dict[str, Any]) -> str:
    per = 1e3 / images
    return (
        f"| {images:,} | {name} | {found['wall_s']:.1f} | {found['catalogue_s']:.2f} "
        f"| {found['shards_s']:.1f} | {found['publish_s']:.2f} "
        f"| {found['catalogue_cpu_s'] * per:.3f} | {found['shards_cpu_s'] * per:.3f} "
        f"| {found['publish_cpu_s'] * per:.3f} | {found['parent_cpu_s'] * per:.3f} "
        f"| {found['workers_cpu_s'] * per:.2f} "
        f"| {(found['parent_cpu_s'] + found['workers_cpu_s']) * per:.2f} "
        f"| {found['parent_bytes'] / 1e6:.0f} | {found['tree_bytes'] / 1e6:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--set", action="append", default=[], dest="pairs", metavar="KEY=VALUE")
    parser.add_argument("--work", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    overrides: dict[str, Any] = {"max_workers": arguments.workers}
    overrides.update(pair.split("=", 1) for pair in arguments.pairs)
    print(
        "| images | run | wall s | catalogue s | shards s | publish s | parent CPU ms per image: "
        "catalogue | shards | publish | all | workers CPU ms | CPU ms in all | parent MB "
        "| tree MB |"
    )
    print("|---" * 14 + "|")
    per_image: dict[int, float] = {}
    with tempfile.TemporaryDirectory(prefix="image_assets_bench_", dir=arguments.work) as folder:
        work = Path(folder)
        settings = _settings(work, arguments.variants)
        for images in arguments.images:
            source, output = work / f"source{images}", work / f"output{images}"
            fill(source, images)
            first = run(source, output, settings, overrides)
            assert first["written"] == images * arguments.variants, first
            print(_line("first", images, first), flush=True)
            per_image[images] = (first["parent_cpu_s"] + first["workers_cpu_s"]) / images
            again = run(source, output, settings, overrides)
            assert again["written"] == 0, again
            assert again["skipped"] == images * arguments.variants, again
            print(_line("unchanged", images, again), flush=True)
            subprocess.run(["rm", "-rf", str(source), str(output)], check=True)
    base = per_image.get(1_000)
    if base:
        for images, cost in per_image.items():
            print(f"{images:,} images: {cost / base:.2f} x the CPU per image of 1,000")
    print(
        f"targets: {TARGET_FLAT} x, parent {TARGET_PARENT_MB} MB and {TARGET_PARENT_MS} ms, "
        f"catalogue {TARGET_CATALOGUE_S:.0f} s, unchanged {TARGET_UNCHANGED_S:.0f} s at 100,000"
    )


if __name__ == "__main__":
    main()
