"""Small files that decode to much, that lie, or that have lost their end."""

import struct
import zlib
from typing import Final

PNG_START: Final = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """A chunk with its length and its sum."""
    return (
        struct.pack(">I", len(payload))
        + kind
        + payload
        + struct.pack(">I", zlib.crc32(kind + payload))
    )


def png_header(width: int, height: int, bits: int = 8, colour_type: int = 2) -> bytes:
    """Signature and IHDR."""
    return PNG_START + png_chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    )


def flat_png(width: int, height: int, bits: int = 8, colour_type: int = 2) -> bytes:
    """A whole PNG of one colour, black, whatever its size: zeros of any length pack to little."""
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    row = bytes(1 + (width * bits * samples + 7) // 8)
    packer = zlib.compressobj(1)
    rows_at_once = max(1, 10_000_000 // len(row))
    parts = [
        packer.compress(row * min(rows_at_once, height - top))
        for top in range(0, height, rows_at_once)
    ]
    pixels = b"".join([*parts, packer.flush()])
    palette = png_chunk(b"PLTE", bytes(768)) if colour_type == 3 else b""
    return b"".join(
        [
            png_header(width, height, bits, colour_type),
            palette,
            png_chunk(b"IDAT", pixels),
            png_chunk(b"IEND", b""),
        ]
    )


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG with one more chunk right behind its header."""
    place = len(PNG_START) + 25
    return png[:place] + chunk + png[place:]


def text_bomb(kind: bytes, unpacked_bytes: int) -> bytes:
    """A chunk of compressed text or profile that unpacks to so many zeros."""
    packed = zlib.compress(bytes(unpacked_bytes), 9)
    body = {
        b"zTXt": b"Comment\0\0" + packed,
        b"iCCP": b"profile\0\0" + packed,
        b"iTXt": b"Comment\0\1\0\0\0" + packed,
    }[kind]
    return png_chunk(kind, body)


def gif_of(frames: int, size: tuple[int, int] = (1, 1), *, is_ended: bool = True) -> bytes:
    """A GIF of one grey pixel in each of so many frames, 20 bytes each."""
    width, height = size
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(3) + b"\x80" * 3
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    return head + frame * frames + (b"\x3b" if is_ended else b"")


def lying_webp(extended: bytes, width: int, height: int) -> bytes:
    """An extended WebP whose header states another size."""
    assert extended[12:16] == b"VP8X"
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return extended[:24] + sides + extended[30:]


def jpeg_of_scans(progressive: bytes, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes so often more."""
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + last * scans + b"\xff\xd9"


def jpeg_of_precision(jpeg: bytes, bits: int) -> bytes:
    """A JPEG whose header states another number of bits a sample."""
    place = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:place] + bytes([bits]) + jpeg[place + 1 :]


def raw_tiff(entries: list[tuple[int, int, int, bytes]], *, big_endian: bool = False) -> bytes:
    """A TIFF of one directory: tag, type, count and value bytes of each entry, in file order."""
    order = ">" if big_endian else "<"
    start = 8 + 2 + 12 * len(entries) + 4
    directory, tail = b"", b""
    for tag, kind, count, value in sorted(entries):
        if len(value) <= 4:
            place = value.ljust(4, b"\0")
        else:
            place = struct.pack(order + "I", start + len(tail))
            tail += value
        directory += struct.pack(order + "HHI", tag, kind, count) + place
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries)) + directory + bytes(4) + tail + bytes(100)
