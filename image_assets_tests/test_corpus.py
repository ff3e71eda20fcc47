"""Whole folders of photographs: the rendered samples always, real ones where they are at hand."""

from pathlib import Path
from typing import Final

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from image_assets.engine.api import FolderResult, compress_folder
from image_assets.engine.source_key import from_path
from image_assets.samples import make_samples
from image_assets_tests.libraries import listing
from image_assets_tests.processes import REPOSITORY

PHOTOGRAPHS: Final = REPOSITORY.parent / "shared" / "corpus" / "photos"
EXTENSIONS: Final = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg"}
ORIENTATION: Final = 0x0112
LONGEST_PX: Final = {"full": 1024, "thumbnail": 150}


def _check(source: Path, output: Path, result: FolderResult) -> None:
    """Every photograph has its six renditions, and each is what it should be."""
    paths = sorted(path for path in source.rglob("*") if path.is_file())
    assert result.not_compressed == []
    assert result.counts.images == len(paths)
    assert result.counts.written == len(paths) * 6
    rows = {(row["source_key"], row["variant"], row["format"]): row for row in result.rows}
    root = output / "renditions" / result.partitions[0].partition_key
    found = {path for path in root.rglob("*") if path.is_file()}
    for path in paths:
        key = from_path(path.relative_to(source).as_posix())
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ORIENTATION, 1) >= 5:
                width, height = height, width
            image.draft("RGB", (1024, 1024))
            upright = _small(ImageOps.exif_transpose(image))
        for variant, longest in LONGEST_PX.items():
            scale = min(1.0, longest / max(width, height))
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            for format_name, extension in EXTENSIONS.items():
                rendition = root / key / f"{variant}{extension}"
                found.remove(rendition)
                row = rows[key, variant, format_name]
                with Image.open(rendition) as image:
                    image.load()
                    assert image.size == size == (row["width_px"], row["height_px"]), rendition
                    assert format_name != "jpeg" or image.mode in ("L", "RGB"), rendition
                    assert image.getexif().get(ORIENTATION, 1) == 1
                    difference = ImageChops.difference(_small(image), upright)
                # Colour profiles and the scale at which JPEG is decoded move it a little.
                assert max(ImageStat.Stat(difference).mean) < 20, rendition
                assert row["size_bytes"] == rendition.stat().st_size
                smaller = rendition.stat().st_size < path.stat().st_size
                assert smaller or row["larger_than_source"], rendition
    assert found == set(), "nothing else lies there"


def _small(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    ground = Image.new("RGBA", image.size, "#ffffff")
    flat = Image.alpha_composite(ground, image).convert("RGB")
    return flat.resize((16, 16), Image.Resampling.BOX)


def test_every_sample_photograph_has_all_its_renditions(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make_samples(source, count=10)  # these show most of the variety

    result = compress_folder(source, tmp_path / "output")

    _check(source, tmp_path / "output", result)


@pytest.mark.skipif(
    not PHOTOGRAPHS.is_dir(), reason=f"no photographs at {PHOTOGRAPHS}; the samples stand in"
)
def test_every_real_photograph_has_all_its_renditions_and_its_folder_is_untouched(
    tmp_path: Path,
) -> None:
    before = listing(PHOTOGRAPHS)

    result = compress_folder(PHOTOGRAPHS, tmp_path, preset="throughput")

    _check(PHOTOGRAPHS, tmp_path, result)
    again = compress_folder(PHOTOGRAPHS, tmp_path, preset="throughput")
    assert (again.counts.written, again.counts.skipped) == (0, result.counts.written)
    assert listing(PHOTOGRAPHS) == before
