"""What a day of a backfill costs around its images, and whether later days cost more.

python -m bench.backfill [--days 8] [--one-process 120] [--images 4]

First each day in a process of its own, as a backfill's runs are, with the CPU seconds split into
imports, instance, Dagster's own work and ours. Then many days in one process on one instance, to
see what grows with their number.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

from bench.processes import REPOSITORY, child_environment
from bench.scale import fill

FIRST_DAY: Final = date(2023, 1, 1)

# One process: its phases, then one dictionary a day. Ours is what the ops call in the engine.
_RUN: Final = """
import json, os, resource, sys, time
marks = [("interpreter", time.process_time())]
def mark(name):
    marks.append((name, time.process_time()))
import dagster as dg
mark("import dagster")
from image_assets.defs import assets, compress
from image_assets import definitions
mark("import image_assets")
ours = [0.0]
depth = [0]
def timed(function):
    def call(*arguments, **named):
        depth[0] += 1
        began = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            depth[0] -= 1
            if not depth[0]:
                ours[0] += time.process_time() - began
    return call
for module in (assets, compress):
    for name in ("build_catalogue", "suspects_of", "find_result", "plan_partition",
                 "compress_shard", "publish_partition", "resolve_config", "resolve_run_config",
                 "variant_metadata", "format_metadata", "catalogue_metadata",
                 "performance_metadata"):
        if hasattr(module, name):
            setattr(module, name, timed(getattr(module, name)))
days = []
with dg.DagsterInstance.get() as instance:
    job = definitions.defs.resolve_job_def("nightly_compression")
    mark("instance and job")
    for day in json.loads(sys.argv[1]):
        ours[0] = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        workers = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = job.execute_in_process(
            instance=instance, partition_key=day,
            run_config={"ops": {"compress": {"config": {"max_workers": 2}}}},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole = time.process_time() - cpu
        days.append({
            "events": len(result.all_events), "wall_s": time.perf_counter() - wall,
            "ours": ours[0], "Dagster's run": whole - ours[0],
            "workers": after.ru_utime + after.ru_stime - workers.ru_utime - workers.ru_stime,
        })
mark("all runs")
phases = {name: at - before for (name, at), (_, before) in zip(marks, [("", 0.0), *marks])}
json.dump({"phases": phases, "days": days}, open(sys.argv[2], "w"))
"""


def run(days: list[str], environment: dict[str, str], work: Path) -> dict[str, Any]:
    """Run some days in one process; its phases and what each day took, CPU seconds."""
    report = work / "report.json"
    subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(days), str(report)],
        env=child_environment(environment),
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=work,
    )
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=8)
    parser.add_argument("--one-process", type=int, default=120)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--work", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="image_assets_bench_", dir=arguments.work) as folder:
        work = Path(folder)
        home = work / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
        count = 1 + arguments.days + arguments.one_process
        keys = [(FIRST_DAY + timedelta(days=n)).isoformat() for n in range(count)]
        for key in keys:
            fill(work / "source" / key, arguments.images)
        environment = {
            "DAGSTER_HOME": str(home),
            "IMAGE_ASSETS_SOURCE": str(work / "source"),
            "IMAGE_ASSETS_OUTPUT": str(work / "output"),
        }
        run(keys[:1], environment, work)  # makes the storage and the bytecode
        single = [run([key], environment, work) for key in keys[1 : 1 + arguments.days]]
        print(f"| CPU s of a day in a process of its own, {arguments.images} images | median |")
        print("|---|---|")
        total = 0.0
        for name in single[0]["phases"]:
            if name == "all runs":
                continue
            value = statistics.median(found["phases"][name] for found in single)
            total += value
            print(f"| {name} | {value:.2f} |")
        for name in ("Dagster's run", "ours", "workers"):
            value = statistics.median(found["days"][0][name] for found in single)
            total += value
            print(f"| {name} | {value:.2f} |")
        print(f"| all | {total:.2f} |")
        events = {found["days"][0]["events"] for found in single}
        print(f"events: {events}", flush=True)
        if not arguments.one_process:
            return
        days = run(keys[1 + arguments.days :], environment, work)["days"]
        tenth = max(1, len(days) // 10)
        print(f"{len(days)} days in one process, CPU s of a day, the first tenth and the last:")
        for name in ("Dagster's run", "ours", "workers"):
            first, last = (
                statistics.median(day[name] for day in part)
                for part in (days[1 : 1 + tenth], days[-tenth:])
            )
            print(f"{name}: {first:.3f}, {last:.3f} ({last / first:.2f} x)")


if __name__ == "__main__":
    main()
