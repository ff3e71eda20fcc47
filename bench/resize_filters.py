"""What a resize filter and a scale of decoding cost and bring: CPU, and score and bytes after all.

python -m bench.resize_filters [PHOTOGRAPHS] [--px 1024]
"""

import argparse
import contextlib
import io
import statistics
import time
from typing import Final

from PIL import Image

from bench.scoring import as_bmp, score
from bench.source_folders import add_photographs_argument, photographs_or_samples
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.pixels.jpeg import decode_jpeg
from image_assets.engine.pixels.resize import variant_size

WAYS: Final = (
    ("8/8 lanczos", 8, Image.Resampling.LANCZOS),
    ("4/8 lanczos", 4, Image.Resampling.LANCZOS),
    ("4/8 bicubic", 4, Image.Resampling.BICUBIC),
    ("3/8 lanczos", 3, Image.Resampling.LANCZOS),
    ("3/8 bicubic", 3, Image.Resampling.BICUBIC),
    ("3/8 hamming", 3, Image.Resampling.HAMMING),
)
ENCODERS: Final = (
    (
        "AVIF",
        {
            "codec": "svt",
            "quality": 58,
            "speed": 9,
            "subsampling": "4:2:0",
            "max_threads": 1,
            "advanced": {"tune": "4"},
        },
    ),
    ("JPEG", {"quality": 80}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--px", type=int, default=1024)
    arguments = parser.parse_args()
    prepare_pillow()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(photographs_or_samples(arguments.photographs))
        paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".jpeg"))
        rows: dict[str, list[list[float]]] = {name: [] for name, _, _ in WAYS}
        for path in paths:
            data = path.read_bytes()
            with Image.open(path) as image:
                width, height = image.size
                if max(width, height) * 3 < 8 * arguments.px:
                    continue
                size = variant_size(width, height, arguments.px)
                master = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            for name, eighths, resampling in WAYS:
                started_s = time.process_time()
                decoded = decode_jpeg(data, "RGB", eighths)
                assert decoded is not None, path
                decoded_s = time.process_time()
                box = (0, 0, width * eighths / 8, height * eighths / 8)
                made = decoded.image.resize(size, resampling, box=box)
                row = [decoded_s - started_s, time.process_time() - decoded_s]
                row = [1e3 * seconds for seconds in row] + [score(master, as_bmp(made))]
                for format_name, options in ENCODERS:
                    buffer = io.BytesIO()
                    made.save(buffer, format_name, **options)
                    row += [score(master, buffer.getvalue()), buffer.tell() / 1e3]
                rows[name].append(row)
        print("| way | decode ms | resize ms | score | AVIF score | kB | JPEG score | kB |")
        print("|---|---|---|---|---|---|---|---|")
        for name, measured in rows.items():
            means = [statistics.fmean(column) for column in zip(*measured, strict=True)]
            print(f"| {name} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")


if __name__ == "__main__":
    main()
