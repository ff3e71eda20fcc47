"""What a person writes in a minute: Pillow in a pool of processes.

python -m bench.contenders.pillow_loop JOB.json | --versions
"""

import io
import json
import sys
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, ImageCms, ImageOps, features

SUFFIXES = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}


def compress(job: dict[str, Any], path: str) -> None:
    """Every variant of one file in every format."""
    variants = sorted(job["variants_px"].items(), key=lambda pair: -pair[1])
    with Image.open(path) as opened:
        largest_px = variants[0][1]
        opened.draft("RGB", (largest_px, largest_px))
        profile = opened.info.get("icc_profile")
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((largest_px, largest_px), Image.Resampling.LANCZOS)
    if profile:
        ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            inPlace=True,
        )
    image.info.clear()
    for variant, px in variants:
        image.thumbnail((px, px), Image.Resampling.LANCZOS)
        for format_name in job["formats"]:
            target = Path(job["output"]) / f"{Path(path).stem}_{variant}.{SUFFIXES[format_name]}"
            options: dict[str, Any] = {"max_threads": 1} if format_name == "avif" else {}
            image.save(target, quality=job["quality"][format_name], **options)


def main() -> None:
    if sys.argv[1] == "--versions":
        names = ("avif", "webp", "libjpeg_turbo")
        libraries = ", ".join(f"{name} {features.version(name)}" for name in names)
        print(f"Pillow {PIL.__version__}, {libraries}")
        return
    job = json.loads(Path(sys.argv[1]).read_text())
    with Pool(job["cores"]) as pool:
        pool.map(partial(compress, job), job["files"], chunksize=1)
        pool.close()
        pool.join()


if __name__ == "__main__":
    main()
