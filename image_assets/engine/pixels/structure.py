"""What a file's own structure says, read without a decoder: is it whole, how many frames, scans.

Decoders disagree on what a cut file is: some refuse it, some fill what is missing with grey, and
libjpeg takes any marker for the end of the data. So the containers are walked here, in time that
is bounded by the size of the file and `MAX_PARTS`, and nothing is unpacked beyond a stated size.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from image_assets.engine.pixels.wide_pixels import read_pfm_header
from image_assets.engine.source_key import printable

MAX_PARTS: Final = 100_000
"""Segments, chunks, blocks or pages looked at. A walk takes 0.1 to 1 s for as many; a real file has
some dozens, an animation three a frame."""

MAX_TEXT_BYTES: Final = 4_000_000
"""What all compressed text and profiles of a PNG may come to, unpacked. Pillow refuses the whole
picture beyond 1 MB a chunk; a large printer's profile has 2 to 3. What is beyond is left out."""

_UNPACKED_MAX_BYTES: Final = 4 * MAX_TEXT_BYTES
"""What is unpacked to find that out; chunks that are too large count. Beyond it none is kept."""

_PIECE_BYTES: Final = 65_536
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_ZEROS: Final = bytes(4)
_ZERO_END: Final = "its end is filled with zeros"
_ZERO_END_MIN_BYTES: Final = 512

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES_OF_JPEG: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}) | {0xF7}


@dataclass(slots=True)
class Structure:
    """What was found.

    Attributes:
        data: The file as a decoder should get it: without what cannot be read but is not needed.
        truncated: Why the file is not whole, as the end of a sentence; None where it is.
        broken: What else is wrong with it, as a sentence; None where nothing is.
        unsupported: What it is instead of a picture that is read, as a sentence; None otherwise.
        has_pixels: Whether there is any image data at all.
        frames: Frames or pages; None where the decoder's own count is as good.
        scans: Scans of a JPEG.
        size: Width and height where they are known without a decoder.
        jpeg_kind: Of a JPEG that is not the usual one, such as ``"lossless"``.
        precision_bits: Bits a sample of a JPEG.
        samples_per_pixel: Of a JPEG: 1 for grey, 1.5 for 4:2:0, 3 for 4:4:4.
        scan_end: Where the data of a JPEG's last scan ends.
        has_end: Whether a JPEG's end marker is there.
        needs_libtiff: Pillow's own reader of uncompressed TIFFs takes this one's bytes wrongly.
        compression: Of a TIFF's first page, as its tag has it.
    """

    data: bytes
    truncated: str | None = None
    broken: str | None = None
    unsupported: str | None = None
    has_pixels: bool = False
    frames: int | None = None
    scans: int = 1
    size: tuple[int, int] | None = None
    jpeg_kind: str | None = None
    precision_bits: int = 8
    samples_per_pixel: float = 3.0
    scan_end: int | None = None
    has_end: bool = True
    needs_libtiff: bool = False
    compression: int = 1
    _bits: dict[int, list[int]] = field(default_factory=dict, repr=False)

    def ended_jpeg(self) -> bytes:
        """The JPEG up to the end of its last scan, with an end marker."""
        end = self.scan_end or len(self.data)
        return self.data[:end] + b"\xff\xd9"


def walk(format_name: str, data: bytes, max_scans: int, max_frames: int) -> Structure:
    """Walk a file's container.

    Args:
        format_name: As `sniff` announced it.
        data: The whole file.
        max_scans: Scans of a JPEG beyond which none is counted.
        max_frames: Frames of a GIF beyond which none is counted.
    """
    found = Structure(data)
    try:
        match format_name:
            case "JPEG":
                _walk_jpeg(found, max_scans)
            case "PNG":
                _walk_png(found)
            case "GIF":
                _walk_gif(found, max_frames)
            case "WEBP":
                _walk_webp(found)
            case "TIFF":
                _walk_tiff(found)
            case "AVIF" | "HEIF" | "JXL":
                _walk_boxes(found)
            case "BMP":
                _walk_bmp(found)
            case "PFM":
                _walk_pfm(found)
            case _:
                found.has_pixels = True
    except (IndexError, ValueError, struct.error):
        found.truncated = found.truncated or "it ends inside its header"
    return found


# -- JPEG ----------------------------------------------------------------------------------------


def _walk_jpeg(found: Structure, max_scans: int) -> None:
    data, position, found.scans = found.data, 2, 0
    for _ in range(MAX_PARTS):
        match = _MARKER.search(data, position)
        if match is None:
            found.has_end = False
            _judge_open_end(found)
            return
        marker, position = data[match.start() + 1], match.end()
        if marker == _EOI:
            break
        if marker == _SOI:
            found.truncated = "another image begins before this one has ended"
            return
        if marker == 0x01:  # TEM, the one marker left that has no length
            continue
        length = int.from_bytes(data[position : position + 2])
        body = data[position + 2 : position + min(length, 300)]
        position += max(2, length)
        if marker in _FRAMES_OF_JPEG and not found._bits:
            _read_frame(found, marker, body)
        if marker == _SOS:
            found.scans += 1
            if found.scans > max_scans:
                return
            _read_scan(found, body)
            match = _MARKER.search(data, position)
            found.scan_end = match.start() if match else _end_without_markers(data)
            found.has_pixels = found.has_pixels or found.scan_end > position
            position = found.scan_end
    else:
        found.broken = f"It has more than {MAX_PARTS} segments."
        return
    if not found.scans:
        found.truncated = "it has no image data"
    elif _lacks_scans(found):
        found.truncated = f"only {found.scans} of its scans are there"


def _end_without_markers(data: bytes) -> int:
    """Where data ends that is followed by halves of markers, if any."""
    end = len(data)
    while end:
        start = max(0, end - _PIECE_BYTES)
        kept = len(data[start:end].rstrip(b"\xff"))
        if kept:
            return start + kept
        end = start
    return 0


def _judge_open_end(found: Structure) -> None:
    """Judge a JPEG without an end marker; where only that may be missing, decoding decides."""
    if found.scan_end is None:
        found.truncated = "it ends before its image data"
    elif found.data.endswith(_ZEROS):
        found.truncated = _ZERO_END
    elif _lacks_scans(found):
        found.truncated = f"it ends in scan {found.scans}, before the last"


def _read_frame(found: Structure, marker: int, body: bytes) -> None:
    found.precision_bits = body[0]
    height, width = struct.unpack(">HH", body[1:5])
    found.size = (width, height)
    if marker == 0xF7:
        found.jpeg_kind = "JPEG-LS"
    elif marker in (0xC3, 0xCB):
        found.jpeg_kind = "lossless"
    elif marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF):
        found.jpeg_kind = "hierarchical"
    elif marker in (0xC9, 0xCA):
        found.jpeg_kind = "arithmetic"
    sampling = [body[7 + 3 * n] for n in range(body[5])]
    factors = [(factor >> 4, factor & 15) for factor in sampling]
    largest = max(h for h, _ in factors) * max(v for _, v in factors)
    found.samples_per_pixel = sum(h * v for h, v in factors) / max(1, largest)
    missing = 64 if marker in (0xC2, 0xCA) else 1
    found._bits = {body[6 + 3 * n]: [99] * missing for n in range(body[5])}


def _read_scan(found: Structure, body: bytes) -> None:
    count = body[0]
    first, last, approximation = body[1 + 2 * count : 4 + 2 * count]
    for component in body[1 : 1 + 2 * count : 2]:
        bits = found._bits.get(component)
        if bits is not None:
            for coefficient in range(first, min(last + 1, len(bits))):
                bits[coefficient] = approximation & 15
            if len(bits) == 1:
                bits[0] = 0


def _lacks_scans(found: Structure) -> bool:
    """Whether a component has no data at all, or the first (luma) not all of its bits."""
    every = list(found._bits.values())
    return any(bits[0] == 99 for bits in every) or (bool(every) and any(every[0]))


# -- PNG -----------------------------------------------------------------------------------------


def _chunks(data: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield start, type, start of the payload and its length; the last may reach beyond the end."""
    position = 8
    for _ in range(MAX_PARTS):
        if position >= len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        yield position, kind, position + 8, length
        position += 12 + length


def _walk_png(found: Structure) -> None:
    data = found.data
    view = memoryview(data)
    dropped: list[tuple[int, int]] = []
    left_bytes, unpacked_bytes = MAX_TEXT_BYTES, 0
    ended = False
    for start, kind, payload, length in _chunks(data):
        if start == 8 and kind == b"CgBI":
            found.unsupported = (
                "The file is a PNG as Apple packs it into apps (CgBI), which no browser shows "
                "either; 'pngcrush -revert-iphone-optimizations' turns it back."
            )
            return
        if start == 8 and kind != b"IHDR":
            found.broken = "It does not begin with a header chunk, IHDR."
            return
        end = payload + length + 4
        if end > len(data):
            found.has_pixels = found.has_pixels or (kind == b"IDAT" and payload < len(data))
            break
        whole = zlib.crc32(view[start + 4 : end - 4]) == int.from_bytes(view[end - 4 : end])
        critical = not kind[0] & 0x20
        if critical and not whole and kind != b"IEND":  # that has no data to be wrong
            name = printable(kind.decode("latin-1"))
            found.broken = f"Its {name} chunk at byte {start} has a wrong sum."
        if kind in (b"IDAT", b"fdAT"):
            found.has_pixels = found.has_pixels or length > 0
        elif not critical:
            allowed = left_bytes if unpacked_bytes <= _UNPACKED_MAX_BYTES else 0
            unpacked = _text_bytes(kind, data[payload : end - 4], allowed)
            unpacked_bytes += unpacked
            if not whole or unpacked > allowed:
                dropped.append((start, end))
            else:
                left_bytes -= unpacked
        if kind == b"IEND":
            ended = True
            break
    if not ended:
        found.truncated = "its last chunk, IEND, is missing"
    if dropped:
        found.data = _without(data, dropped)


def _text_bytes(kind: bytes, payload: bytes, limit_bytes: int) -> int:
    """Bytes that a decoder would unpack of a chunk, at most one more than the limit."""
    if kind in (b"zTXt", b"iCCP"):
        packed = payload.partition(b"\0")[2][1:]
    elif kind == b"iTXt":
        rest = payload.partition(b"\0")[2]
        if rest[:1] != b"\1":
            return len(rest)
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    elif kind == b"tEXt":
        return len(payload)
    else:
        return 0
    try:
        return len(zlib.decompressobj().decompress(packed, limit_bytes + 1))
    except zlib.error:
        return 0  # the decoder finds the same and does without


def _without(data: bytes, dropped: list[tuple[int, int]]) -> bytes:
    kept, position = [], 0
    for start, end in dropped:
        kept.append(data[position:start])
        position = end
    return b"".join([*kept, data[position:]])


# -- GIF -----------------------------------------------------------------------------------------


def _walk_gif(found: Structure, max_frames: int) -> None:
    data = found.data
    found.size = struct.unpack_from("<HH", data, 6)
    position = 13 + _palette_bytes(data[10])
    found.frames = 0
    found.truncated = "its end mark is missing"
    while position < len(data):
        kind = data[position]
        if kind == 0x2C:
            found.frames += 1
            # A frame may go beyond the canvas; Pillow then reserves a larger one, unasked.
            left, top, width, height = struct.unpack_from("<4H", data, position + 1)
            right, bottom = found.size
            found.size = (max(right, left + width), max(bottom, top + height))
            position += 10 + _palette_bytes(data[position + 9]) + 1
            found.has_pixels = found.has_pixels or position < len(data)
        elif kind == 0x21:
            position += 2
        else:
            # The end mark, or what no decoder reads on after.
            if kind != 0x3B and _ends_in_zeros(data, len(data)):
                found.truncated = _ZERO_END
            elif kind == 0x3B or found.frames:
                found.truncated = None
            break
        if found.frames > max_frames:
            found.truncated = None
            return
        while data[position]:  # an IndexError is a file that ends inside a block
            position += 1 + data[position]
        position += 1


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _ends_in_zeros(data: bytes, end: int) -> bool:
    """Whether so much of compressed data's end is zeros that it was never downloaded.

    Of one colour and 81 MP, a lossy WebP ends in 5.4 % of zeros, an AVIF, HEIC or GIF in none.
    """
    length = max(_ZERO_END_MIN_BYTES, end // 8)
    return end > length and data.count(0, end - length, end) == length


# -- the others ----------------------------------------------------------------------------------


def _walk_webp(found: Structure) -> None:
    data = found.data
    stated = struct.unpack_from("<I", data, 4)[0] + 8
    if stated > len(data):
        found.truncated = f"{stated - len(data)} of its {stated} bytes are missing"
    elif _ends_in_zeros(data, stated):
        found.truncated = _ZERO_END
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        found.size = (int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1)
        if data[20] & 0x12 == 0x02:
            # It moves and says that its frames have no alpha. What they leave bare of the canvas is
            # transparent all the same, which the decoder tells only where the file says alpha.
            found.data = data[:20] + bytes([data[20] | 0x10]) + data[21:]


def _walk_bmp(found: Structure) -> None:
    data = found.data
    start, header_bytes = struct.unpack_from("<II", data, 10)
    found.has_pixels = len(data) > start
    if header_bytes < 40:
        return
    width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in (0, 3):  # rows as they are, padded to 4 bytes
        size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
        missing = start + size - len(data)
        # A header that lies about its sides is told by the limit on pixels, not as a cut file.
        if missing > 0:
            found.truncated = f"{missing} bytes of its pixels are missing"


_MEDIA_BOXES: Final = frozenset({b"mdat", b"idat", b"jxlc", b"jxlp"})
_INDEX_BOXES: Final = frozenset({b"meta", b"moov"})
_BOXES: Final = (
    frozenset({b"ftyp", b"free", b"skip", b"wide", b"uuid", b"styp", b"moof", b"mfra", b"sidx"})
    | frozenset({b"JXL ", b"jxll", b"jxli", b"jbrd", b"brob", b"Exif", b"xml ", b"jumb", b"jhgm"})
    | _MEDIA_BOXES
    | _INDEX_BOXES
)
"""What a picture's own boxes are called; makers' own are passed over as what follows it."""


def _walk_boxes(found: Structure) -> None:
    """AVIF, HEIF and JPEG XL; a bare JPEG XL stream has no boxes and is its decoder's."""
    data, position, seen = found.data, 0, set[bytes]()
    if data[:2] == b"\xff\x0a":
        return
    for _ in range(MAX_PARTS):
        if position >= len(data):
            return
        kind = data[position + 4 : position + 8]
        if kind not in _BOXES and seen & _MEDIA_BOXES and (b"JXL " in seen or seen & _INDEX_BOXES):
            # The picture's own boxes are over: what somebody added is no part of it. Where one of
            # them was cut within its first bytes, the decoder misses what the index points to.
            found.data = data[:position]
            return
        seen.add(kind)
        length = struct.unpack_from(">I", data, position)[0]
        if length == 1:
            length = struct.unpack_from(">Q", data, position + 8)[0]
        if length == 0:  # to the end of the file
            return
        if position + length > len(data):
            name = printable(kind.decode("latin-1"))
            found.truncated = f"its box '{name}' ends {position + length - len(data)} bytes later"
            return
        if kind in _MEDIA_BOXES and _ends_in_zeros(data, position + length):
            found.truncated = _ZERO_END
            return
        position += max(8, length)


_TIFF_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8,
                      13: 4, 16: 8, 17: 8, 18: 8}  # fmt: skip
_MAKE, _SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 271, 254, 262, 330, 50706
_BITS, _COMPRESSION, _PLANES, _YCBCR = 258, 259, 284, 6
_TAGS_READ: Final = frozenset(
    {_MAKE, _SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION, 273, 279, 324, 325}
    | {_BITS, _COMPRESSION, _PLANES}
)
_SENSOR_PIXELS: Final = frozenset({32803, 34892})  # colour filter array, linear raw
_DATA_TAGS: Final = ((273, 279), (324, 325))  # offsets and lengths of strips, of tiles


def _walk_tiff(found: Structure) -> None:
    """Count pages, look whether the first one's data is there, and tell camera raw by its tags."""
    data = found.data
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    if data[:4] == b"MM\0+":
        found.unsupported = "The file is a BigTIFF whose bytes run backwards (big-endian)."
        return
    if data[:2] == b"II" and data[8:11] == b"CR\2" and not big:
        found.unsupported = _RAW.format("Canon CR2")
        return
    seen: set[int] = set()
    found.frames = 0
    while offset and offset not in seen and len(seen) < MAX_PARTS:
        seen.add(offset)
        if offset >= len(data):
            if not found.frames:
                found.truncated = f"its directory at byte {offset} is missing"
            return
        try:
            wanted = frozenset() if found.frames else _TAGS_READ
            entries, following = _directory(data, offset, order, big, wanted)
        except struct.error:
            if not found.frames:
                raise
            return  # a damaged page after the first, which is not asked for
        if not found.frames:
            _look_at_page(found, entries)
        found.frames += 1
        offset = following


def _directory(
    data: bytes, offset: int, order: str, big: bool, wanted: frozenset[int]
) -> tuple[dict[int, tuple[int, int, bytes]], int]:
    """Return wanted tags to (type, count, value bytes), and where the next directory is."""
    count = struct.unpack_from(order + ("Q" if big else "H"), data, offset)[0]
    start, step = offset + (8 if big else 2), 20 if big else 12
    places: dict[int, int] = {}
    for index in range(min(count, 4096) if wanted else 0):
        tag = struct.unpack_from(order + "H", data, start + index * step)[0]
        if tag in wanted:
            places[tag] = start + index * step
    entries = {}
    # Values last, of each tag one: 4096 entries may all point to the same 100 kB.
    for tag, place in places.items():
        _, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, place)
        room, inline = (12, 8) if big else (8, 4)
        size = number * _TIFF_SIZES.get(kind, 1)
        value = place + room
        if size > inline:
            value = struct.unpack_from(order + ("Q" if big else "I"), data, value)[0]
        entries[tag] = _ordered(kind, number, data[value : value + min(size, MAX_PARTS)], order)
    following = struct.unpack_from(order + ("Q" if big else "I"), data, start + count * step)[0]
    return entries, following


def _ordered(kind: int, number: int, value: bytes, order: str) -> tuple[int, int, bytes]:
    """The entry with its integers little-endian."""
    size = _TIFF_SIZES.get(kind, 1)
    if order == ">" and size > 1:
        value = b"".join(value[n : n + size][::-1] for n in range(0, len(value), size))
    return kind, number, value


def _numbers(entries: dict[int, tuple[int, int, bytes]], tag: int) -> list[int]:
    kind, _, value = entries.get(tag, (4, 0, b""))
    size = _TIFF_SIZES.get(kind, 1)
    return [int.from_bytes(value[n : n + size], "little") for n in range(0, len(value), size)]


_RAW: Final = (
    "The file is camera raw ({}); a TIFF only by name, what Pillow would read of it is its small "
    "preview."
)


def _look_at_page(found: Structure, entries: dict[int, tuple[int, int, bytes]]) -> None:
    is_preview = _numbers(entries, _SUBFILE_TYPE)[:1] == [1] and _SUB_IFDS in entries
    sensor = set(_numbers(entries, _PHOTOMETRIC)) & _SENSOR_PIXELS
    if _DNG_VERSION in entries:
        found.unsupported = _RAW.format("DNG")
    elif (is_preview and _MAKE in entries) or sensor:
        make = entries.get(_MAKE, (2, 0, b"unknown maker"))[2].partition(b"\0")[0]
        found.unsupported = _RAW.format(printable(make.decode("latin-1").strip()))
    found.compression = next(iter(_numbers(entries, _COMPRESSION)), 1)
    is_planar = _numbers(entries, _PLANES)[:1] == [2] and max(_numbers(entries, _BITS) or [1]) > 8
    found.needs_libtiff = is_planar or _YCBCR in _numbers(entries, _PHOTOMETRIC)
    for offsets, lengths in _DATA_TAGS:
        for tag in (offsets, lengths):
            kind, number, value = entries.get(tag, (4, 0, b""))
            if len(value) < min(number * _TIFF_SIZES.get(kind, 1), MAX_PARTS):
                found.truncated = "the list of its first page's image data is cut"
        for offset, length in zip(
            _numbers(entries, offsets), _numbers(entries, lengths), strict=False
        ):
            found.has_pixels = found.has_pixels or (length > 0 and offset < len(found.data))
            if offset + length > len(found.data):
                found.truncated = "part of its first page's image data is missing"


def _walk_pfm(found: Structure) -> None:
    try:
        header = read_pfm_header(found.data)
    except ValueError as error:
        found.broken = str(error)
        return
    found.size = header.size
    missing = header.start + header.row_bytes * header.size[1] - len(found.data)
    found.has_pixels = len(found.data) > header.start
    if missing > 0:
        found.truncated = f"{missing} bytes of its rows are missing"
