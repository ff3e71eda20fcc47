"""ImageMagick, one command per image, as many at once as there are cores.

python -m bench.contenders.imagemagick_loop JOB.json | --versions
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from PIL import ImageCms

SUFFIXES = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}
OPTIONS = {"avif": ("heic:speed=8",), "webp": ("webp:method=1",), "jpeg": ()}


def program() -> str:
    """Version 7's command, or version 6's by the name that nothing else has."""
    for name in ("magick", "convert-im6.q16", "convert"):
        found = shutil.which(name)
        if found:
            return found
    raise SystemExit("no ImageMagick on PATH")


def arguments(job: dict[str, Any], srgb_path: str, path: str) -> list[str]:
    """One command: decoded once, every output written from a clone."""
    variants = sorted(job["variants_px"].items(), key=lambda pair: -pair[1])
    # Twice the size wanted: what ImageMagick's own manual advises for jpeg:size.
    hint = 2 * variants[0][1]
    words = ["-define", f"jpeg:size={hint}x{hint}", path, "-auto-orient"]
    words += ["-resize", f"{variants[0][1]}x{variants[0][1]}>"]
    words += ["-profile", srgb_path, "-strip"]
    for variant, px in variants:
        if px != variants[0][1]:
            words += ["-resize", f"{px}x{px}>"]
        for format_name in job["formats"]:
            target = f"{job['output']}/{Path(path).stem}_{variant}.{SUFFIXES[format_name]}"
            words += ["(", "+clone", "-quality", str(job["quality"][format_name])]
            for option in OPTIONS[format_name]:
                words += ["-define", option]
            words += ["-write", target, "+delete", ")"]
    return [*words, "null:"]


def main() -> None:
    command = program()
    if sys.argv[1] == "--versions":
        shown = subprocess.run([command, "-version"], capture_output=True, text=True, check=True)
        formats = subprocess.run(
            [command, "-list", "format"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        codecs = [line.partition("(")[2].rstrip(")") for line in formats if "AVIF*" in line]
        codecs += [line[line.rindex("(") + 1 : -1] for line in formats if " WEBP*" in line]
        print(" ".join([*shown.stdout.split()[1:3], *(f"({codec})" for codec in codecs)]))
        return
    job = json.loads(Path(sys.argv[1]).read_text())
    environment = {**os.environ, "MAGICK_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        srgb = Path(folder) / "srgb.icc"
        srgb.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        start = partial(subprocess.run, check=True, env=environment)
        with ThreadPoolExecutor(job["cores"]) as pool:
            commands = [[command, *arguments(job, str(srgb), path)] for path in job["files"]]
            list(pool.map(start, commands))


if __name__ == "__main__":
    main()
