"""Folders of source photographs, built for a measurement and removed after it."""

import argparse
import contextlib
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from bench.photographs import list_photographs
from image_assets.samples import make_samples

MEGAPIXELS: Final = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)


def add_photographs_argument(parser: argparse.ArgumentParser) -> None:
    """Add the folder of photographs; rendered samples take its place where none is given."""
    parser.add_argument(
        "photographs",
        type=Path,
        nargs="?",
        help="folder of photographs; default: rendered samples",
    )


@contextlib.contextmanager
def photographs_or_samples(folder: Path | None) -> Iterator[Path]:
    """`folder`, or a temporary one with samples."""
    if folder is not None:
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="image_assets_bench_") as temporary:
        make_samples(Path(temporary), count=12)
        yield Path(temporary)


def _largest_first(folder: Path) -> list[Path]:
    """Photographs of at least 6 MP, or the larger half where fewer than four are."""
    megapixels = {}
    for path in list_photographs(folder):
        with Image.open(path) as image:
            megapixels[path] = image.width * image.height / 1e6
    large = [path for path, size in megapixels.items() if size >= 6]
    if len(large) >= 4:
        return large
    ordered = sorted(megapixels, key=lambda path: -megapixels[path])
    return ordered[: max(4, len(ordered) // 2)]


def _odd_multiple(side_px: float, step_px: int) -> int:
    """The odd multiple of `step_px` next to `side_px`: at a step of 1 no decode scale fits."""
    return (2 * round((side_px / step_px - 1) / 2) + 1) * step_px


def fill_with_camera_jpegs(
    photographs: Path,
    target: Path,
    count: int,
    *,
    originals: int | None = None,
    side_step_px: int = 16,
    sizes_mp: Sequence[float] = MEGAPIXELS,
) -> None:
    """Fill `target` with JPEGs of 3 to 12 MP, as a camera would have written them.

    They are the larger photographs of `photographs` at several sizes, quality 92, with their
    colour profile and EXIF; smaller ones are enlarged where there are no others. Scenes and sizes
    are spread evenly over any part of the row of files.

    Args:
        photographs: Where the originals are.
        target: Folder to fill.
        count: How many files.
        originals: How many different photographs; default is all that are large enough.
        side_step_px: Sides are odd multiples of it. Cameras write multiples of 16.
        sizes_mp: Megapixels, in turn.
    """
    target.mkdir(parents=True, exist_ok=True)
    chosen = _largest_first(photographs)[:originals]
    for index in range(count):
        turn, place = divmod(index, len(chosen))
        # Any few in a row differ in scene and size; seven turns meet every pair of them.
        megapixels = sizes_mp[(place + turn) % len(sizes_mp)]
        path = chosen[place]
        with Image.open(path) as image:
            # The next seven turns are a little smaller, so that no two files are the same.
            scale = (1 - turn // len(sizes_mp) / 50) * (
                megapixels * 1e6 / (image.width * image.height)
            ) ** 0.5
            size = (
                _odd_multiple(image.width * scale, side_step_px),
                _odd_multiple(image.height * scale, side_step_px),
            )
            # JPEG decodes straight to a smaller scale: enough for a source of a benchmark.
            image.draft("RGB", size)
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(
                target / f"{index:04d}_{megapixels:.0f}mp_{path.stem}.jpg",
                "JPEG",
                quality=92,
                subsampling="4:2:0",
                exif=image.info.get("exif", b""),
                icc_profile=image.info.get("icc_profile"),
            )


def fill_with_tiny_jpegs(photographs: Path, target: Path, count: int) -> None:
    """Fill `target` with `count` different JPEGs of 120 x 90: the work is ours, not the codecs'."""
    target.mkdir(parents=True, exist_ok=True)
    chance = random.Random(20150101)  # noqa: S311 - places of crops
    scenes = []
    for path in list_photographs(photographs)[:8]:
        with Image.open(path) as image:
            image.draft("RGB", (1200, 900))
            scenes.append(image.convert("RGB").resize((600, 450)))
    for index in range(count):
        left, top = chance.randrange(480), chance.randrange(360)
        crop = scenes[index % len(scenes)].crop((left, top, left + 120, top + 90))
        crop.save(target / f"{index:05d}.jpg", "JPEG", quality=85)
