"""Fuzzing: good files of every input format, mutated, through the whole engine with real workers.

    make fuzz                        # 10 minutes; FUZZ_SECONDS=60 FUZZ_SEED=7 make fuzz
    python -m image_assets_tests.fuzz --replay .fuzz/<folder>

What must hold of every run: it ends by itself; each file has a row for all that is wanted, written
or refused with a reason of the closed list and a sentence; a rendition that is there can be read
and is what its row says; nothing else lies beside them; sources are untouched; memory keeps to the
budget. Inputs that break it are kept below ``.fuzz``, as are those that end a worker, which is no
breach, but worth a look.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import logging
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from image_assets.engine.api import FolderResult, compress_folder
from image_assets.engine.pixels.codecs import optional_decoders, prepare_pillow
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings
from image_assets.engine.reasons import FAILED_REASONS, Reason
from image_assets_tests import odd_pictures
from image_assets_tests.photographs import camera_exif, picture
from image_assets_tests.processes import REPOSITORY

ODD: Final = REPOSITORY.parent / "shared" / "corpus" / "odd"
SIZE: Final = (61, 43)
EXTENSIONS: Final = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg"}

MEMORY_BUDGET_BYTES: Final = 900_000_000
"""Two workers' base is 150 MB here; an image that needs more than the rest is a row."""

RUN_LIMIT_S: Final = 300
"""A run of 200 small files takes 10 to 20 s; one that takes this long hangs."""

_QUIET: Final = logging.getLogger("image_assets_tests.fuzz")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False

_ENDS_WORKER: Final = {Reason.TIME_LIMIT, Reason.WORKER_DIED, Reason.OUT_OF_MEMORY}


# -- seeds: good files ---------------------------------------------------------------------------


def make_seeds() -> dict[str, bytes]:
    """Return small good files of every input format and of its variants, by name."""
    prepare_pillow()
    seeds: dict[str, bytes] = {}
    exif = camera_exif(6)
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    def save(name: str, image: Image.Image, format_name: str, **options: Any) -> None:
        buffer = io.BytesIO()
        image.copy().save(buffer, format_name, **options)  # writers leave settings in an image
        seeds[name] = buffer.getvalue()

    rgb, frames = picture(SIZE), [picture(SIZE, seed=seed) for seed in range(4)]
    alpha = [picture(SIZE, mode="RGBA", seed=seed) for seed in range(4)]
    save("baseline.jpg", rgb, "JPEG", exif=exif, icc_profile=icc, comment=b"a comment")
    save("progressive.jpg", rgb, "JPEG", progressive=True, restart_marker_blocks=2)
    save("444.jpg", rgb, "JPEG", subsampling=0, quality=97)
    save("grey.jpg", rgb.convert("L"), "JPEG")
    save("cmyk.jpg", rgb.convert("CMYK"), "JPEG", exif=exif)
    save("several.mpo", rgb, "MPO", save_all=True, append_images=frames[1:])
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a comment" * 9, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    text.add(b"gAMA", struct.pack(">I", 45455))
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = rgb.convert(mode) if mode in ("1", "P") else picture(SIZE, mode=mode)
        save(f"{mode.replace(';', '')}.png", image, "PNG", pnginfo=text)
    save("trns.png", rgb.convert("P"), "PNG", transparency=b"\x00\x80\xff" * 20, icc_profile=icc)
    moving: dict[str, Any] = {"save_all": True, "duration": [0, 40, 70, 500], "loop": 3}
    save("moving.png", alpha[0], "PNG", append_images=alpha[1:], disposal=2, blend=1, **moving)
    save("default.png", rgb, "PNG", append_images=frames[1:], default_image=True, save_all=True)
    save("lossy.webp", rgb, "WEBP", exif=exif, icc_profile=icc)
    save("alpha.webp", alpha[0], "WEBP", quality=60)
    save("lossless.webp", alpha[0], "WEBP", lossless=True)
    save("moving.webp", alpha[0], "WEBP", append_images=alpha[1:], **moving)
    palettes = [frame.quantize(32) for frame in frames]
    save("still.gif", palettes[0], "GIF", transparency=3, comment=b"a comment")
    save("moving.gif", palettes[0], "GIF", append_images=palettes[1:], disposal=2, **moving)
    save("moving-alpha.gif", alpha[0], "GIF", append_images=alpha[1:], disposal=3, **moving)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        save(f"{compression}.tif", rgb, "TIFF", compression=compression, exif=exif)
    save("group4.tif", rgb.convert("1"), "TIFF", compression="group4")
    save("lab.tif", rgb.convert("LAB"), "TIFF")
    save("cmyk.tif", rgb.convert("CMYK"), "TIFF", icc_profile=icc)
    save("16.tif", picture(SIZE, mode="I;16"), "TIFF")
    save("float.tif", rgb.convert("L").convert("F"), "TIFF")
    floats = np.asarray(alpha[0], dtype=np.float32) / np.float32(255)
    seeds["float-colour.tif"] = odd_pictures.tiff(floats[..., :3], 2)
    seeds["double-alpha.tif"] = odd_pictures.tiff(floats.astype(">f8"), 2, extra_sample=2)
    seeds["grey-alpha.tif"] = odd_pictures.tiff(
        (65_535 * floats[..., :2]).astype("u2"), 1, extra_sample=2
    )
    seeds["packed-float.tif"] = odd_pictures.packed_tiff(floats[..., :3], 2, 5, predictor=3)
    seeds["planes.tif"] = odd_pictures.packed_tiff(floats[..., :3], 2, 8, planar=True)
    seeds["colour.pfm"] = odd_pictures.pfm(floats[..., :3])
    seeds["grey.pfm"] = odd_pictures.pfm(floats[..., 0], big_endian=True)
    save("big.tif", rgb, "TIFF", big_tiff=True)
    pages = [frame.copy() for frame in frames[1:]]
    save("pages.tif", rgb, "TIFF", save_all=True, append_images=pages)
    save("still.avif", rgb, "AVIF", codec="aom", speed=9, exif=exif, icc_profile=icc)
    save("alpha.avif", alpha[0], "AVIF", codec="aom", speed=9)
    save("moving.avif", alpha[0], "AVIF", append_images=alpha[1:], codec="aom", speed=9, **moving)
    for mode in ("1", "P", "RGB", "RGBA"):
        save(f"{mode}.bmp", rgb.convert(mode), "BMP")
    decoders = optional_decoders()
    if "HEIF" in decoders:
        save("still.heic", rgb, "HEIF", quality=50, exif=exif)
        save("several.heic", alpha[0], "HEIF", quality=50, save_all=True, append_images=alpha[1:])
    if "JXL" in decoders:
        save("lossy.jxl", rgb, "JXL", quality=70, num_threads=1)
        save("lossless.jxl", alpha[0], "JXL", lossless=True, num_threads=1)
    return seeds


def odd_seeds(max_bytes: int = 300_000) -> dict[str, bytes]:
    """Return the small files of the corpus of odd images, where it is at hand."""
    if not ODD.is_dir():
        return {}
    paths = sorted(path for path in ODD.rglob("*") if path.is_file())
    return {
        path.relative_to(ODD).as_posix().replace("/", "_"): path.read_bytes()
        for path in paths
        if 0 < path.stat().st_size <= max_bytes
    }


# -- mutations -----------------------------------------------------------------------------------

_NUMBERS: Final = (
    0, 1, 2, 3, 7, 8, 16, 0x7F, 0x80, 0xFF, 0x100, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xFFFF, 0x10000,
    0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
)  # fmt: skip

Span = tuple[int, int]


def pieces(data: bytes) -> list[Span]:
    """Return the file's chunks, segments, boxes or blocks, as far as it has such; else parts."""
    found: list[Span] = []
    with contextlib.suppress(IndexError, struct.error):  # what is mutated already may end anywhere
        found.extend(itertools.islice(_walk(data), 400))
    if len(found) > 1:
        return found
    step = max(1, len(data) // 12)
    return [(start, min(len(data), start + step)) for start in range(0, len(data), step)]


def _walk(data: bytes) -> Iterator[Span]:
    if data[:4] == b"\x89PNG":
        yield from _png_chunks(data)
    elif data[:4] == b"RIFF":
        yield from _riff_chunks(data, 12, len(data))
    elif data[4:8] in (b"ftyp", b"JXL "):
        yield from _boxes(data, 0, len(data))
    elif data[:2] == b"\xff\xd8":
        yield from _segments(data)
    elif data[:3] == b"GIF":
        yield from _gif_blocks(data)


def _png_chunks(data: bytes) -> Iterator[Span]:
    start = 8
    while start + 12 <= len(data):
        end = start + 12 + int(struct.unpack_from(">I", data, start)[0])
        if end > len(data):
            return
        yield start, end
        start = end


def _riff_chunks(data: bytes, start: int, end: int) -> Iterator[Span]:
    while start + 8 <= end:
        size = struct.unpack_from("<I", data, start + 4)[0]
        after = start + 8 + size + size % 2
        if after > end:
            return
        yield start, after
        if data[start : start + 4] == b"ANMF":
            yield from _riff_chunks(data, start + 24, after)
        start = after


_BOXES: Final = frozenset(
    {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"iprp", b"ipco", b"dinf"}
)


def _boxes(data: bytes, start: int, end: int) -> Iterator[Span]:
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        size = size or end - start
        if size < 8 or start + size > end:
            return
        yield start, start + size
        if kind in _BOXES:
            yield from _boxes(data, start + 8, start + size)
        elif kind == b"meta":
            yield from _boxes(data, start + 12, start + size)
        start += size


def _segments(data: bytes) -> Iterator[Span]:
    start = 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        end = start + 2 + int(struct.unpack_from(">H", data, start + 2)[0])
        if data[start + 1] == 0xDA:  # its image data goes to the next marker
            while end + 1 < len(data) and not (
                data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))
            ):
                end += 1
        yield start, min(end, len(data))
        start = end


def _gif_blocks(data: bytes) -> Iterator[Span]:
    def after_sub_blocks(at: int) -> int:
        while at < len(data) and data[at]:
            at += 1 + data[at]
        return at + 1

    start = 13 + (3 << (1 + (data[10] & 7)) if data[10] & 0x80 else 0)
    while start + 10 < len(data):
        if data[start] == 0x21:
            end = after_sub_blocks(start + 2)
        elif data[start] == 0x2C:
            table = 3 << (1 + (data[start + 9] & 7)) if data[start + 9] & 0x80 else 0
            end = after_sub_blocks(start + 11 + table)
        else:
            return
        yield start, min(end, len(data))
        start = end


def _flip_bits(random_: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    for _ in range(random_.choice((1, 1, 2, 4, 16, 64))):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def _fill_run(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = random_.randrange(len(data))
    length = min(len(data) - start, random_.choice((1, 2, 4, 16, 100, 1000)))
    value = random_.choice((b"\x00", b"\xff", b"\x7f", b"\x80", None))
    data[start : start + length] = random_.randbytes(length) if value is None else value * length


def _truncate(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[random_.choice((random_.randrange(len(data)), max(1, len(data) - 5), 30)) :]


def _zero_tail(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start = random_.randrange(len(data))
    data[start:] = bytes(len(data) - start)


def _set_number(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """A field of the header, most likely: sizes, counts and offsets lie there."""
    near = random_.choice((32, 64, 200, len(data)))
    form = random_.choice((">B", ">H", "<H", ">I", "<I", ">Q"))
    size = struct.calcsize(form)
    if len(data) <= size:
        return
    at = random_.randrange(min(near, len(data) - size))
    old = int(struct.unpack_from(form, data, at)[0])
    value = random_.choice((*_NUMBERS, old + 1, old - 1, old * 2, random_.getrandbits(8 * size)))
    struct.pack_into(form, data, at, value % (1 << (8 * size)))


def _remove_piece(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = random_.choice(pieces(bytes(data)))
    del data[start:end]


def _repeat_piece(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    start, end = random_.choice(pieces(bytes(data)))
    times = random_.choice((1, 1, 1, 10, 200 if end - start < 2000 else 2))
    data[end:end] = bytes(data[start:end]) * times


def _swap_pieces(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    spans = pieces(bytes(data))
    first, second = sorted((random_.choice(spans), random_.choice(spans)))
    if first[1] <= second[0]:
        middle = data[first[1] : second[0]]
        data[first[0] : second[1]] = (
            data[second[0] : second[1]] + middle + data[first[0] : first[1]]
        )


def _splice_piece(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random_.choice(others)
    start, end = random_.choice(pieces(other))
    at = random_.choice(pieces(bytes(data)))[random_.randrange(2)]
    data[at:at] = other[start:end]


def _change_piece(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Change what is inside one piece, its length left as it is."""
    start, end = random_.choice(pieces(bytes(data)))
    inside = bytearray(data[start:end])
    if len(inside) > 8:
        body = bytearray(inside[8:])
        random_.choice((_flip_bits, _fill_run, _set_number))(random_, body, others)
        data[start + 8 : end] = body


def _change_length(random_: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """The length that a chunk, segment or box states of itself."""
    start, _end = random_.choice(pieces(bytes(data)))
    form, offset = ">I", 0
    if data[:4] == b"RIFF":
        form, offset = "<I", 4
    elif data[:2] == b"\xff\xd8":
        form, offset = ">H", 2
    size = struct.calcsize(form)
    if start + offset + size > len(data):
        return
    old = int(struct.unpack_from(form, data, start + offset)[0])
    value = random_.choice((*_NUMBERS, old + 1, old - 1, old + 8, old // 2))
    struct.pack_into(form, data, start + offset, value % (1 << (8 * size)))


def _concatenate(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random_.choice((bytes(data), random_.choice(others), random_.randbytes(300)))
    if random_.random() < 0.3:
        data[:0] = other
    else:
        data += other


def _half_and_half(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random_.choice(others)
    data[random_.randrange(len(data)) :] = other[random_.randrange(len(other)) :]


def _repack_idat(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Change a PNG's pixels below its compression, which no checksum then guards."""
    spans = [
        span for span in _png_chunks(bytes(data)) if data[span[0] + 4 : span[0] + 8] == b"IDAT"
    ]
    if not spans:
        return
    packed = b"".join(data[start + 8 : end - 4] for start, end in spans)
    with contextlib.suppress(zlib.error):
        raw = bytearray(zlib.decompressobj().decompress(packed, 1_000_000))
        if not raw:
            return
        change = random_.choice((_flip_bits, _fill_run, _truncate, _concatenate))
        change(random_, raw, [bytes(raw)])
        body = zlib.compress(bytes(raw))
        chunk = struct.pack(">I", len(body)) + b"IDAT" + body + bytes(4)
        data[spans[0][0] : spans[-1][1]] = chunk


def _mend_checksums(data: bytearray) -> None:
    """Right every PNG chunk's checksum, so that what is in it reaches the decoder."""
    for start, end in _png_chunks(bytes(data)):
        struct.pack_into(">I", data, end - 4, zlib.crc32(data[start + 4 : end - 4]))


def _mend_riff(data: bytearray) -> None:
    struct.pack_into("<I", data, 4, (len(data) - 8) % (1 << 32))


Mutation = Callable[[random.Random, bytearray, Sequence[bytes]], None]
MUTATIONS: Final[tuple[Mutation, ...]] = (
    _flip_bits,
    _flip_bits,
    _fill_run,
    _truncate,
    _zero_tail,
    _set_number,
    _set_number,
    _set_number,
    _remove_piece,
    _repeat_piece,
    _swap_pieces,
    _splice_piece,
    _change_piece,
    _change_piece,
    _change_piece,
    _change_length,
    _concatenate,
    _half_and_half,
    _repack_idat,
)


def mutate(random_: random.Random, data: bytes, others: Sequence[bytes]) -> tuple[bytes, str]:
    """Return a changed file and what was done to it.

    Args:
        random_: Decides.
        data: A good file.
        others: Files to take pieces from.
    """
    changed = bytearray(data)
    done = []
    for _ in range(random_.choice((1, 1, 1, 2, 3, 6))):
        if not changed:
            break
        mutation = random_.choice(MUTATIONS)
        mutation(random_, changed, others)
        done.append(mutation.__name__.lstrip("_"))
    if changed[:4] == b"\x89PNG" and random_.random() < 0.8:
        _mend_checksums(changed)
    if changed[:4] == b"RIFF" and len(changed) >= 12 and random_.random() < 0.5:
        _mend_riff(changed)
    return bytes(changed), "+".join(done)


def make_batch(
    seed: int, number: int, seeds: dict[str, bytes], count: int
) -> tuple[dict[str, bytes], dict[str, object]]:
    """Return the files of one run by name, and the run's settings.

    Args:
        seed: Of the whole session.
        number: Of the run; the same two numbers make the same batch.
        seeds: Good files.
        count: How many files.
    """
    random_ = random.Random(f"{seed}/{number}")  # noqa: S311 - reproducible, not secret
    names, others = sorted(seeds), list(seeds.values())
    files = {}
    for index in range(count):
        # Round robin over the seeds, so that each format has its share of every few runs.
        name = names[(number * count + index) % len(names)]
        data, done = mutate(random_, seeds[name], others)
        files[f"{index:04d}-{done}-{name}"[-200:]] = data
    return files, settings_of(random_)


def settings_of(random_: random.Random) -> dict[str, object]:
    """Settings of one run: small sizes, for speed, and the policies in turn."""
    return {
        "thumbnail_px": 16,
        "full_px": random_.choice((40, 64, 200)),
        "full_animation": random_.choice(("poster", "keep", "keep")),
        "avif_speed": 10,
        "webp_method": 0,
        "max_workers": 2,
        "memory_budget_bytes": MEMORY_BUDGET_BYTES,
        "image_time_limit_s": 30,
        "max_pixels": random_.choice((4_000_000, 30_000_000)),
        "accept_truncated": random_.random() < 0.4,
        "metadata": random_.choice(("none", "rights", "all")),
        "keep_display_p3": random_.random() < 0.3,
        "graphics": random_.random() < 0.7,
        "quarantine_attempts": 1,
    }


# -- one run, and what must hold of it -----------------------------------------------------------


@dataclass(slots=True)
class Finding:
    """Something that must not be.

    Attributes:
        what: In words.
        names: The files that it concerns; empty where it is the whole run.
    """

    what: str
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What one run came to."""

    findings: list[Finding] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    ended_workers: dict[str, str] = field(default_factory=dict)


def check_run(folder: Path, files: dict[str, bytes], overrides: dict[str, object]) -> Report:
    """Compress the files once, and look at everything.

    Args:
        folder: An empty folder.
        files: Content by name.
        overrides: The run's settings.
    """
    report = Report()
    try:
        with _alarm(RUN_LIMIT_S):
            result = compress(folder, files, overrides)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        report.findings.append(Finding(f"the run ended with {traceback.format_exc()}"))
        return report
    source = folder / "source"
    _check_rows(report, result, files)
    _check_files(report, result, result.output)
    for name, data in files.items():
        if (source / name).read_bytes() != data:
            report.findings.append(Finding("the source was written to", [name]))
    if {path.name for path in source.iterdir()} != set(files):
        report.findings.append(Finding("the source folder was written to"))
    if result.peak_memory_bytes > MEMORY_BUDGET_BYTES:
        peak = f"{result.peak_memory_bytes / 1e6:.0f} MB"
        report.findings.append(Finding(f"memory rose to {peak}, beyond the budget"))
    return report


def compress(folder: Path, files: dict[str, bytes], overrides: dict[str, object]) -> FolderResult:
    """Write the files to ``source`` in a folder, and compress them to ``output`` there."""
    (folder / "source").mkdir()
    for name, data in files.items():
        (folder / "source" / name).write_bytes(data)
    return compress_folder(
        folder / "source",
        folder / "output",
        preset="throughput",
        overrides=overrides,
        settings=load_settings(DEFAULT_SETTINGS_PATH),
        logger=_QUIET,
    )


@contextlib.contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the run did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _check_rows(report: Report, result: FolderResult, files: dict[str, bytes]) -> None:
    wanted = {
        (name, variant, format_name)
        for name in files
        for variant in ("thumbnail", "full")
        for format_name in EXTENSIONS
    }
    seen: Counter[tuple[str, str, str]] = Counter()
    reasons = {reason.value for reason in Reason}
    for row in result.rows:
        name, status, reason = row["source_key"], row["status"], row["reason"]
        seen[name, row["variant"], row["format"]] += 1
        report.reasons[reason or status] += 1
        problem = None
        if status == "written":
            if reason is not None or not row["size_bytes"] or not row["sha256"]:
                problem = "a written row lacks something"
        elif status not in ("rejected", "failed"):
            problem = f"status {status}"
        elif reason not in reasons:
            problem = f"reason {reason!r} is not in the list"
        elif (Reason(reason) in FAILED_REASONS) != (status == "failed"):
            problem = f"reason {reason!r} as {status}"
        elif not row["message"] or len(row["message"]) < 12 or row["message"][-1] not in ".:":
            problem = f"no sentence: {row['message']!r}"
        elif "defect" in row["message"]:
            problem = row["message"]
        elif Reason(reason) in _ENDS_WORKER:
            report.ended_workers[name] = f"{reason}: {row['message']}"
        if problem is not None:
            report.findings.append(Finding(problem, [name]))
    for key in wanted - set(seen):
        report.findings.append(Finding(f"no row for {key[1]} as {key[2]}", [key[0]]))
    for key, count in seen.items():
        if key not in wanted or count != 1:
            report.findings.append(Finding(f"{count} rows for {key}", [key[0]]))


def _check_files(report: Report, result: FolderResult, output: Path) -> None:
    root = output / "renditions"
    expected: dict[Path, dict[str, Any]] = {}
    for row in result.rows:
        if row["status"] == "written":
            name = f"{row['variant']}{EXTENSIONS[row['format']]}"
            folder = root / result.partitions[0].partition_key / row["source_key"]
            expected[folder / name] = row
    found = {path for path in root.rglob("*") if path.is_file()} if root.is_dir() else set()
    # A worker that was ended in the middle of an image leaves what was whole by then.
    for path in found ^ set(expected):
        if path in found and path.parent.name in report.ended_workers:
            continue
        what = "a file that no row tells of" if path in found else "a rendition is missing"
        report.findings.append(Finding(f"{what}: {path}", [path.parent.name]))
    for path in output.rglob(".*.tmp"):
        report.findings.append(Finding(f"a temporary file: {path}", [path.parent.name]))
    for path in found & set(expected):
        problem = _problem_of(path, expected[path])
        if problem is not None:
            report.findings.append(Finding(f"{path.name}: {problem}", [path.parent.name]))


def _problem_of(path: Path, row: dict[str, Any]) -> str | None:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != row["sha256"] or len(data) != row["size_bytes"]:
        return "is not what its row says"
    try:
        with Image.open(io.BytesIO(data)) as image:
            frames = int(getattr(image, "n_frames", 1))
            for index in range(frames):
                image.seek(index)
                image.load()
            size = image.size
    except Exception as error:
        return f"cannot be read: {error!r}"
    if size != (row["width_px"], row["height_px"]) or frames != row["frames"]:
        return f"{size} in {frames} frames, its row says {row['width_px']} x {row['height_px']}"
    if frames == 1 and (row["source_frames"] or 1) > 1 and not row["note"]:
        return "a still of a moving picture, and its row does not say so"
    return None


# -- sessions ------------------------------------------------------------------------------------


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_batch(files: dict[str, bytes], overrides: dict[str, object]) -> Report:
    """Check one run in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        return check_run(Path(folder), files, overrides)


def keep(
    folder: Path, files: dict[str, bytes], overrides: dict[str, object], report: Report
) -> None:
    """Keep the inputs of a report's findings, to be replayed."""
    concerned = {name for finding in report.findings for name in finding.names}
    if any(not finding.names for finding in report.findings):
        concerned = set(files)
    concerned |= set(report.ended_workers)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inputs").mkdir(parents=True)
    for name in concerned & set(files):
        (folder / "inputs" / name).write_bytes(files[name])
    about = {
        "overrides": overrides,
        "findings": [[finding.what, finding.names] for finding in report.findings],
        "ended_workers": report.ended_workers,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def replay(folder: Path) -> Report:
    """Run what `keep` kept once more."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    files = {path.name: path.read_bytes() for path in (folder / "inputs").iterdir()}
    return run_batch(files, about["overrides"])


def session(seed: int, seconds: float, kept: Path, count: int) -> int:
    """Run batches until the time is over; return how many broke a promise."""
    seeds = {**make_seeds(), **odd_seeds()}
    _say(f"FUZZ_SEED={seed}, {len(seeds)} good files, {seconds:g} s")
    started, number, broken, total = time.monotonic(), 0, 0, 0
    reasons: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    while time.monotonic() - started < seconds:
        files, overrides = make_batch(seed, number, seeds, count)
        report = run_batch(files, overrides)
        total += len(files)
        reasons += report.reasons
        ended.update(text.partition(":")[0] for text in report.ended_workers.values())
        if report.findings or report.ended_workers:
            folder = kept / f"{seed}-{number:04d}"
            keep(folder, files, overrides, report)
            for finding in sorted({f"{f.what} {' '.join(f.names)}" for f in report.findings}):
                _say(f"BROKEN: {finding}")
            for name, text in report.ended_workers.items():
                _say(f"ended a worker: {name}: {text}")
            _say(f"  replay: python -m image_assets_tests.fuzz --replay {folder}")
            broken += bool(report.findings)
        number += 1
    _say(f"{total} files in {number} runs; {broken} runs broke a promise.")
    _say("Rows: " + ", ".join(f"{count} {name}" for name, count in reasons.most_common()))
    _say("Workers ended: " + (", ".join(f"{n} {name}" for name, n in ended.items()) or "none"))
    return broken


def main() -> int:
    """Fuzz, or replay."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--replay", type=Path, help="a folder that a session kept")
    parser.add_argument("--files", type=int, default=200, help="files in a run")
    arguments = parser.parse_args()
    if arguments.replay is not None:
        report = replay(arguments.replay)
        for finding in report.findings:
            _say(f"BROKEN: {finding.what} {' '.join(finding.names)}")
        for name, text in report.ended_workers.items():
            _say(f"ended a worker: {name}: {text}")
        return 1 if report.findings else 0
    warnings.simplefilter("ignore")  # of broken metadata, in what is read back
    seed = int(os.environ.get("FUZZ_SEED") or time.time())
    seconds = float(os.environ.get("FUZZ_SECONDS") or 600)
    return 1 if session(seed, seconds, REPOSITORY / ".fuzz", arguments.files) else 0


if __name__ == "__main__":
    sys.exit(main())
