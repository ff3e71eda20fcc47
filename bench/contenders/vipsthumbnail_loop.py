"""libvips' `vipsthumbnail`: decoded once to plain TIFF, every output from these.

python -m bench.contenders.vipsthumbnail_loop JOB.json | --versions
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

SUFFIXES = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}
OPTIONS = {"avif": ",effort=1", "webp": ",effort=1", "jpeg": ",optimize_coding"}


def commands(job: dict[str, Any], files: list[str], held: Path) -> list[list[str]]:
    """What makes all outputs of `files`, in order; `held` is an empty folder."""
    made = []
    sources = files
    for variant, px in sorted(job["variants_px"].items(), key=lambda pair: -pair[1]):
        # It turns a file upright unasked, and again where the tag is kept; `>` never enlarges.
        shrink = ["--size", f"{px}x{px}>"]
        (held / variant).mkdir()
        keep = ["--export-profile", "srgb", "-o", str(held / variant / "%s.tif[strip]")]
        made.append(["vipsthumbnail", *sources, *shrink, *keep])
        sources = [str(held / variant / f"{Path(path).stem}.tif") for path in files]
        for format_name in job["formats"]:
            options = f"[Q={job['quality'][format_name]},strip{OPTIONS[format_name]}]"
            target = f"{job['output']}/%s_{variant}.{SUFFIXES[format_name]}{options}"
            made.append(["vipsthumbnail", *sources, *shrink, "-o", target])
    return made


def run_part(job: dict[str, Any], index: int) -> None:
    """One of as many parts as there are cores."""
    files = job["files"][index :: job["cores"]]
    environment = {**os.environ, "VIPS_CONCURRENCY": "1"}
    if not files:
        return
    with tempfile.TemporaryDirectory() as folder:
        for command in commands(job, files, Path(folder)):
            subprocess.run(command, check=True, env=environment)


def main() -> None:
    if sys.argv[1] == "--versions":
        command = ["vipsthumbnail", "--vips-version"]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        return
    job = json.loads(Path(sys.argv[1]).read_text())
    with ThreadPoolExecutor(job["cores"]) as pool:
        list(pool.map(partial(run_part, job), range(job["cores"])))


if __name__ == "__main__":
    main()
