"""Where SVT-AV1 fails, so that the engine falls back to aom there.

Every case runs in a child process: an encoder that aborts takes only the child with it.

    python -m bench.avif_limits [--part sides|large|modes]
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Final

LARGE_SIZES: Final = (
    (16384, 64),
    (16385, 64),
    (64, 8704),
    (64, 8705),
    (64, 16384),
    (64, 16385),
    (40000, 16),
    (16384, 1024),
)

CHILD: Final = r"""
import io, json, os, sys
os.environ["SVT_LOG"] = "1"
import pillow_avif
import resource
from PIL import Image, ImageChops, ImageStat

def picture(width, height, mode):
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    round_ = Image.radial_gradient("L").resize((width, height))
    if mode == "L":
        return across
    bands = [across, down, ImageChops.invert(across)]
    if mode == "RGBA":
        bands.append(round_)
    if mode == "LA":
        return Image.merge("LA", [across, round_])
    return Image.merge(mode, bands)

case = json.loads(sys.argv[1])
for width, height in case["sizes"]:
    image = picture(width, height, case["mode"])
    buffer = io.BytesIO()
    options = {"advanced": {"tune": "3"}} if case["codec"] == "svt" else {}
    row = {"width_px": width, "height_px": height}
    print(json.dumps({"started": [width, height]}), flush=True)
    try:
        image.save(
            buffer, "AVIF", quality=case["quality"], speed=case["speed"], codec=case["codec"],
            max_threads=1, subsampling=case["subsampling"], **options,
        )
        row["size_bytes"] = len(buffer.getvalue())
        back = Image.open(buffer)
        back.load()
        row["mode"] = back.mode
        if back.size != image.size:
            row["problem"] = f"size {back.size}"
        else:
            wanted = image.convert(back.mode)
            errors = ImageStat.Stat(ImageChops.difference(wanted, back)).mean
            row["mean_error"] = max(errors[:3])
            if back.mode == "RGBA":
                row["alpha_error"] = errors[3]
                mask = wanted.getchannel("A").point(lambda a: 255 if a > 32 else 0)
                shown = ImageStat.Stat(ImageChops.difference(wanted, back), mask).mean
                row["mean_error"] = max(shown[:3])
            if max(errors) > 12:
                row["problem"] = f"picture differs, mean error {errors}"
    except Exception as error:
        row["problem"] = f"{type(error).__name__}: {error}"
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(row), flush=True)
"""


def run_case(
    sizes: Iterable[tuple[int, int]],
    codec: str = "svt",
    speed: int = 8,
    mode: str = "RGB",
    quality: int = 65,
    subsampling: str = "4:2:0",
) -> list[dict[str, object]]:
    """Encode and decode every size in a child; restarted after a size that kills it."""
    todo = [list(size) for size in sizes]
    rows: list[dict[str, object]] = []
    while todo:
        case = json.dumps(
            {
                "sizes": todo,
                "codec": codec,
                "speed": speed,
                "mode": mode,
                "quality": quality,
                "subsampling": subsampling,
            }
        )
        try:
            child = subprocess.run(
                [sys.executable, "-c", CHILD, case], capture_output=True, text=True, timeout=600
            )
            output, death = child.stdout, f"child died, status {child.returncode}"
        except subprocess.TimeoutExpired as expired:
            output = expired.stdout.decode() if isinstance(expired.stdout, bytes) else ""
            death = "no end in 600 s"
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        finished = [line for line in lines if "started" not in line]
        rows += finished
        todo = todo[len(finished) :]
        if todo:
            width, height = todo.pop(0)
            rows.append({"width_px": width, "height_px": height, "problem": death})
    return rows


def describe(rows: list[dict[str, object]]) -> str:
    """Problems by kind, with the sizes they hit."""
    bad = [row for row in rows if "problem" in row]
    errors = [float(str(row["mean_error"])) for row in rows if "mean_error" in row]
    worst = f", worst mean error {max(errors):.1f}" if errors else ""
    if not bad:
        return f"{len(rows)} sizes fine{worst}"
    kinds = Counter(str(row["problem"]).split(", mean")[0] for row in bad)
    text = f"{len(rows) - len(bad)} of {len(rows)} sizes fine{worst}"
    for kind, count in kinds.most_common():
        hit = [
            f"{row['width_px']}x{row['height_px']}"
            for row in bad
            if str(row["problem"]).startswith(kind)
        ]
        text += f"\n    {count} x {kind}: {' '.join(hit[:60])}{' ...' if len(hit) > 60 else ''}"
    return text


def show_sides() -> None:
    """Every small side, square and against 1,024 px, at each speed in use."""
    for speed in (5, 6, 7, 8, 9, 10):
        sizes = [(side, side) for side in range(1, 65)]
        sizes += [(side, 100) for side in range(1, 65)] + [(100, side) for side in range(1, 65)]
        print(f"svt s{speed}, sides 1 to 64: {describe(run_case(sizes, speed=speed))}", flush=True)
    sizes = [(width, height) for width in range(1, 17) for height in range(1, 17)]
    print(f"svt s8, all of 1..16 x 1..16: {describe(run_case(sizes))}", flush=True)
    print(f"aom s6, all of 1..16 x 1..16: {describe(run_case(sizes, 'aom', 6))}", flush=True)
    for quality in (0, 5, 97, 99, 100):
        sizes = [(side, side) for side in (4, 5, 16, 33, 63, 64, 65, 255)]
        print(f"svt s8 quality {quality}: {describe(run_case(sizes, quality=quality))}", flush=True)
    odd = [(side, side + 3) for side in (65, 127, 129, 255, 511, 767, 1023)]
    odd += [(4, 1024), (1024, 4), (5, 4000), (4000, 5), (64, 8000), (8000, 64), (1023, 681)]
    for speed in (7, 8, 9):
        print(f"svt s{speed}, odd and thin: {describe(run_case(odd, speed=speed))}", flush=True)


def show_modes() -> None:
    """Alpha, grey and 4:4:4."""
    sizes = [(side, side) for side in (*range(1, 20), 33, 63, 64, 65, 257)]
    for codec in ("svt", "aom"):
        for mode in ("RGBA", "L", "LA"):
            rows = run_case(sizes, codec, 8, mode)
            decoded = Counter(str(row.get("mode")) for row in rows)
            alpha = [float(str(row["alpha_error"])) for row in rows if "alpha_error" in row]
            print(
                f"{codec} s8 {mode}: {describe(rows)}; decoded as {dict(decoded)}; "
                f"alpha error {max(alpha, default=0):.1f}",
                flush=True,
            )
    for subsampling in ("4:4:4", "4:2:2", "4:0:0"):
        rows = run_case([(257, 129)], subsampling=subsampling)
        print(f"svt s8 {subsampling}: {describe(rows)}", flush=True)


def show_large() -> None:
    """The largest sides."""
    for codec, speed in (("svt", 8), ("svt", 9), ("aom", 9)):
        for size in LARGE_SIZES:
            rows = run_case([size], codec, speed)
            print(f"{codec} s{speed} {size[0]}x{size[1]}: {describe(rows)} {rows}", flush=True)


def main() -> None:
    """Print what fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--part", choices=("sides", "modes", "large", "all"), default="all")
    part = parser.parse_args().part
    os.environ["SVT_LOG"] = "1"
    if part in ("sides", "all"):
        show_sides()
    if part in ("modes", "all"):
        show_modes()
    if part in ("large", "all"):
        show_large()


if __name__ == "__main__":
    main()
