"""Optional codecs: what is read and written with their plugins, and what a row says without."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.engine.api import FolderResult, compress_folder
from image_assets.engine.pixels.codecs import (
    PLUGINS,
    codec_versions,
    load_decoder,
    optional_decoders,
    plugin_version,
)
from image_assets.engine.planning.settings import Settings, VariantSetting
from image_assets_tests.photographs import encode_photograph, picture
from image_assets_tests.processes import REPOSITORY, run_command

SETTINGS = Settings((VariantSetting("full"),), ("avif", "webp", "jpeg", "jxl"))
SETTINGS_FILE = 'formats = ["avif", "webp", "jpeg", "jxl"]\n[variants.full]\n'

# Python imports it at its start, in the command and in its workers alike.
BLOCKED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pillow_heif", "_pillow_heif", "pillow_jxl"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""
BROKEN = "raise ImportError('libheif.so.1: cannot open shared object file')\n"


def compress(source: Path, output: Path, **overrides: object) -> FolderResult:
    """One worker: the sources are few and small."""
    overrides = {"max_workers": 1, "avif_speed": 10, **overrides}
    return compress_folder(source, output, settings=SETTINGS, overrides=overrides)


def rows_of(result: FolderResult, key: str) -> dict[str, dict[str, Any]]:
    return {row["format"]: row for row in result.rows if row["source_key"] == key}


def save(folder: Path, name: str, image: Image.Image, format_name: str, **options: Any) -> None:
    load_decoder("HEIF")
    load_decoder("JXL")
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, format_name, **options)


@pytest.fixture(params=["absent", "broken"])
def without_plugins(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Environment of a child that has no optional plugin, or one that cannot be loaded."""
    folder = tmp_path / "path"
    folder.mkdir()
    if request.param == "absent":
        (folder / "sitecustomize.py").write_text(BLOCKED)
    else:
        for name in ("pillow_heif", "pillow_jxl"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(BROKEN)
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS_FILE)
    return {
        "PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}",
        "IMAGE_ASSETS_SETTINGS": str(settings),
    }


def test_the_development_setup_has_the_plugins() -> None:
    assert optional_decoders() == ("HEIF", "JXL")
    assert codec_versions()["libjxl"] == plugin_version("JXL")
    assert all(plugin_version(name)[0].isdigit() for name in PLUGINS)


def test_heic_and_jpeg_xl_are_read_and_jpeg_xl_is_written(tmp_path: Path) -> None:
    source = tmp_path / "source"
    image = picture((120, 80))
    save(source, "a.heic", image, "HEIF", quality=90)
    save(source, "b.jxl", image, "JXL", quality=95)
    result = compress(source, tmp_path / "output")
    assert result.not_compressed == []
    for key in ("a.heic", "b.jxl"):
        rows = rows_of(result, key)
        assert {row["status"] for row in rows.values()} == {"written"}
        assert rows["jxl"]["encoder"] == "libjxl"
        folder = tmp_path / "output" / "renditions" / result.partitions[0].partition_key / key
        for name in ("full.avif", "full.webp", "full.jpg", "full.jxl"):
            with Image.open(folder / name) as rendition:
                difference = np.asarray(rendition.convert("RGB")).astype(int) - np.asarray(image)
            assert np.abs(difference).mean() < 8, (key, name)
    again = compress(source, tmp_path / "output")
    assert (again.counts.written, again.counts.skipped) == (0, 8)


def test_without_the_plugins_their_sources_and_renditions_are_rows(
    tmp_path: Path, without_plugins: dict[str, str]
) -> None:
    source, output, summary = tmp_path / "source", tmp_path / "output", tmp_path / "s.json"
    save(source, "a.heic", picture((60, 40)), "HEIF")
    save(source, "b.jxl", picture((60, 40)), "JXL")
    save(source, "c.jpg", picture((60, 40)), "JPEG")
    done = run_command("compress", source, output, "--json", summary, extra=without_plugins)
    assert done.returncode == 0, done.stderr
    rows = _rows(output)
    for key, extra in (("a.heic", "heic"), ("b.jxl", "jxl")):
        for row in rows[key].values():
            assert (row["status"], row["reason"]) == ("rejected", "unsupported_format")
            assert f"pip install 'image-assets[{extra}]'" in row["message"]
    statuses = {name: row["status"] for name, row in rows["c.jpg"].items()}
    assert statuses == {"avif": "written", "webp": "written", "jpeg": "written", "jxl": "failed"}
    missing = rows["c.jpg"]["jxl"]
    assert missing["reason"] == "codec_missing"
    assert missing["message"] == (
        "No encoder for jxl is installed: pip install 'image-assets[jxl]'."
    )
    # The next run has nothing to do: a missing codec asks for no look at the source.
    done = run_command("compress", source, output, "--json", summary, extra=without_plugins)
    again = json.loads(summary.read_text())
    assert (again["written"], again["skipped"]) == (0, 3)
    assert _rows(output)["c.jpg"]["jxl"]["reason"] == "codec_missing"
    assert not list(output.rglob("sources-*.parquet")) or _worked(output) == 1, "one run worked"
    # With the plugins, everything that could not be made is.
    with_plugins = {**without_plugins, "PYTHONPATH": str(REPOSITORY)}
    run_command("compress", source, output, "--json", summary, extra=with_plugins)
    assert json.loads(summary.read_text())["written"] == 4 + 4 + 1


def _rows(output: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows of the last run, by source and format."""
    from image_assets.engine.storage import tables

    [day] = (output / "tables" / "outcomes").iterdir()
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(sorted(day.iterdir())[-1].glob("renditions-*.parquet")):
        for row in tables.read(path).to_pylist():
            found.setdefault(row["source_key"], {})[row["format"]] = row
    return found


def _worked(output: Path) -> int:
    """Runs in which a worker looked at a source."""
    from image_assets.engine.storage import tables

    paths = output.rglob("sources-*.parquet")
    return sum(1 for path in paths if tables.read(path).num_rows)


def test_doctor_says_what_is_missing_in_one_line_each(without_plugins: dict[str, str]) -> None:
    done = run_command("doctor", extra=without_plugins)
    lines = done.stdout.splitlines()
    [heic] = [line for line in lines if "HEIC" in line]
    assert heic.startswith("ok")
    assert "HEIC sources: not read; pip install 'image-assets[heic]'" in heic
    [jxl] = [line for line in lines if "JPEG XL" in line]
    assert "not read or written; pip install 'image-assets[jxl]'" in jxl
    # The settings file asks for jxl, so here its absence is a problem.
    [problem] = [line for line in lines if line.startswith("PROBLEM")]
    assert "No encoder for jxl is installed" in problem
    assert done.returncode == 1


def test_plugins_are_imported_only_where_they_matter() -> None:
    """A folder of JPEGs costs no import of HEIC's decoder, in the command or a worker."""
    code = (
        "import sys; from image_assets.engine.pixels.codecs import prepare_pillow;"
        "prepare_pillow();"
        "from image_assets.engine.pixels.opening import open_source; import pathlib;"
        "open_source(pathlib.Path(sys.argv[1]).read_bytes());"
        "print('pillow_heif' in sys.modules, 'numpy' in sys.modules)"
    )
    buffer = encode_photograph((32, 24))
    process = subprocess.run(
        [sys.executable, "-c", code, "/dev/stdin"],
        input=buffer,
        capture_output=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert process.stdout.split() == [b"False", b"False"]


def test_a_heic_is_turned_once(tmp_path: Path) -> None:
    """pillow-heif writes the EXIF orientation as irot and imir, and libheif turns by those."""
    image, source = picture((120, 80)), tmp_path / "source"
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(source, f"{orientation}.heic", image, "HEIF", quality=90, exif=exif.tobytes())
        save(source, f"{orientation}.jpg", image, "JPEG", quality=95, exif=exif.tobytes())
    result = compress(source, tmp_path / "output")
    for orientation in range(1, 9):
        shown = []
        for key in (f"{orientation}.heic", f"{orientation}.jpg"):
            row = rows_of(result, key)["webp"]
            sides = (80, 120) if orientation >= 5 else (120, 80)
            assert (row["source_width_px"], row["source_height_px"]) == sides, key
            with Image.open(rendition_of(result, tmp_path / "output", key)) as rendition:
                shown.append(np.asarray(rendition.convert("RGB")).astype(int))
        assert shown[0].shape == shown[1].shape
        assert np.abs(shown[0] - shown[1]).mean() < 8


def rendition_of(result: FolderResult, output: Path, key: str) -> Path:
    return output / "renditions" / result.partitions[0].partition_key / key / "full.webp"


@pytest.mark.parametrize("bits", [10, 12])
def test_a_heic_of_more_than_eight_bits_is_read(tmp_path: Path, bits: int) -> None:
    import pillow_heif

    source = tmp_path / "source"
    source.mkdir()
    wide = np.asarray(picture((96, 64))).astype("<u2") * 257
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    try:
        encoded = pillow_heif.from_bytes("RGB;16", (96, 64), wide.tobytes())
        encoded.save(source / "a.heic", quality=95)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    result = compress(source, tmp_path / "output")
    assert rows_of(result, "a.heic")["webp"]["status"] == "written"
    with Image.open(rendition_of(result, tmp_path / "output", "a.heic")) as rendition:
        shown = np.asarray(rendition.convert("RGB")).astype(int)
    difference = shown - np.asarray(picture((96, 64)))
    assert np.abs(difference).mean() < 8


def test_of_several_pictures_in_a_heic_the_primary_one_is_made(tmp_path: Path) -> None:
    import pillow_heif

    source = tmp_path / "source"
    source.mkdir()
    file = pillow_heif.HeifFile()  # type: ignore[no-untyped-call]
    for seed, size in enumerate([(64, 48), (120, 80), (32, 32)]):
        file.add_from_pillow(picture(size, seed=seed))
    file.save(source / "a.heic", primary_index=1)
    result = compress(source, tmp_path / "output")
    row = rows_of(result, "a.heic")["jpeg"]
    assert (row["status"], row["width_px"], row["height_px"]) == ("written", 120, 80)
    assert row["source_frames"] == 3
    assert row["note"] == "first of 3 pictures"


def test_a_heic_in_tiles_is_put_together(tmp_path: Path) -> None:
    """Telephones store a photograph as a grid of tiles."""
    import pillow_heif

    if not hasattr(pillow_heif.options, "GRID_TILE_SIZE"):
        pytest.skip("this pillow-heif writes no grids")
    source = tmp_path / "source"
    source.mkdir()
    image = picture((300, 200))
    before = pillow_heif.options.GRID_TILE_SIZE
    pillow_heif.options.GRID_TILE_SIZE = 128
    try:
        pillow_heif.from_pillow(image).save(source / "a.heic", quality=90)
    finally:
        pillow_heif.options.GRID_TILE_SIZE = before
    assert b"grid" in (source / "a.heic").read_bytes()
    result = compress(source, tmp_path / "output", full_px=300)
    with Image.open(rendition_of(result, tmp_path / "output", "a.heic")) as rendition:
        assert rendition.size == (300, 200)
        difference = np.asarray(rendition.convert("RGB")).astype(int) - np.asarray(image)
    assert np.abs(difference).mean() < 8


@pytest.mark.parametrize("format_name", ["HEIF", "JXL"])
def test_a_damaged_optional_source_is_a_row(tmp_path: Path, format_name: str) -> None:
    load_decoder(format_name)
    buffer = io.BytesIO()
    picture((200, 140)).save(buffer, format_name, quality=90)
    good = buffer.getvalue()
    source = tmp_path / "source"
    source.mkdir()
    for index, length in enumerate((14, 40, len(good) // 2, len(good) - 3)):
        (source / f"cut{index}").write_bytes(good[:length])
    flipped = bytearray(good)
    for place in range(len(good) // 2, len(good), 7):
        flipped[place] ^= 0xA5
    (source / "flipped").write_bytes(bytes(flipped))
    result = compress(source, tmp_path / "output")
    assert result.counts.images == 5
    assert {row["status"] for row in result.rows} <= {"rejected", "written"}
    for row in result.rows:
        if row["source_key"] != "flipped":  # HEVC conceals what it can
            assert row["status"] == "rejected", row
            assert row["reason"] in ("truncated", "corrupt", "not_an_image", "unsupported_format")
        assert "libjxl` from source" not in (row["message"] or "")
