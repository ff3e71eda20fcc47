"""What a rendition keeps of its source's metadata: nothing, its rights, or all of EXIF and XMP.

``rights`` keeps EXIF's artist and copyright and XMP's statements of creator and rights; where a
JPEG or TIFF names them in IPTC alone, they become EXIF. ``all`` keeps EXIF and XMP as they are, but
for orientation, dimensions and thumbnails, which would lie. Everything else (comments, text chunks,
IPTC, maker's segments) is gone in every case: it is never copied.

Metadata is strangers' data in formats that invite mistakes: whatever breaks it, the image is made,
with less of it.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from image_assets.engine.pixels.xmp import (
    PACKET_MAX_BYTES,
    Rights,
    read_rights,
    settle,
    to_utf8,
    write_rights,
)

_ARTIST_TAG: Final = 0x013B
_COPYRIGHT_TAG: Final = 0x8298
_ORIENTATION_TAG: Final = 0x0112
_EXIF_IFD_TAG: Final = 0x8769
_IPTC_CREATOR: Final = (2, 80)
_IPTC_COPYRIGHT: Final = (2, 116)

_BLOCK_MAX_BYTES: Final = 65_000
"""A block must fit a JPEG segment (65,533 bytes with its name). A larger one is reduced to its
rights, in every format alike."""

_TEXT_MAX_BYTES: Final = 2_000
_ENTRIES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is embedded in a rendition; empty where there is none.

    Attributes:
        exif: EXIF block, with the name before it that Pillow's writers expect.
        xmp: XMP packet, UTF-8.
    """

    exif: bytes = b""
    xmp: bytes = b""


NO_METADATA: Final = Metadata()


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """What of a source may be kept; read once, embedded in renditions of any size.

    Attributes:
        rights: EXIF and XMP of its rights alone.
        exif: Its whole EXIF block; empty where that is missing, broken, or not to be kept.
        xmp: Its whole packet, likewise.
        missing: Rights that neither whole block states.
    """

    rights: Metadata = NO_METADATA
    exif: bytes = b""
    xmp: bytes = b""
    missing: Rights | None = None

    def for_size(self, size: tuple[int, int]) -> Metadata:
        """Return what a rendition of a size embeds.

        Args:
            size: Width and height, pixels.
        """
        exif, xmp = self.rights.exif, self.rights.xmp
        if self.exif:
            exif = _settled_exif(self.exif, size) or exif
        if self.xmp:
            xmp = _limited(settle(self.xmp, size, self.missing or Rights())) or xmp
        return Metadata(exif, xmp)


def read_metadata(image: Image.Image, setting: str) -> SourceMetadata:
    """Read what is to be kept of a source.

    Args:
        image: Decoded, and still the opened object.
        setting: ``none``, ``rights`` or ``all``.
    """
    if setting == "none":
        return SourceMetadata()
    packet, stated = _xmp(image)
    owner = _exif_rights(image)
    creators, holder = _iptc_rights(image)
    if _ARTIST_TAG in owner or stated.names_creator:
        creators = []
    if _COPYRIGHT_TAG in owner or stated.names_holder:
        holder = ""
    missing = Rights()
    missing.state(creators, holder)
    if creators:
        owner[_ARTIST_TAG] = "; ".join(creators).encode()[:_TEXT_MAX_BYTES]
    if holder:
        owner[_COPYRIGHT_TAG] = holder.encode()[:_TEXT_MAX_BYTES]
    rights = Metadata(_exif_of(owner), _limited(write_rights(stated)))
    if setting == "rights":
        return SourceMetadata(rights)
    whole = _limited(_exif_block(image))
    if missing.found and whole and not packet:
        # The block has no room for them.
        rights = Metadata(rights.exif, write_rights(missing))
    return SourceMetadata(rights, whole, packet, missing)


def _limited(block: bytes) -> bytes:
    return block if len(block) <= _BLOCK_MAX_BYTES else b""


# ---------------------------------------------------------------------------------------- EXIF


def _exif_rights(image: Image.Image) -> dict[int, bytes]:
    try:
        source = image.getexif()
        values = {tag: source.get(tag) for tag in (_ARTIST_TAG, _COPYRIGHT_TAG)}
    except Exception:  # EXIF is parsed in Python: whatever breaks it, it is only metadata
        return {}
    # Pillow reads EXIF text as Latin-1 and would write it as ASCII with question marks: as bytes
    # it stays what the source has, UTF-8 too.
    raw = {
        tag: value.encode("latin-1", errors="replace") if isinstance(value, str) else value
        for tag, value in values.items()
    }
    return {
        tag: value.rstrip(b"\x00")[:_TEXT_MAX_BYTES]
        for tag, value in raw.items()
        if isinstance(value, bytes) and value.strip(b"\x00 \t\r\n")
    }


def _exif_of(values: Mapping[int, bytes]) -> bytes:
    if not values:
        return b""
    block = Image.Exif()
    for tag, value in values.items():
        block[tag] = value
    return block.tobytes()


_NAME: Final = b"Exif\x00\x00"


def _without_name(block: bytes) -> bytes:
    return block.removeprefix(_NAME)


def _exif_block(image: Image.Image) -> bytes:
    """Return the source's EXIF block as it is; that of a TIFF is the file itself, and is made."""
    if image.format == "TIFF":
        return _tiff_exif(image)
    block = image.info.get("exif")
    if isinstance(block, bytes):
        return _without_name(block)
    try:  # a PNG may have it as hexadecimal text, which Pillow reads
        exif = image.getexif()
        return _without_name(exif.tobytes()) if len(exif) else b""
    except Exception:  # it is only metadata
        return b""


_DESCRIPTIVE_TIFF_TAGS: Final = (
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, _ARTIST_TAG, 0x013C, _COPYRIGHT_TAG),
)
"""Document, description, make, model, software, date, artist, host, copyright. A TIFF's other tags
say how its pixels are stored."""


def _tiff_exif(image: Image.Image) -> bytes:
    try:
        source, block = image.getexif(), Image.Exif()
        for tag in _DESCRIPTIVE_TIFF_TAGS:
            value = source.get(tag)
            if isinstance(value, str) and value.strip():
                block[tag] = value.encode("latin-1", errors="replace")
        for ifd in (_EXIF_IFD_TAG, 0x8825):
            entries = source.get_ifd(ifd)
            if entries:
                block.get_ifd(ifd).update(entries)
        return _without_name(block.tobytes())
    except Exception:  # it is only metadata
        return b""


_RESOLUTION_TAGS: Final = (0x011A, 0x011B)
_RATIONAL: Final = 5

# Size and number format of the types that the tags below may have: BYTE, SHORT, LONG.
_NUMBERS: Final = {1: "B", 3: "H", 4: "I"}


def _settled_exif(block: bytes, size: tuple[int, int]) -> bytes:
    """Return a block for a rendition: no orientation, its own dimensions, no thumbnail.

    It is changed in place, so that whatever else is in it stays as it is, maker notes too.
    Empty where its structure is not what it should be.
    """
    width, height = size
    try:
        order = {b"II*\x00": "<", b"MM\x00*": ">"}[block[:4]]
        data = bytearray(block)
        [first] = struct.unpack_from(order + "I", data, 4)
        if _ORIENTATION_TAG in _entries(data, order, first):
            _remove_entry(data, order, first, _ORIENTATION_TAG)
        for tag in _RESOLUTION_TAGS:
            at = _entries(data, order, first).get(tag)
            if at is not None and struct.unpack_from(order + "H", data, at + 2)[0] != _RATIONAL:
                # Pillow reads it when it opens a JPEG, and cannot where it is no number.
                _remove_entry(data, order, first, tag)
        next_at = _set_numbers(data, order, first, {0x0100: width, 0x0101: height})
        for at in _entries(data, order, first).values():
            tag, kind, _, value = struct.unpack_from(order + "HHII", data, at)
            if tag == _EXIF_IFD_TAG and kind == 4:
                _set_numbers(data, order, value, {0xA002: width, 0xA003: height})
        [second] = struct.unpack_from(order + "I", data, next_at)
        if second:
            _remove_thumbnail(data, order, second, next_at)
        settled = _NAME + bytes(data)
        Image.Exif().load(settled)  # which a writer does again
        return settled
    except Exception:  # it is only metadata
        return b""


def _remove_entry(data: bytearray, order: str, offset: int, tag: int) -> None:
    """Take an entry out of a directory; what the others point to stays where it is."""
    [count] = struct.unpack_from(order + "H", data, offset)
    at, end = _entries(data, order, offset)[tag], offset + 2 + 12 * count + 4
    data[at:end] = data[at + 12 : end] + bytes(12)
    struct.pack_into(order + "H", data, offset, count - 1)


def _entries(data: bytearray, order: str, offset: int) -> dict[int, int]:
    """Return where the entries of a directory lie, by tag."""
    [count] = struct.unpack_from(order + "H", data, offset)
    if count > _ENTRIES_MAX or offset + 2 + 12 * count > len(data):
        raise ValueError(f"EXIF directory of {count} entries")
    places = (offset + 2 + 12 * index for index in range(count))
    return {struct.unpack_from(order + "H", data, at)[0]: at for at in places}


def _set_numbers(data: bytearray, order: str, offset: int, facts: Mapping[int, int]) -> int:
    """Set single numbers of a directory; return where the offset of the next one is."""
    entries = _entries(data, order, offset)
    for tag in facts.keys() & entries.keys():
        at = entries[tag]
        kind, count = struct.unpack_from(order + "HI", data, at + 2)
        if kind not in _NUMBERS or count != 1:
            raise ValueError(f"EXIF tag {tag:#x} of type {kind}")
        struct.pack_into(order + _NUMBERS[kind], data, at + 8, facts[tag])
    [count] = struct.unpack_from(order + "H", data, offset)
    next_at: int = offset + 2 + 12 * count
    return next_at


def _remove_thumbnail(data: bytearray, order: str, offset: int, next_at: int) -> None:
    """Unlink the second directory and erase what it points to, and itself."""
    entries = _entries(data, order, offset)
    end = offset + 2 + 12 * len(entries) + 4
    numbers = {}
    for tag, at in entries.items():
        kind, count, value = struct.unpack_from(order + "HII", data, at + 2)
        if tag in (0x0111, 0x0117, 0x0201, 0x0202):
            if count != 1:  # an uncompressed thumbnail in several strips
                raise ValueError("EXIF thumbnail in strips")
            numbers[tag] = value if kind == 4 else struct.unpack_from(order + "H", data, at + 8)[0]
    for start_tag, length_tag in ((0x0201, 0x0202), (0x0111, 0x0117)):
        start, length = numbers.get(start_tag, 0), numbers.get(length_tag, 0)
        if not length:
            continue
        if start < max(end, next_at + 4):
            raise ValueError("EXIF thumbnail within its directories")
        stop = min(len(data), start + length)
        if stop >= len(data) - 4:  # at the end, where writers put it
            del data[start:]
        else:
            data[start:stop] = bytes(stop - start)
    stop = min(end, len(data))
    data[offset:stop] = bytes(stop - offset)
    struct.pack_into(order + "I", data, next_at, 0)


# ----------------------------------------------------------------------------------- XMP, IPTC


def _xmp(image: Image.Image) -> tuple[bytes, Rights]:
    """Return the packet, where it can be read, and the rights in it."""
    packet: Any = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", errors="replace")
    if not isinstance(packet, bytes):
        return b"", Rights()
    try:
        packet = to_utf8(packet[: PACKET_MAX_BYTES + 1])
        return packet, read_rights(packet)
    except ValueError:
        return b"", Rights()


def _iptc_rights(image: Image.Image) -> tuple[list[str], str]:
    """Return creators and copyright notice of the IPTC block of a JPEG or TIFF."""
    if "photoshop" not in image.info and image.format != "TIFF":
        return [], ""
    try:
        from PIL import IptcImagePlugin

        found = IptcImagePlugin.getiptcinfo(image) or {}  # type: ignore[arg-type]
        creators = _texts(found.get(_IPTC_CREATOR))
        return creators, next(iter(_texts(found.get(_IPTC_COPYRIGHT))), "")
    except Exception:  # IPTC is parsed in Python: whatever breaks it, it is only metadata
        return [], ""


def _texts(value: bytes | list[bytes] | None) -> list[str]:
    values = value if isinstance(value, list) else [value or b""]
    return [text for text in map(_text, values[:50]) if text]


def _text(raw: bytes) -> str:
    """Text of an IPTC field: UTF-8 as nearly all write it by now, else Latin-1."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(char for char in text if char.isprintable()).strip()[:_TEXT_MAX_BYTES]
