"""The stated cost of an image against what it takes: classes of formats, modes and encodings.

Each class is rendered in a process of its own, as a worker does it: once small, so that codecs are
loaded, then large. Measured is the largest resident memory over that before (VmHWM), and the
largest growth of private memory (VmData), which `RLIMIT_DATA` limits. An estimate is right between
0.8 and 1.5 of what is measured.

    python -m bench.cost [--megapixels 12] [--preset balanced] [--only WORD]
    python -m bench.cost --scans        # what a further, empty scan of a progressive JPEG costs
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

from bench.processes import child_environment

RIGHT: Final = (0.8, 1.5)
SMALL_PX: Final = (320, 240)
# Below this the base of codecs and interpreter drowns the image.
MATTERS_BYTES: Final = 20_000_000


def picture(width: int, height: int, mode: str, seed: int = 0) -> Any:
    """A picture with slopes and grain; cheap to make at any size."""
    import numpy as np
    from PIL import Image

    tile = np.random.default_rng(seed).integers(0, 60, (256, 256, 3), dtype=np.uint8)
    rows = np.linspace(20, 190, height, dtype=np.uint8)[:, None, None]
    pixels = np.tile(tile, (-(-height // 256), -(-width // 256), 1))[:height, :width] + rows
    image = Image.fromarray(pixels.astype(np.uint8), "RGB")
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * np.uint16(257))
    if mode == "F":
        return image.convert("L").convert("F")
    if mode == "RGBA":
        image.putalpha(image.getchannel("R"))
        return image
    return image.convert(mode)


def _save(format_name: str, mode: str = "RGB", **options: Any) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        buffer = io.BytesIO()
        picture(width, height, mode).save(buffer, format_name, **options)
        return buffer.getvalue()

    return make


def _moving(format_name: str, mode: str = "RGB", **options: Any) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        # Frames of a tenth of the pixels each, as many as make the whole.
        scale = 10**-0.5
        size = max(8, int(width * scale)), max(8, int(height * scale))
        frames = [picture(*size, mode, seed) for seed in range(6)]
        buffer = io.BytesIO()
        frames[0].save(buffer, format_name, save_all=True, append_images=frames[1:], **options)
        return buffer.getvalue()

    return make


def _heif(width: int, height: int) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return _save("HEIF", quality=60)(width, height)


def _jpeg_xl(width: int, height: int) -> bytes:
    import pillow_jxl  # noqa: F401 - registers itself

    return _save("JXL", effort=1)(width, height)


def _graphic(width: int, height: int) -> bytes:
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for index in range(400):
        x, y = index * 7919 % width, index * 104_729 % height
        colour = ("black", "navy", "crimson", "gold")[index % 4]
        draw.rectangle((x, y, x + width // 20, y + height // 60), outline=colour, fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _turned(width: int, height: int) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return _save("PNG", compress_level=1, exif=exif)(width, height)


def _display_p3(width: int, height: int) -> bytes:
    from image_assets.engine.pixels.profiles import display_p3_profile

    return _save("PNG", compress_level=1, icc_profile=display_p3_profile())(width, height)


def _wide_tiff(mode: str, kind: str, **options: Any) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        import numpy as np
        import pyvips

        pixels = np.asarray(picture(width, height, mode)).astype(kind)
        whole = pyvips.Image.new_from_array(pixels)
        if mode == "LA":
            whole = whole.copy(interpretation="grey16")
        return bytes(whole.tiffsave_buffer(**options))

    return make


def _pfm(mode: str) -> Callable[[int, int], bytes]:
    def make(width: int, height: int) -> bytes:
        import numpy as np

        floats = np.asarray(picture(width, height, mode)).astype("<f4") / np.float32(255)
        magic = b"PF" if mode == "RGB" else b"Pf"
        return magic + f"\n{width} {height}\n-1.0\n".encode() + floats[::-1].tobytes()

    return make


CLASSES: Final[dict[str, Callable[[int, int], bytes]]] = {
    "jpeg": _save("JPEG", quality=90),
    "jpeg grey": _save("JPEG", "L", quality=90),
    "jpeg cmyk": _save("JPEG", "CMYK", quality=90),
    "jpeg 4:4:4": _save("JPEG", quality=95, subsampling=0),
    "jpeg progressive": _save("JPEG", quality=90, progressive=True),
    "jpeg progressive 4:4:4": _save("JPEG", quality=95, subsampling=0, progressive=True),
    "png": _save("PNG", compress_level=1),
    "png rgba": _save("PNG", "RGBA", compress_level=1),
    "png grey": _save("PNG", "L", compress_level=1),
    "png palette": _save("PNG", "P", compress_level=1),
    "png 1 bit": _save("PNG", "1", compress_level=1),
    "png 16 bit grey": _save("PNG", "I;16", compress_level=1),
    "png turned": _turned,
    "png graphic": _graphic,
    "png display p3": _display_p3,
    "webp": _save("WEBP", quality=80, method=0),
    "webp rgba": _save("WEBP", "RGBA", quality=80, method=0),
    "webp lossless": _save("WEBP", lossless=True, quality=0, method=0),
    "gif": _save("GIF"),
    "tiff": _save("TIFF"),
    "tiff lzw": _save("TIFF", compression="tiff_lzw"),
    "tiff cmyk": _save("TIFF", "CMYK"),
    "tiff lab": _save("TIFF", "LAB"),
    "tiff float": _save("TIFF", "F"),
    "tiff 16 bit grey": _save("TIFF", "I;16"),
    "tiff float colour": _wide_tiff("RGB", "float32"),
    "tiff float colour lzw": _wide_tiff("RGB", "float32", compression="lzw", predictor="float"),
    "tiff double rgba": _wide_tiff("RGBA", "float64"),
    "tiff 32 bit colour deflate": _wide_tiff("RGB", "uint32", compression="deflate", tile=True),
    "tiff 16 bit grey alpha": _wide_tiff("LA", "uint16"),
    "tiff double grey": _wide_tiff("L", "float64"),
    "pfm": _pfm("RGB"),
    "pfm grey": _pfm("L"),
    "avif": _save("AVIF", speed=10, quality=60),
    "avif rgba": _save("AVIF", "RGBA", speed=10, quality=60),
    "bmp": _save("BMP"),
    "heif": _heif,
    "jxl": _jpeg_xl,
    "gif moving": _moving("GIF"),
    "webp moving": _moving("WEBP", method=0),
    "webp moving rgba": _moving("WEBP", "RGBA", method=0),
    "apng moving": _moving("PNG", compress_level=1),
    "avif moving": _moving("AVIF", speed=10),
}


def measure(folder: Path, preset: str, pairs: list[str]) -> dict[str, float]:
    """Render ``small`` and then ``large`` of a folder; return bytes. Runs in its own process."""
    from image_assets.engine.pixels.codecs import prepare_pillow
    from image_assets.engine.planning.presets import resolve_preset
    from image_assets.engine.planning.settings import load_settings
    from image_assets.engine.run.partition import (
        PartitionJob,
        plan_partition,
        recipe_digests,
        render_setup,
    )
    from image_assets.engine.storage.layout import FLAT, resolve_layout
    from image_assets.engine.workers import memory
    from image_assets.engine.workers.render import SourceTask, render_source

    memory.limit_arenas()
    prepare_pillow()
    settings = load_settings()
    source, output = folder / "source", folder / "output"
    day = date(2015, 6, 1)
    job = PartitionJob(
        source=source,
        output=output,
        partition_key=day.isoformat(),
        layout=resolve_layout(source, output, FLAT, day, record=False),
        settings=settings,
        preset=resolve_preset(preset, settings, {"max_pixels": 10**9}),
        variants=settings.variant_names,
        formats=settings.formats,
        run_id="bench",
    )
    wanted = tuple(pair for pair in job.wanted() if not pairs or pair[1] in pairs)
    setup = render_setup(job, plan_partition(job), recipe_digests(job))

    def render(name: str) -> dict[str, Any]:
        size = (source / name).stat().st_size
        result = render_source(SourceTask(name, size, wanted), setup, 10**12)
        bad = [row for row in result.outcomes if row["status"] != "written"]
        if bad:
            raise SystemExit(f"{bad[0]['reason']}: {bad[0]['message']}")
        return result.source

    render("small")
    memory.collect_and_trim()
    memory.reset_peak()
    base, data, largest = memory.resident_bytes(), _data_bytes(), [0]
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.001):
            largest[0] = max(largest[0], _data_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    row = render("large")
    ended.set()
    watcher.join()
    peak = memory.peak_resident_bytes()
    return {
        "stated": row["cost_bytes"],
        "resident": peak - base,
        "data": max(0, largest[0] - data),
        "ms": row["processing_ms"],
        "file": (source / "large").stat().st_size,
    }


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def measured(name: str, megapixels: float, preset: str, pairs: list[str]) -> dict[str, float]:
    """Measure a class in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="image_assets_bench_") as work:
        source = Path(work) / "source"
        source.mkdir()
        width = int((megapixels * 1e6 * 4 / 3) ** 0.5)
        (source / "small").write_bytes(CLASSES[name](*SMALL_PX))
        (source / "large").write_bytes(CLASSES[name](width, width * 3 // 4))
        child = subprocess.run(
            [sys.executable, "-m", "bench.cost", "--child", work, "--preset", preset]
            + [word for pair in pairs for word in ("--format", pair)],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode:
        return {"failed": 1, "why": (child.stderr.strip().splitlines() or ["?"])[-1]}  # type: ignore[dict-item]
    found: dict[str, float] = json.loads(child.stdout)
    return found


def empty_scans(count: int, width: int, height: int) -> Iterator[bytes]:
    """Yield progressive JPEGs of one flat colour, with more and more scans that change nothing."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (width, height), 128).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    yield data
    yield data[:-2] + scan * count + b"\xff\xd9"


def print_scans() -> None:
    """Print what a further scan of a 100 MP JPEG costs."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    times = []
    added = 10
    for data in empty_scans(added, 11_600, 8_700):
        with Image.open(io.BytesIO(data)) as image:
            image.draft(None, (1024, 768))
            began = time.perf_counter()
            image.load()
            times.append(time.perf_counter() - began)
    print(
        f"100 MP, grey: {times[0]:.2f} s with its own scans, {(times[1] - times[0]) / added:.3f} s "
        "for each further empty one"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--only", action="append", default=[], help="classes with this word")
    parser.add_argument("--format", action="append", default=[], help="output formats; default all")
    parser.add_argument("--scans", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(measure(arguments.child, arguments.preset, arguments.format)))
        return
    if arguments.scans:
        print_scans()
        return
    print(f"{arguments.megapixels:g} MP, preset {arguments.preset}")
    print("| class | file MB | stated MB | resident MB | stated / resident | VmData MB | ms |")
    print("|---|---|---|---|---|---|---|")
    for name in CLASSES:
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        found = measured(name, arguments.megapixels, arguments.preset, arguments.format)
        if "failed" in found:
            print(f"| {name} | {found['why']} | | | | | |", flush=True)
            continue
        share = found["stated"] / max(1, found["resident"])
        matters = found["resident"] >= MATTERS_BYTES
        mark = "" if not matters or RIGHT[0] <= share <= RIGHT[1] else " (!)"
        print(
            f"| {name} | {found['file'] / 1e6:.1f} | {found['stated'] / 1e6:.0f} "
            f"| {found['resident'] / 1e6:.0f} | {share:.2f}{mark} "
            f"| {found['data'] / 1e6:.0f} | {found['ms']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
