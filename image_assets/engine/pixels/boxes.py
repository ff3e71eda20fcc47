"""The boxes of ISO media files: AVIF, HEIC and their sequences."""

import struct
from collections.abc import Iterator

Box = tuple[bytes, int, int]
"""Type, start of the body, end."""


def iter_boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets; stop at what is malformed."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if size == 1 and body + 8 <= end:
            [size] = struct.unpack_from(">Q", data, body)
            body += 8
        elif size == 0:
            size = end - start
        if size < body - start or start + size > end:
            return
        yield kind, body, start + size
        start += size
