"""Which encoder, and which of its options, serve kept animations?

Bytes and CPU time of a whole animation, brought to one mean SSIMULACRA2 over every fifth frame.

    python -m bench.animation [ANIMATIONS ...] [--part avif|webp|threads|memory]

ANIMATIONS are GIF, WebP or APNG files to add to the three that the script draws.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageSequence

from bench.scoring import score
from image_assets.samples import make_samples

Frames = list[Image.Image]

FRAMES: Final = 20
SIZE: Final = (480, 320)
SCORED_EVERY: Final = 5
TARGET: Final = 85.0

AVIF: Final[dict[str, dict[str, Any]]] = {
    "svt s8 iq": {"codec": "svt", "speed": 8, "advanced": {"tune": "3"}},
    "svt s8": {"codec": "svt", "speed": 8},
    "svt s8 vq": {"codec": "svt", "speed": 8, "advanced": {"tune": "0"}},
    "svt s8 4 levels": {"codec": "svt", "speed": 8, "advanced": {"hierarchical-levels": "3"}},
    "svt s7 4 levels": {"codec": "svt", "speed": 7, "advanced": {"hierarchical-levels": "3"}},
    "svt s8 3 levels, no lookahead": {
        "codec": "svt",
        "speed": 8,
        "advanced": {"hierarchical-levels": "2", "lookahead": "0"},
    },
    "aom s6": {"codec": "aom", "speed": 6},
    "aom s8": {"codec": "aom", "speed": 8},
    "aom s9": {"codec": "aom", "speed": 9},
}
WEBP: Final[dict[str, dict[str, Any]]] = {
    "m4": {"method": 4},
    "m4 mixed": {"method": 4, "allow_mixed": True},
    "m4 minimize": {"method": 4, "minimize_size": True},
    "m4 minimize mixed": {"method": 4, "minimize_size": True, "allow_mixed": True},
    "m4 kmax 1000": {"method": 4, "kmin": 999, "kmax": 1000},
    "m4 kmax 1000 mixed": {"method": 4, "kmin": 999, "kmax": 1000, "allow_mixed": True},
    "m4 lossless": {"method": 4, "lossless": True},
    "m2 mixed": {"method": 2, "allow_mixed": True},
    "m6 mixed": {"method": 6, "allow_mixed": True},
}


def pan(folder: Path) -> Frames:
    """A camera that pans over a photograph."""
    paths = make_samples(folder, count=2)
    image = Image.open(sorted(p for p in folder.rglob("*.jp*g"))[0] if not paths else paths[0])
    scene = image.convert("RGB").resize((SIZE[0] * 5 // 4, SIZE[1] * 5 // 4))
    return [
        scene.crop((4 * step, 2 * step, 4 * step + SIZE[0], 2 * step + SIZE[1]))
        for step in range(FRAMES)
    ]


def drawing(_: Path) -> Frames:
    """A diagram in which something moves: flat colours, hard edges."""
    frames = []
    for step in range(FRAMES):
        frame = Image.new("RGB", SIZE, "#f4f4f0")
        draw = ImageDraw.Draw(frame)
        for row in range(8):
            draw.text((20, 20 + 34 * row), f"Line {row} of a screen that is recorded", "#223344")
            draw.line((20, 34 + 34 * row, 460, 34 + 34 * row), "#c0c8d0")
        draw.rectangle((20 + 18 * step, 120, 100 + 18 * step, 180), "#d03030", "#201010", 3)
        draw.ellipse((300, 30 + 10 * step, 340, 70 + 10 * step), "#3060c0")
        frames.append(frame)
    return frames


def sprite(folder: Path) -> Frames:
    """The same pan, seen through a soft hole that moves; clear elsewhere."""
    frames = []
    hole = Image.radial_gradient("L").point(lambda value: max(0, min(255, 2 * (160 - value))))
    for step, frame in enumerate(pan(folder)):
        alpha = Image.new("L", SIZE)
        alpha.paste(hole, (5 * step, 2 * step))
        frame.putalpha(alpha)
        frames.append(frame)
    return frames


def read(path: Path) -> Frames:
    """Every frame of a file, composed."""
    with Image.open(path) as image:
        frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)][:FRAMES]
    opaque = all(frame.getchannel("A").getextrema() == (255, 255) for frame in frames)
    return [frame.convert("RGB") for frame in frames] if opaque else frames


def encode(frames: Frames, format_name: str, options: dict[str, Any]) -> tuple[bytes, float]:
    """The file, and the CPU seconds it took."""
    buffer = io.BytesIO()
    started = time.process_time()
    frames[0].save(
        buffer, format_name, save_all=True, append_images=frames[1:], duration=70, **options
    )
    return buffer.getvalue(), time.process_time() - started


def mean_score(frames: Frames, data: bytes) -> float:
    """Mean SSIMULACRA2 of every fifth frame, on white."""
    scores = []
    with Image.open(io.BytesIO(data)) as image:
        count = getattr(image, "n_frames", 1)
        for index in range(0, min(count, len(frames)), SCORED_EVERY):
            image.seek(index)
            buffer = io.BytesIO()
            on_white(image).save(buffer, "BMP")
            scores.append(score(on_white(frames[index]), buffer.getvalue()))
    return float(np.mean(scores))


def on_white(image: Image.Image) -> Image.Image:
    """Without alpha."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def at_target(points: Sequence[tuple[float, int, float]]) -> tuple[float, float]:
    """Bytes and CPU seconds at the target score, from (score, bytes, seconds)."""
    points = sorted(points)
    scores = [point[0] for point in points]
    size = float(np.exp(np.interp(TARGET, scores, [np.log(point[1]) for point in points])))
    return size, float(np.interp(TARGET, scores, [point[2] for point in points]))


def compare(
    animations: dict[str, Frames],
    format_name: str,
    candidates: dict[str, dict[str, Any]],
    qualities: Callable[[str], tuple[int, ...]],
    common: dict[str, Any],
) -> None:
    """Print a table of the candidates."""
    for name, frames in animations.items():
        print(f"\n{format_name}, {name}: {len(frames)} frames of {frames[0].size}")
        megapixels = len(frames) * frames[0].width * frames[0].height / 1e6
        for label, options in candidates.items():
            points = []
            for quality in qualities(label):
                data, seconds = encode(
                    frames, format_name, {**common, **options} | {"quality": quality}
                )
                points.append((mean_score(frames, data), len(data), seconds))
            size, seconds = at_target(points)
            spread = " ".join(f"{p[0]:.0f}:{p[1] / 1000:.0f}k" for p in points)
            print(
                f"  {label:30} {size / 1000:8.1f} kB at {TARGET:g}, "
                f"{1000 * seconds / megapixels:6.0f} CPU ms/MP   ({spread})",
                flush=True,
            )


def show_threads(animations: dict[str, Frames]) -> None:
    """Whether bytes depend on threads, on the clock or on neither."""
    for label, options in AVIF.items():
        frames = next(iter(animations.values()))
        found = set()
        for threads in (1, 1, 2, 4):
            time.sleep(1.1)  # what is measured: a file that holds its second differs in the next
            data, _ = encode(
                frames,
                "AVIF",
                {"quality": 60, "max_threads": threads, "autotiling": False, **options},
            )
            found.add((threads, len(data), hashlib.sha256(data).hexdigest()[:8]))
        print(label, sorted(found), flush=True)


MEMORY_CHILD: Final = r"""
import io, json, os, sys
os.environ["SVT_LOG"] = "1"
import pillow_avif
from PIL import Image
from image_assets.engine.workers.memory import limit_arenas
limit_arenas()
format_name, mode, width, height, count, options = json.loads(sys.argv[1])
class Moving(Image.Image):
    n_frames, is_animated = count, True
    def seek(self, frame):
        if frame >= count: raise EOFError
        base = Image.linear_gradient("L").rotate(frame).resize((width, height))
        self.im = Image.merge(mode, [base] * len(mode)).im
    def tell(self): return 0
moving = Moving(); moving._size = (width, height); moving._mode = mode
moving.seek(0)
def peak():
    status = open("/proc/self/status").read()
    return int(status.partition("VmHWM:")[2].split()[0])
before = peak()
moving.save(io.BytesIO(), format_name, save_all=True, quality=60, duration=50, **options)
print((peak() - before) // 1024)
"""

_AVIF_COMMON: Final = {"subsampling": "4:2:0", "max_threads": 1, "autotiling": False}
_SVT: Final = {
    "codec": "svt",
    "speed": 8,
    "advanced": {"hierarchical-levels": "2", "lookahead": "0"},
    **_AVIF_COMMON,
}
STREAMED: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "webp RGBA m4 mixed": ("WEBP", "RGBA", {"method": 4, "allow_mixed": True}),
    "svt s5 RGB": ("AVIF", "RGB", {**_SVT, "speed": 5}),
    "svt s8 RGB": ("AVIF", "RGB", _SVT),
    "svt s8 RGBA": ("AVIF", "RGBA", _SVT),
    "svt s8 RGB, 2 threads": ("AVIF", "RGB", {**_SVT, "max_threads": 2}),
    "svt s8 RGB, default levels": ("AVIF", "RGB", {"codec": "svt", "speed": 8, **_AVIF_COMMON}),
    "aom s6 RGB": ("AVIF", "RGB", {"codec": "aom", "speed": 6, **_AVIF_COMMON}),
}


def show_memory() -> None:
    """Peak memory of encoding a stream of frames, none of which is kept by us."""
    for label, (format_name, mode, options) in STREAMED.items():
        for width, height, count in (
            (256, 192, 60),
            (512, 384, 60),
            (1024, 768, 20),
            (1024, 768, 60),
        ):
            case = json.dumps([format_name, mode, width, height, count, options])
            child = subprocess.run(
                [sys.executable, "-c", MEMORY_CHILD, case],
                capture_output=True,
                text=True,
                check=True,
            )
            peak = child.stdout.strip()
            print(f"{label}: {width} x {height}, {count} frames: {peak} MiB", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("animations", type=Path, nargs="*")
    parser.add_argument(
        "--part", choices=("avif", "webp", "threads", "memory", "all"), default="all"
    )
    arguments = parser.parse_args()
    os.environ["SVT_LOG"] = "1"
    import tempfile

    import pillow_avif  # noqa: F401 - registers itself

    with tempfile.TemporaryDirectory() as folder:
        animations = {make.__name__: make(Path(folder)) for make in (pan, drawing, sprite)}
    animations |= {path.name: read(path) for path in arguments.animations}
    part = arguments.part
    if part in ("avif", "all"):
        common = {"subsampling": "4:2:0", "max_threads": 1, "autotiling": False}
        compare(animations, "AVIF", AVIF, lambda _: (35, 55, 75), common)
    if part in ("webp", "all"):
        compare(
            animations,
            "WEBP",
            WEBP,
            lambda label: (100,) if "lossless" in label else (50, 75, 92),
            {},
        )
    if part in ("threads", "all"):
        show_threads(animations)
    if part in ("memory", "all"):
        show_memory()


if __name__ == "__main__":
    main()
