import io
import struct
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from image_assets.engine.pixels.structure import MAX_TEXT_BYTES, Structure, walk
from image_assets_tests.bombs import (
    flat_png,
    gif_of,
    jpeg_of_precision,
    jpeg_of_scans,
    png_chunk,
    png_header,
    raw_tiff,
    text_bomb,
    with_chunk,
)
from image_assets_tests.odd_pictures import pfm
from image_assets_tests.photographs import encode_photograph, picture


def look(
    format_name: str, data: bytes, *, max_scans: int = 100, max_frames: int = 5_000
) -> Structure:
    return walk(format_name, data, max_scans, max_frames)


def moving(format_name: str, frames: int = 3, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pictures = [picture((40, 30), seed=seed) for seed in range(frames)]
    pictures[0].save(buffer, format_name, save_all=True, append_images=pictures[1:], **options)
    return buffer.getvalue()


WHOLE = {
    "JPEG": encode_photograph(),
    "JPEG progressive": encode_photograph(progressive=True),
    "JPEG grey": encode_photograph(mode="L"),
    "JPEG with restarts": encode_photograph(restart_marker_rows=1),
    "PNG": encode_photograph((60, 40), format="PNG"),
    "PNG moving": moving("PNG"),
    "GIF": encode_photograph((60, 40), format="GIF"),
    "GIF moving": moving("GIF"),
    "WEBP": encode_photograph(format="WEBP"),
    "WEBP moving": moving("WEBP"),
    "TIFF": encode_photograph((60, 40), format="TIFF"),
    "TIFF of pages": moving("TIFF"),
    "AVIF": encode_photograph(format="AVIF"),
    "BMP": encode_photograph((60, 40), format="BMP"),
    "PFM": pfm(np.full((40, 60, 3), 0.5)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_found_whole(name: str) -> None:
    found = look(name.split()[0], WHOLE[name])
    assert (found.truncated, found.broken, found.unsupported) == (None, None, None)
    assert found.data == WHOLE[name] or name == "WEBP moving"  # whose alpha is put right


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith(("JPEG", "TIFF"))])
def test_a_file_cut_anywhere_is_found_truncated(name: str) -> None:
    data = WHOLE[name]
    cuts = {len(data) - 1, len(data) - 2, *(len(data) * n // 40 for n in range(1, 40))}
    for cut in cuts:
        assert look(name.split()[0], data[:cut]).truncated is not None, f"cut at {cut}"


def test_a_file_may_go_on_behind_its_end() -> None:
    for name in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        assert look(name, WHOLE[name] + b"what a camera or a person put there").truncated is None


@pytest.mark.parametrize("name", ["WEBP", "WEBP moving", "AVIF", "GIF", "GIF moving"])
def test_a_file_whose_end_never_came_is_found_by_its_zeros(name: str) -> None:
    format_name, _, moves = name.partition(" ")
    data = moving(format_name, 40) if moves else encode_photograph((300, 200), format=format_name)
    for kept in (0.3, 0.6, 0.8):
        cut = int(len(data) * kept)
        found = look(format_name, data[:cut] + bytes(len(data) - cut))
        assert found.truncated == "its end is filled with zeros", kept


@pytest.mark.parametrize("format_name", ["WEBP", "AVIF", "GIF"])
@pytest.mark.parametrize("colour", ["black", "white", "#123456"])
def test_a_picture_of_one_colour_is_whole_whatever_zeros_it_ends_in(
    format_name: str, colour: str
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (2500, 2500), colour).save(buffer, format_name)
    assert look(format_name, buffer.getvalue()).truncated is None


# -- JPEG ----------------------------------------------------------------------------------------


def test_scans_are_counted_and_no_further_than_the_limit() -> None:
    progressive = encode_photograph(progressive=True)
    assert look("JPEG", encode_photograph()).scans == 1
    assert look("JPEG", progressive).scans == 10
    assert look("JPEG", jpeg_of_scans(progressive, 500)).scans == 101


def test_scans_of_a_thumbnail_do_not_count() -> None:
    exif = Image.Exif()
    exif[0x010E] = encode_photograph((16, 16), progressive=True).decode("latin-1")
    assert look("JPEG", encode_photograph(exif=exif)).scans == 1


@pytest.mark.parametrize("name", ["JPEG", "JPEG progressive"])
def test_an_end_filled_with_zeros_is_no_end(name: str) -> None:
    data = WHOLE[name]
    for cut in (len(data) // 2, len(data) - 20):
        found = look("JPEG", data[:cut] + bytes(len(data) - cut))
        assert found.truncated == "its end is filled with zeros"


def test_two_files_run_together_are_not_one() -> None:
    data = WHOLE["JPEG"]
    found = look("JPEG", data[: len(data) // 2] + data)
    assert found.truncated == "another image begins before this one has ended"


def test_a_progressive_jpeg_closed_before_its_last_scans_is_truncated() -> None:
    data = WHOLE["JPEG progressive"]
    for scan in range(1, 9):
        place = -1
        for _ in range(scan + 1):
            place = data.index(b"\xff\xda", place + 1)
        found = look("JPEG", data[:place] + b"\xff\xd9")
        # Luma has all its bits in the tenth scan only.
        assert found.truncated == f"only {scan} of its scans are there"


def test_samples_and_precision_are_read_from_the_header() -> None:
    assert look("JPEG", encode_photograph(mode="L")).samples_per_pixel == 1
    assert look("JPEG", encode_photograph(subsampling=2)).samples_per_pixel == 1.5
    assert look("JPEG", encode_photograph(subsampling=0)).samples_per_pixel == 3
    assert look("JPEG", jpeg_of_precision(WHOLE["JPEG"], 12)).precision_bits == 12


@pytest.mark.parametrize(
    ("marker", "kind"), [(0xC3, "lossless"), (0xC5, "hierarchical"), (0xC9, "arithmetic")]
)
def test_the_unusual_kinds_of_jpeg_are_told(marker: int, kind: str) -> None:
    data = WHOLE["JPEG"]
    place = data.index(b"\xff\xc0") + 1
    assert look("JPEG", data[:place] + bytes([marker]) + data[place + 1 :]).jpeg_kind == kind


# -- PNG -----------------------------------------------------------------------------------------


def test_a_wrong_sum_of_image_data_is_told_and_one_of_metadata_is_passed_over() -> None:
    data = bytearray(WHOLE["PNG"])
    data[data.index(b"IDAT") + 20] ^= 1
    assert "IDAT" in (look("PNG", bytes(data)).broken or "")
    text = bytearray(png_chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    found = look("PNG", with_chunk(WHOLE["PNG"], bytes(text)))
    assert (found.broken, found.data) == (None, WHOLE["PNG"])


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_text_that_unpacks_to_too_much_is_left_out_and_the_rest_kept(kind: bytes) -> None:
    bomb = text_bomb(kind, MAX_TEXT_BYTES + 1)
    assert len(bomb) < 6_000
    plain = png_chunk(b"tEXt", b"Title\0kept")
    found = look("PNG", with_chunk(with_chunk(WHOLE["PNG"], bomb), plain))
    assert found.data == with_chunk(WHOLE["PNG"], plain)
    assert (found.truncated, found.broken) == (None, None)


def test_many_texts_together_are_limited_too() -> None:
    data = WHOLE["PNG"]
    for _ in range(6):
        data = with_chunk(data, text_bomb(b"zTXt", 1_000_000))
    assert look("PNG", data).data.count(b"zTXt") == 4


def test_texts_that_are_too_large_are_not_all_unpacked_to_find_that_out() -> None:
    data = png_header(8, 8) + text_bomb(b"zTXt", MAX_TEXT_BYTES + 1) * 2_000
    began = time.process_time()
    assert b"zTXt" not in look("PNG", data).data
    assert time.process_time() - began < 2


def test_a_png_of_a_million_chunks_ends_soon() -> None:
    began = time.process_time()
    found = look("PNG", png_header(8, 8) + png_chunk(b"teSt", b"") * 1_000_000)
    assert found.truncated is not None
    assert time.process_time() - began < 5


def test_a_jpeg_that_ends_in_halves_of_markers_is_walked_once() -> None:
    whole = WHOLE["JPEG"][:-2]
    for tail in (b"\xff", b"\xff" * 65_536, b"\xff" * 20_000_000):
        began = time.process_time()
        found = look("JPEG", whole + tail)
        assert (found.scan_end, found.has_end) == (len(whole), False)
        assert time.process_time() - began < 2


# -- GIF, TIFF and others ------------------------------------------------------------------------


def test_frames_of_a_gif_are_counted_and_no_further_than_the_limit() -> None:
    assert look("GIF", gif_of(7)).frames == 7
    began = time.process_time()
    assert look("GIF", gif_of(1_000_000), max_frames=5_000).frames == 5_001
    assert time.process_time() - began < 1


def test_a_gif_without_its_end_mark_is_truncated() -> None:
    assert look("GIF", gif_of(3)).truncated is None
    assert look("GIF", gif_of(3, is_ended=False)).truncated == "its end mark is missing"


def test_pages_of_a_tiff_are_counted_and_a_loop_of_them_ends() -> None:
    data = WHOLE["TIFF of pages"]
    assert look("TIFF", data).frames == 3
    first = struct.unpack("<I", WHOLE["TIFF"][4:8])[0]
    entries = struct.unpack_from("<H", WHOLE["TIFF"], first)[0]
    place = first + 2 + 12 * entries
    looped = WHOLE["TIFF"][:place] + struct.pack("<I", first) + WHOLE["TIFF"][place + 4 :]
    assert look("TIFF", looped).frames == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_directories_whose_entries_all_point_to_the_same_bytes_end_soon(order: str) -> None:
    count, pages = 4_096, 50
    entries = b"".join(struct.pack(order + "HHII", 273, 3, 50_000, 0) for _ in range(count))
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for page in range(pages):
        after = len(data) + 2 + len(entries) + 4
        last = struct.pack(order + "I", after if page < pages - 1 else 0)
        data += struct.pack(order + "H", count) + entries + last
    began = time.process_time()
    assert look("TIFF", data + bytes(100_000)).frames == pages
    assert time.process_time() - began < 1


def test_a_damaged_page_after_the_first_is_not_missed() -> None:
    place = WHOLE["TIFF"]
    first = struct.unpack("<I", place[4:8])[0]
    entries = struct.unpack_from("<H", place, first)[0]
    end = first + 2 + 12 * entries
    found = look("TIFF", place[:end] + struct.pack("<I", len(place) - 1) + place[end + 4 :])
    assert (found.truncated, found.frames) == (None, 1)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([(50706, 1, 4, b"\1\4\0\0"), (271, 2, 6, b"Phone\0")], "DNG"),
        ([(254, 4, 1, 1), (271, 2, 6, b"NIKON\0"), (330, 4, 1, 200)], "NIKON"),
        ([(254, 4, 1, 1), (271, 2, 5, b"SONY\0"), (330, 4, 1, 200)], "SONY"),
        ([(262, 3, 1, 32803), (271, 2, 7, b"PENTAX\0")], "PENTAX"),
    ],
)
def test_camera_raw_is_told_by_its_tags(
    entries: list[tuple[int, int, int, Any]], name: str, big_endian: bool
) -> None:
    order = ">" if big_endian else "<"
    packed = [
        (tag, kind, count, struct.pack(order + "HI"[kind == 4], value))
        if isinstance(value, int)
        else (tag, kind, count, value)
        for tag, kind, count, value in entries
    ]
    assert name in (look("TIFF", raw_tiff(packed, big_endian=big_endian)).unsupported or "")


def test_an_ordinary_tiff_of_a_camera_is_no_raw() -> None:
    exif = Image.Exif()
    exif[271] = "NIKON CORPORATION"
    assert look("TIFF", encode_photograph(format="TIFF", exif=exif)).unsupported is None


def test_a_canon_raw_is_told_by_its_first_bytes() -> None:
    assert look("TIFF", b"MM\0*\0\0\0\x10CR\0\0" + bytes(100)).unsupported is None  # 210.0
    assert "CR2" in (look("TIFF", b"II*\0\x10\0\0\0CR\2\0" + bytes(100)).unsupported or "")


def test_the_size_of_a_bomb_is_no_matter_here() -> None:
    data = flat_png(30_000, 30_000, 1, 0)
    assert len(data) < 1_000_000
    assert look("PNG", data).truncated is None


@pytest.mark.parametrize("added", [b"\0", b"\xff", b"\r\n", bytes(5000), b"PK\3\4" * 100])
def test_what_somebody_added_behind_an_avif_is_no_part_of_it(added: bytes) -> None:
    whole = WHOLE["AVIF"]
    found = look("AVIF", whole + added)
    assert found.truncated is None
    Image.open(io.BytesIO(found.data)).load()


def test_a_png_whose_end_mark_has_a_wrong_sum_is_whole() -> None:
    found = look("PNG", WHOLE["PNG"][:-4] + b"\0\0\0\0")
    assert (found.truncated, found.broken) == (None, None)


def test_a_png_of_apple_is_told_by_its_name() -> None:
    data = WHOLE["PNG"]
    apples = data[:8] + png_chunk(b"CgBI", b"\x50\0\x20\6") + data[8:]
    assert "CgBI" in (look("PNG", apples).unsupported or "")


def test_a_tiff_whose_list_of_strips_is_cut_is_truncated() -> None:
    place = struct.pack("<I", 120)  # of 36 bytes, in a file of 138
    listed = raw_tiff([(273, 4, 9, place), (279, 4, 9, place)])
    assert "list" in (look("TIFF", listed).truncated or "")


def test_a_big_endian_bigtiff_is_told_by_its_name() -> None:
    assert "backwards" in (look("TIFF", b"MM\0+\0\x08\0\0" + bytes(60)).unsupported or "")
