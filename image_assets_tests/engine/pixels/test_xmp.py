import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.pixels.xmp import (
    PACKET_MAX_BYTES,
    Rights,
    UnsafeXmpError,
    read_rights,
    settle,
    to_utf8,
    write_rights,
)
from image_assets_tests.metadata_marks import xmp_packet

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
DC = 'xmlns:dc="http://purl.org/dc/elements/1.1/"'
CREATOR = "http://purl.org/dc/elements/1.1/ creator"
RIGHTS = "http://purl.org/dc/elements/1.1/ rights"

# What XML can carry; line ends are its own to change.
TEXTS = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=40
).filter(lambda text: text.strip() == text)


def packet(body: str, attributes: str = "") -> bytes:
    return (
        f'<rdf:RDF {RDF}><rdf:Description {DC} {attributes} rdf:about="">{body}</rdf:Description>'
        "</rdf:RDF>"
    ).encode()


def test_rights_are_found_as_elements_attributes_and_plain_text() -> None:
    seq = "<dc:creator><rdf:Seq><rdf:li>A</rdf:li><rdf:li>B</rdf:li></rdf:Seq></dc:creator>"
    assert read_rights(packet(seq)).found == {CREATOR: [("", "A"), ("", "B")]}
    assert read_rights(packet("<dc:creator>A</dc:creator>")).found == {CREATOR: [("", "A")]}
    assert read_rights(packet("", 'dc:rights="all"')).found == {RIGHTS: [("x-default", "all")]}


def test_other_prefixes_for_the_same_names_are_the_same() -> None:
    other = (
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description>'
        '<creator xmlns="http://purl.org/dc/elements/1.1/"><r:Seq><r:li>A</r:li></r:Seq></creator>'
        "</r:Description></r:RDF>"
    )
    assert read_rights(other.encode()).names_creator


def test_what_is_called_the_same_elsewhere_is_not_taken() -> None:
    for body in (
        "<dc:source><dc:creator>A</dc:creator></dc:source>",
        '<x:creator xmlns:x="http://example.org/">A</x:creator>',
        "<dc:title>creator</dc:title>",
    ):
        assert read_rights(packet(body)).found == {}


@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS)
def test_what_is_written_is_what_is_read(creators: list[str], holder: str) -> None:
    rights = Rights()
    rights.state(creators, holder)
    assert read_rights(write_rights(rights)).found == rights.found


def test_written_packets_hold_rights_and_nothing_else() -> None:
    written = write_rights(read_rights(to_utf8(xmp_packet())))
    assert b"XMPOWNERMARK" in written
    for gone in (b"SerialNumber", b"GPS", b"Thumbnail", b"xpacket", b"Orientation", b"  "):
        assert gone not in written
    assert write_rights(Rights()) == b""


@pytest.mark.parametrize(
    "declaration",
    ['<!DOCTYPE x [<!ENTITY a "b">]>', '<!DOCTYPE x SYSTEM "http://example.org/x.dtd">'],
)
def test_a_document_type_is_refused_before_anything_is_expanded(declaration: str) -> None:
    with pytest.raises(UnsafeXmpError):
        read_rights(declaration.encode() + packet("<dc:creator>A</dc:creator>"))


@pytest.mark.parametrize(
    "broken", [b"", b"<x>", b"<x></y>", b"\xff\xfe<", b"\x00\x01", b"<x>&a;</x>"]
)
def test_what_is_no_xml_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match=r"XMP|utf-16|truncated"):
        read_rights(to_utf8(broken))


def test_a_packet_beyond_the_limit_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="8000001 bytes"):
        read_rights(b" " * (PACKET_MAX_BYTES + 1))


def test_long_texts_and_long_lists_are_cut() -> None:
    long = "x" * 100_000
    many = "<rdf:li>A</rdf:li>" * 10_000
    found = read_rights(
        packet(f"<dc:creator><rdf:Seq>{many}</rdf:Seq></dc:creator><dc:rights>{long}</dc:rights>")
    ).found
    assert len(found[CREATOR]) == 50
    assert len(found[RIGHTS][0][1]) == 2_000


def test_a_settled_packet_is_upright_and_of_the_renditions_size() -> None:
    elements = packet(
        '<tiff:Orientation xmlns:tiff="http://ns.adobe.com/tiff/1.0/">6</tiff:Orientation>'
        '<exif:PixelYDimension xmlns:exif="http://ns.adobe.com/exif/1.0/"> 3000 '
        "</exif:PixelYDimension>"
    )
    # As RDF allows, with the declaration elsewhere.
    for made in (elements, elements.replace(b' xmlns:tiff="http://ns.adobe.com/tiff/1.0/"', b"")):
        settled = settle(made, (30, 20), Rights())
        assert b">6<" not in settled
        assert b"3000" not in settled


def test_missing_rights_are_added_to_a_settled_packet() -> None:
    missing = Rights()
    missing.state(["A"], "B & C")
    settled = settle(to_utf8(xmp_packet(owner=False)), (30, 20), missing)
    assert read_rights(settled).found == missing.found
    assert b"XMPSERIALMARK" in settled


@pytest.mark.parametrize(
    "inside",
    [
        b" " * 1_000_000,
        b" " * 1_000_000 + b"<?xpacket end" * 50_000,
        b"<!--" + b"<xmp:Thumbnails>" * 60_000 + b"-->",
        b"<!--" + b"<xmp:Thumbnails/>" * 60_000 + b"-->",
        b"<!--" + b'tiff:Orientation="' * 50_000 + b" " * 500_000 + b"-->",
    ],
    ids=["space", "ends", "thumbnails", "closed thumbnails", "orientations"],
)
def test_a_packet_is_settled_in_time_that_grows_with_its_size_alone(inside: bytes) -> None:
    whole = b"<x>" + inside + b"</x>"
    began = time.process_time()
    settle(whole, (40, 30), Rights())
    assert time.process_time() - began < 1


def test_thumbnails_go_whole_and_a_packet_goes_where_they_cannot_be_told() -> None:
    one = b"<xmp:Thumbnails><rdf:Alt>MARK</rdf:Alt></xmp:Thumbnails >"
    other = b'<xap:Thumbnails a="1"/>'
    kept = settle(b"<x>1" + one + b"2" + other + b"3" + one + b"4</x>", (4, 3), Rights())
    assert kept == b"<x>1234</x>"
    assert settle(b"<x><!--<xmp:Thumbnails>--></x>", (4, 3), Rights()) == b""
    assert settle(b"<x/>    <?xpacket end='w'?>", (4, 3), Rights()) == b"<x/>\n<?xpacket end='w'?>"
