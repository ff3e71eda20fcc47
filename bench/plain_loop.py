"""The limit: the engine's own per-image function in a plain loop, one process, no pool.

Its CPU seconds of decode, colour, resize and encode are the work that cannot be avoided; the whole
program is judged by how close it comes to them. Prints one JSON object; `bench.limit` runs it.

    python -m bench.plain_loop SOURCE OUTPUT PRESET [--part INDEX/COUNT]
"""

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Final

from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.planning.machine import inspect_machine
from image_assets.engine.planning.plan import make_plan
from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import load_settings
from image_assets.engine.run.partition import PartitionJob, recipe_digests, render_setup
from image_assets.engine.storage.layout import FLAT, Layout
from image_assets.engine.workers import memory
from image_assets.engine.workers.render import RenderSetup, SourceTask, render_source

STAGES: Final = ("decode", "colour", "resize", "encode")
EVERY_STAGE: Final = ("read", *STAGES, "write")
_DAY: Final = date(2015, 1, 1).isoformat()
_GRANT_BYTES: Final = 4_000_000_000


def make_setup(source: Path, output: Path, preset_name: str) -> RenderSetup:
    """What a run of the preset tells its workers."""
    settings = load_settings()
    preset = resolve_preset(preset_name, settings, {})
    job = PartitionJob(
        source=source,
        output=output,
        partition_key=_DAY,
        layout=Layout(FLAT, _DAY),
        settings=settings,
        preset=preset,
        variants=settings.variant_names,
        formats=settings.formats,
        run_id="plain-loop",
    )
    sizes_bytes = [path.stat().st_size for path in source.iterdir()]
    plan = make_plan(preset, inspect_machine(), sizes_bytes)
    return render_setup(job, plan, recipe_digests(job))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("preset")
    parser.add_argument("--part", default="0/1", help="every COUNTth image, from INDEX on")
    arguments = parser.parse_args()
    index, count = map(int, arguments.part.split("/"))
    memory.limit_arenas()  # as a worker does
    prepare_pillow()
    setup = make_setup(arguments.source, arguments.output, arguments.preset)
    pairs = tuple(setup.recipe_digests)
    times_s = dict.fromkeys(EVERY_STAGE, 0.0)
    images = 0
    for path in sorted(arguments.source.iterdir())[index::count]:
        task = SourceTask(path.name, path.stat().st_size, pairs)
        result = render_source(task, setup, _GRANT_BYTES)
        assert all(row["status"] == "written" for row in result.outcomes), result.outcomes
        images += 1
        for stage in EVERY_STAGE:
            times_s[stage] += result.source.get(f"{stage}_cpu_ms", 0.0) / 1e3
    print(json.dumps({"images": images, "cpu_s": times_s}))


if __name__ == "__main__":
    main()
