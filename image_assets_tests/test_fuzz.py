import io
import random
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from image_assets.engine.pixels.cost import Header, image_cost_bytes
from image_assets_tests import fuzz
from image_assets_tests.photographs import picture

SEED = 3
FILES = 330
"""Seven mutations of most good files, in one run."""


@pytest.fixture(scope="module")
def seeds() -> dict[str, bytes]:
    return fuzz.make_seeds()


@pytest.mark.filterwarnings("ignore")  # Pillow warns of broken metadata, which fuzzing makes
def test_mutated_files_of_every_format_end_as_rows_and_nothing_else(
    seeds: dict[str, bytes],
) -> None:
    files, overrides = fuzz.make_batch(SEED, 0, seeds, FILES)

    report = fuzz.run_batch(files, {**overrides, "full_animation": "keep", "full_px": 40})

    assert [(finding.what, finding.names) for finding in report.findings] == []
    assert report.ended_workers == {}
    assert {"written", "corrupt", "truncated"} <= set(report.reasons)


def test_what_fuzzing_found_stays_mended(seeds: dict[str, bytes]) -> None:
    palette = seeds["P.png"].index(b"PLTE") - 4
    [length] = struct.unpack_from(">I", seeds["P.png"], palette)
    without_palette = seeds["P.png"][:palette] + seeds["P.png"][palette + 12 + length :]
    odd_tiff = bytearray(seeds["big.tif"])  # a layout that nobody reads, in a BigTIFF
    struct.pack_into("<H", odd_tiff, odd_tiff.index(struct.pack("<HHQ", 262, 3, 1)) + 12, 9_999)
    # A resolution that is text: Pillow does not open a JPEG that has it and no other.
    entries = struct.pack("<HHII HHII", 0x011A, 2, 1, 0, 0x0128, 3, 1, 2)
    exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x02\x00" + entries + bytes(4)
    buffer = io.BytesIO()
    picture(fuzz.SIZE).save(buffer, "JPEG", exif=exif, dpi=(72, 72))
    files = {"a.png": without_palette, "b.tif": bytes(odd_tiff), "c.jpg": buffer.getvalue()}

    report = fuzz.run_batch(files, {"full_px": 40, "metadata": "all"})

    assert [(finding.what, finding.names) for finding in report.findings] == []
    assert dict(report.reasons) == {"corrupt": 6, "unsupported_pixels": 6, "written": 6}


def test_the_cost_of_a_picture_one_pixel_wide_counts_what_a_resize_needs() -> None:
    header = Header("PNG", "1", 1, 16_711_681, 1, False, 245)

    assert 800e6 < image_cost_bytes(header, 1024, 1.0) < 1_100e6  # 915 MB measured


def test_every_good_file_is_written_in_full(seeds: dict[str, bytes]) -> None:
    report = fuzz.run_batch(seeds, {"full_px": 40, "thumbnail_px": 16})

    assert [(finding.what, finding.names) for finding in report.findings] == []
    assert dict(report.reasons) == {"written": 6 * len(seeds)}


def test_the_same_seed_makes_the_same_files_and_settings(seeds: dict[str, bytes]) -> None:
    assert fuzz.make_batch(SEED, 1, seeds, 20) == fuzz.make_batch(SEED, 1, seeds, 20)
    assert fuzz.make_batch(SEED, 1, seeds, 20) != fuzz.make_batch(SEED + 1, 1, seeds, 20)


def test_files_are_walked_by_their_own_structure(seeds: dict[str, bytes]) -> None:
    for name, count in (
        ("RGB.png", 5),
        ("moving.png", 11),
        ("moving.webp", 6),
        ("moving.gif", 8),
        ("baseline.jpg", 8),
        ("moving.avif", 20),
    ):
        assert len(fuzz.pieces(seeds[name])) >= count, name


def test_a_png_whose_pixels_are_changed_has_right_sums(seeds: dict[str, bytes]) -> None:
    data = bytearray(seeds["RGB.png"])

    fuzz._repack_idat(random.Random(1), data, [])  # noqa: S311
    fuzz._mend_checksums(data)

    at = data.index(b"IDAT")
    [length] = struct.unpack_from(">I", data, at - 4)
    [stated] = struct.unpack_from(">I", data, at + 4 + length)
    assert stated == zlib.crc32(data[at : at + 4 + length])
    assert bytes(data) != seeds["RGB.png"]


def _remove_rendition(output: Path) -> None:
    next(output.glob("renditions/*/*/full.webp")).unlink()


def _spoil_rendition(output: Path) -> None:
    path = next(output.glob("renditions/*/*/full.webp"))
    path.write_bytes(path.read_bytes()[:-20])


def _leave_temporary_file(output: Path) -> None:
    next(output.glob("renditions/*/*")).joinpath(".full.webp.tmp").write_bytes(b"half")


def _replace_rendition(output: Path) -> None:
    Image.new("RGB", (3, 3)).save(next(output.glob("renditions/*/*/full.webp")))


@pytest.mark.parametrize(
    ("accident", "what"),
    [
        (_remove_rendition, "a rendition is missing"),
        (_spoil_rendition, "is not what its row says"),
        (_replace_rendition, "is not what its row says"),
        (_leave_temporary_file, "a temporary file"),
    ],
)
def test_what_breaks_a_promise_is_found(
    tmp_path: Path, seeds: dict[str, bytes], accident: Any, what: str
) -> None:
    report = fuzz.Report()
    (tmp_path / "run").mkdir()
    result = fuzz.compress(tmp_path / "run", {"a": seeds["baseline.jpg"]}, {"full_px": 40})
    assert not report.findings

    accident(result.output)
    fuzz._check_files(report, result, result.output)

    assert any(what in finding.what for finding in report.findings)


def test_what_a_session_finds_is_kept_and_can_be_replayed(
    tmp_path: Path, seeds: dict[str, bytes]
) -> None:
    files = {"good": seeds["RGB.png"], "bad": b"\x89PNG\r\n\x1a\n"}
    report = fuzz.Report([fuzz.Finding("something", ["bad"])])

    fuzz.keep(tmp_path / "kept", files, {"full_px": 40}, report)

    assert [path.name for path in (tmp_path / "kept" / "inputs").iterdir()] == ["bad"]
    again = fuzz.replay(tmp_path / "kept")
    assert again.findings == []
    assert sum(again.reasons.values()) == 6
    shutil.rmtree(tmp_path / "kept")
