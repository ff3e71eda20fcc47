"""Read the rights that an XMP packet states, and write a packet that states nothing else.

Packets come from strangers: they are read by a streaming parser that stops at the first DOCTYPE or
entity, builds no tree and keeps a few short texts, whatever their size.
"""

import re
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

PACKET_MAX_BYTES: Final = 8_000_000
"""What is larger is not looked into: 8 MB take 0.1 s, and the largest that editors write (layered
pictures with all their ancestors) have about 1 MB."""

_TEXT_MAX: Final = 2_000
_ITEMS_MAX: Final = 50

_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_DC: Final = "http://purl.org/dc/elements/1.1/"
_RIGHTS: Final = "http://ns.adobe.com/xap/1.0/rights/"
_PHOTOSHOP: Final = "http://ns.adobe.com/photoshop/1.0/"
_LANGUAGE: Final = "http://www.w3.org/XML/1998/namespace lang"
_PREFIXES: Final = {_DC: "dc", _RIGHTS: "xmpRights", _PHOTOSHOP: "photoshop"}

_KEPT: Final = {
    f"{_DC} creator": "Seq",
    f"{_DC} rights": "Alt",
    f"{_PHOTOSHOP} Credit": "",
    f"{_RIGHTS} Marked": "",
    f"{_RIGHTS} WebStatement": "",
    f"{_RIGHTS} Certificate": "",
    f"{_RIGHTS} Owner": "Bag",
    f"{_RIGHTS} UsageTerms": "Alt",
}
"""Properties that are kept, by name and kind of list."""

_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})

Item = tuple[str, str]
"""Language, or empty, and text."""


@dataclass(slots=True)
class Rights:
    """What a packet says of its owner, by property."""

    found: dict[str, list[Item]] = field(default_factory=dict)

    @property
    def names_creator(self) -> bool:
        """Whether a creator is named."""
        return f"{_DC} creator" in self.found

    @property
    def names_holder(self) -> bool:
        """Whether rights are stated."""
        return f"{_DC} rights" in self.found

    def add(self, name: str, language: str, text: str) -> None:
        """Keep a text of a property, shortened; nothing where it is blank or one too many."""
        text = text.strip()[:_TEXT_MAX]
        items = self.found.get(name, [])
        if text and len(items) < _ITEMS_MAX:
            self.found[name] = [*items, (language[:40], text)]

    def state(self, creators: list[str], holder: str) -> None:
        """Add creators and a copyright notice that came from elsewhere."""
        for creator in creators:
            self.add(f"{_DC} creator", "", creator)
        self.add(f"{_DC} rights", "x-default", holder)


class UnsafeXmpError(ValueError):
    """A packet that declares a document type or entities."""


def to_utf8(packet: bytes) -> bytes:
    """Return a packet in UTF-8, without what may surround it.

    Raises:
        ValueError: It begins as UTF-16, which it is not.
    """
    if packet.startswith((b"\xff\xfe", b"\xfe\xff")):
        packet = packet.decode("utf-16").encode()
    return packet.strip(b"\x00 \r\n\t")


def read_rights(packet: bytes) -> Rights:
    """Return what a packet says of its owner.

    Args:
        packet: UTF-8, as `to_utf8` returns it, of at most `PACKET_MAX_BYTES`.

    Raises:
        ValueError: It is too large, is not XML, or is `UnsafeXmpError`.
    """
    if len(packet) > PACKET_MAX_BYTES:
        raise ValueError(f"XMP of {len(packet)} bytes")
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(f"XMP: {error}") from error
    return reader.rights


def _refuse(*_declaration: object) -> None:
    raise UnsafeXmpError("XMP with a DOCTYPE or entities")


class _Reader:
    """Follows a packet and keeps the properties of `_KEPT`."""

    def __init__(self) -> None:
        self.rights = Rights()
        self._path: list[str] = []
        self._property = ""
        self._depth = 0
        self._language = ""
        self._texts: list[str] = []
        self._length = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        inside = self._path[-1] == f"{_RDF} Description" if self._path else False
        self._path.append(name)
        if name == f"{_RDF} Description" and not self._property:
            for key in _KEPT.keys() & attributes.keys():
                self.rights.add(key, "x-default" if _KEPT[key] == "Alt" else "", attributes[key])
        elif inside and name in _KEPT and not self._property:
            self._property, self._depth = name, len(self._path)
            self._begin_text(attributes.get(_LANGUAGE, ""))
            self.rights.add(name, "", attributes.get(f"{_RDF} resource", ""))
        elif self._property and name == f"{_RDF} li":
            self._begin_text(attributes.get(_LANGUAGE, ""))

    def end(self, name: str) -> None:
        if self._property and (name == f"{_RDF} li" or len(self._path) == self._depth):
            self.rights.add(self._property, self._language, "".join(self._texts))
            self._begin_text("")
            if len(self._path) == self._depth:
                self._property = ""
        self._path.pop()

    def text(self, text: str) -> None:
        if self._property and self._length <= _TEXT_MAX:
            self._texts.append(text)
            self._length += len(text)

    def _begin_text(self, language: str) -> None:
        self._language, self._texts, self._length = language, [], 0


def write_rights(rights: Rights) -> bytes:
    """Return a packet that states these rights and nothing else; empty where there are none."""
    if not rights.found:
        return b""
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
        f"{_description(rights)}</rdf:RDF></x:xmpmeta>"
    ).encode()


def _description(rights: Rights) -> str:
    spaces = sorted({name.split(" ")[0] for name in rights.found})
    declared = "".join(f' xmlns:{_PREFIXES[space]}="{space}"' for space in spaces)
    body = "".join(_property(name, items) for name, items in sorted(rights.found.items()))
    return f'<rdf:Description rdf:about=""{declared}>{body}</rdf:Description>'


def _property(name: str, items: list[Item]) -> str:
    space, local = name.split(" ")
    tag, kind = f"{_PREFIXES[space]}:{local}", _KEPT[name]
    if not kind:
        return f"<{tag}>{items[0][1].translate(_ESCAPES)}</{tag}>"
    entries = []
    for language, text in items:
        language = language or "x-default"
        said = f' xml:lang="{language.translate(_ESCAPES)}"' if kind == "Alt" else ""
        entries.append(f"<rdf:li{said}>{text.translate(_ESCAPES)}</rdf:li>")
    return f"<{tag}><rdf:{kind}>{''.join(entries)}</rdf:{kind}></{tag}>"


_PACKET_END: Final = b"<?xpacket end"
_SPACE: Final = b" \t\r\n"
_THUMBNAILS: Final = re.compile(rb"<(\w{1,40}:Thumbnails)\b")
_RDF_END: Final = re.compile(rb"</(\w+):RDF\s*>")


def settle(packet: bytes, size: tuple[int, int], missing: Rights) -> bytes:
    """Return a whole packet for a rendition: it is upright, of another size, without thumbnails.

    Empty where these cannot be told from the rest (they are in a comment, say).

    Args:
        packet: One that `read_rights` has read.
        size: Width and height of the rendition, pixels.
        missing: Rights that it does not state, to be added.
    """
    packet = _without_padding(_without_thumbnails(packet))
    facts = {b"Orientation": 1, b"ImageWidth": size[0], b"ImageLength": size[1]}
    facts |= {b"PixelXDimension": size[0], b"PixelYDimension": size[1]}
    for name, value in facts.items():
        named = rb"(?:tiff|exif):" + name
        number = rb"\g<1>%d\g<2>" % value
        packet = re.sub(rb"(\b" + named + rb"\s*=\s*[\"'])\s*\d+\s*([\"'])", number, packet)
        packet = re.sub(rb"(<" + named + rb"\b[^<>]*>)\s*\d+\s*(<)", number, packet)
    end = list(_RDF_END.finditer(packet))
    if missing.found and end and end[-1][1] == b"rdf":
        place = end[-1].start()
        packet = packet[:place] + _description(missing).encode() + packet[place:]
    return packet


def _without_thumbnails(packet: bytes) -> bytes:
    """Empty where one has no end; no byte is looked at twice, whatever is in a packet of 8 MB."""
    kept, position = [], 0
    while match := _THUMBNAILS.search(packet, position):
        kept.append(packet[position : match.start()])
        position = packet.find(b">", match.end()) + 1
        if position and packet[position - 2 : position] != b"/>":
            last = re.compile(rb"</" + match[1] + rb"\s*>").search(packet, position)
            position = last.end() if last else 0
        if not position:
            return b""
    return b"".join([*kept, packet[position:]])


def _without_padding(packet: bytes) -> bytes:
    """Editors leave some kB of space before the end of a packet, to be written into."""
    end = packet.rfind(_PACKET_END)
    if end < 0:
        return packet
    return packet[:end].rstrip(_SPACE) + b"\n" + packet[end:]
