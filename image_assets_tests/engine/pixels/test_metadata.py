import io
import struct
from pathlib import Path

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from image_assets.engine.pixels.choice import EncodePolicy
from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.pixels.colour import to_srgb
from image_assets.engine.pixels.encode import choose_encoding, encode_to, prepare
from image_assets.engine.pixels.metadata import NO_METADATA, read_metadata
from image_assets.engine.pixels.opening import decode, open_source
from image_assets.engine.pixels.resize import resize
from image_assets.engine.pixels.upright import read_orientation, turn_upright
from image_assets.engine.pixels.xmp import read_rights
from image_assets_tests.metadata_marks import (
    ARTIST,
    COPYRIGHT,
    FORMATS,
    NEVER_MARKS,
    PRIVATE_MARKS,
    RIGHTS_MARKS,
    exif_block,
    iptc_segment,
    marked_source,
    xmp_packet,
)
from image_assets_tests.photographs import encode_photograph

POLICY = EncodePolicy(8, 1, 3, "#ffffff", codec_versions())
OUTPUTS = ("avif", "webp", "jpeg", "jxl")
SIZE = (40, 60)
MORE_NEVER = ("Display P3", "photoshop:DocumentAncestors")


def opened(data: bytes) -> Image.Image:
    image, header = open_source(data)
    decode(image, header, 1024.0)
    image.load()  # which a JPEG's decoding leaves undone
    return image


def render(
    data: bytes, path: Path, format_name: str, setting: str = "rights", quality: int = 75
) -> bytes:
    """Take an image through the engine's steps, all that touch metadata, and return the file."""
    image = opened(data)
    metadata = read_metadata(image, setting)
    profile = image.info.get("icc_profile")
    image = to_srgb(turn_upright(image, read_orientation(image)), profile).image
    image = resize(image, SIZE)
    encoding = choose_encoding(SIZE, format_name, quality, POLICY)
    encode_to(str(path), prepare(image, format_name, POLICY), encoding, metadata.for_size(SIZE))
    return path.read_bytes()


def assert_none(marks: tuple[str, ...], written: bytes) -> None:
    for mark in marks:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert mark.encode(encoding) not in written, mark


def read_back(written: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(written))
    image.load()
    return image


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("format_name", OUTPUTS)
def test_of_everything_a_source_has_its_rights_alone_are_kept(
    tmp_path: Path, source_format: str, format_name: str
) -> None:
    source = marked_source(source_format)
    assert b"XMPGPSMARK" in source
    assert ARTIST.encode() in source
    written = render(source, tmp_path / "out", format_name)
    assert_none((*PRIVATE_MARKS, *NEVER_MARKS, *MORE_NEVER, "Camera maker"), written)
    for kept in (RIGHTS_MARKS["exif"], RIGHTS_MARKS["xmp"], ARTIST, COPYRIGHT):
        # Pillow's AVIF writer, which made that source, writes EXIF text as ASCII.
        assert kept.encode() in written or kept.encode() not in source, kept
    with read_back(written) as image:
        assert image.size == SIZE
        assert set(image.getexif()) == {ExifTags.Base.Copyright, ExifTags.Base.Artist}
        rights = read_rights(image.info["xmp"])
        assert "icc_profile" not in image.info or format_name == "jxl", "its decoder makes one"
    texts = [text for items in rights.found.values() for _, text in items]
    assert "https://example.org/terms?a=1&b=2" in texts
    assert {"Alle Rechte vorbehalten", "A & B", "The agency", COPYRIGHT} <= set(texts)


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("format_name", OUTPUTS)
def test_with_none_there_is_no_metadata_at_all(
    tmp_path: Path, source_format: str, format_name: str
) -> None:
    written = render(marked_source(source_format), tmp_path / "out", format_name, "none")
    assert_none(
        (*PRIVATE_MARKS, *NEVER_MARKS, *RIGHTS_MARKS.values(), *MORE_NEVER, "Exif", "xmpmeta"),
        written,
    )
    with read_back(written) as image:
        assert not image.getexif()
        assert "xmp" not in image.info


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("format_name", OUTPUTS)
def test_with_all_exif_and_xmp_are_kept_and_do_not_lie(
    tmp_path: Path, source_format: str, format_name: str
) -> None:
    written = render(marked_source(source_format), tmp_path / "out", format_name, "all")
    assert_none((*NEVER_MARKS, *MORE_NEVER), written)
    # A TIFF's own tags are its EXIF; this one has no further directories.
    camera = () if source_format == "TIFF" else ("SERIALMARK", "MAKERNOTEMARK")
    for mark in ("XMPGPSMARK", "XMPSERIALMARK", *RIGHTS_MARKS.values(), *camera):
        assert (mark.encode() in written) == ("IPTC" not in mark), mark
    with read_back(written) as image:
        assert image.size == SIZE
        exif = image.getexif()
        camera_tags = exif.get_ifd(ExifTags.IFD.Exif)
        xmp = image.info["xmp"]
    assert exif.get(ExifTags.Base.Orientation, 1) == 1
    if source_format != "TIFF":
        dimensions = (camera_tags[0xA002], camera_tags[0xA003])
        assert dimensions == SIZE
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)
    # pillow-heif and Pillow's TIFF reader take the attribute out when they turn the picture.
    assert b'tiff:Orientation="1"' in xmp or source_format in ("HEIF", "TIFF")
    assert b'Orientation="6"' not in xmp
    assert b'exif:PixelXDimension="%d"' % SIZE[0] in xmp
    assert len(xmp) < len(xmp_packet()) - 1_900, "padding is not kept"


@pytest.mark.parametrize("setting", ["none", "rights", "all"])
@pytest.mark.parametrize("format_name", OUTPUTS)
def test_comments_of_a_gif_are_gone(tmp_path: Path, format_name: str, setting: str) -> None:
    source = encode_photograph((60, 40), format="GIF", mode="P", comment=b"COMMENTMARK")
    assert b"COMMENTMARK" in source
    assert_none(NEVER_MARKS, render(source, tmp_path / "out", format_name, setting))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("setting", ["rights", "all"])
@pytest.mark.parametrize("format_name", OUTPUTS)
def test_rights_that_only_iptc_names_are_kept(
    tmp_path: Path, format_name: str, setting: str, encoding: str
) -> None:
    iptc = iptc_segment(("Jürgen IPTCOWNERMARK", "Øst"), "© Österreich", encoding)
    source = marked_source("JPEG", exif=b"", xmp=b"", iptc=iptc)
    written = render(source, tmp_path / "out", format_name, setting)
    assert_none(NEVER_MARKS, written)
    for kept in ("Jürgen IPTCOWNERMARK", "Øst", "© Österreich"):
        assert kept.encode() in written, kept


@pytest.mark.parametrize("with_exif", [True, False])
@pytest.mark.parametrize("with_xmp", [True, False])
def test_all_keeps_the_rights_of_iptc_beside_whatever_else_there_is(
    tmp_path: Path, with_exif: bool, with_xmp: bool
) -> None:
    source = marked_source(
        "JPEG",
        exif=exif_block(artist=None, copyright_notice=None) if with_exif else b"",
        xmp=xmp_packet(owner=False) if with_xmp else b"",
        iptc=iptc_segment(("IPTCOWNERMARK",), "© Österreich"),
    )
    written = render(source, tmp_path / "out", "webp", "all")
    assert b"IPTCOWNERMARK" in written
    assert "© Österreich".encode() in written
    assert (b"SERIALMARK" in written) == (with_exif or with_xmp)
    if with_xmp:
        with read_back(written) as image:
            rights = read_rights(image.info["xmp"])
        assert rights.names_creator
        assert rights.names_holder


def test_iptc_is_not_asked_where_exif_or_xmp_names_the_owner(tmp_path: Path) -> None:
    iptc = iptc_segment(("IPTCOWNERMARK",), "another notice")
    for source in (marked_source("JPEG", iptc=iptc), marked_source("JPEG", exif=b"", iptc=iptc)):
        written = render(source, tmp_path / "out", "jpeg")
        assert_none(("IPTCOWNERMARK", "another notice"), written)


@pytest.mark.parametrize("source_format", FORMATS)
def test_rights_that_only_xmp_names_are_kept(tmp_path: Path, source_format: str) -> None:
    exif = exif_block(artist=None, copyright_notice=None)
    source = marked_source(source_format, exif=exif)
    for format_name in OUTPUTS:
        written = render(source, tmp_path / "out", format_name)
        assert RIGHTS_MARKS["xmp"].encode() in written
        assert COPYRIGHT.replace("<", "&lt;").replace(">", "&gt;").encode() in written


@pytest.mark.parametrize("format_name", OUTPUTS)
def test_a_rendition_of_a_picture_without_owner_has_no_metadata(
    tmp_path: Path, format_name: str
) -> None:
    exif = exif_block(artist=None, copyright_notice="  ")
    source = marked_source("JPEG", exif=exif, xmp=xmp_packet(owner=False))
    written = render(source, tmp_path / "out", format_name)
    assert_none((*PRIVATE_MARKS, *NEVER_MARKS, "Exif", "xmpmeta", "Camera"), written)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
@pytest.mark.parametrize("setting", ["rights", "all"])
def test_an_owners_name_in_exif_keeps_its_bytes(encoding: str, setting: str) -> None:
    raw = "© Jürgen Øst".encode(encoding)
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = raw
    with Image.open(io.BytesIO(encode_photograph((16, 16), exif=exif))) as image:
        kept = read_metadata(image, setting).for_size((8, 8))
    assert raw in kept.exif
    assert b"?" not in kept.exif


BROKEN_EXIF = {
    "garbage": b"garbage",
    "a directory beyond the end": b"II*\0\xff\xff\xff\xff",
    "nothing": b"",
    "cut": exif_block()[:60],
    "a directory that points at itself": b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0"
    + b"\x08\0\0\0",
    "65535 entries": b"MM\0*\0\0\0\x08\xff\xff" + bytes(40),
    "an orientation of many doubles": struct.pack(
        "<2sHIHHHIII", b"II", 42, 8, 1, 0x0112, 12, 0x7FFF_FFFF, 0, 0
    ),
    "a thumbnail over the directories": exif_block(thumbnail=b"")[:-1].replace(
        struct.pack("<HHI", 0x0202, 4, 1) + bytes(4), struct.pack("<HHII", 0x0202, 4, 1, 9_999)
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", ["none", "rights", "all"])
@pytest.mark.parametrize("exif", BROKEN_EXIF.values(), ids=BROKEN_EXIF.keys())
def test_broken_exif_ends_nothing(tmp_path: Path, exif: bytes, setting: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", exif=b"Exif\0\0" + exif)
    for format_name in OUTPUTS:
        with read_back(render(buffer.getvalue(), tmp_path / "out", format_name, setting)) as image:
            assert image.size == SIZE


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "laugh">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + "]>"
)
BROKEN_XMP = {
    "a billion laughs": LAUGHS.encode() + xmp_packet(extra="<dc:title>&j;</dc:title>")[60:],
    "an external entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "not XML": b"XMPSERIALMARK < & >",
    "cut": xmp_packet()[:900],
    "nothing in it": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    "huge": xmp_packet(extra=f"<dc:title>{'x' * 300_000}</dc:title>"),
    "very huge": b"<x>" + b"y" * 9_000_000 + b"</x>",
    "deep": b"<x>" * 100_000,
    "zeros": bytes(1_000),
    "not UTF-8": b"<x>\xff\xfe\xfa</x>",
}


@pytest.mark.parametrize("setting", ["rights", "all"])
@pytest.mark.parametrize("packet", BROKEN_XMP.values(), ids=BROKEN_XMP.keys())
def test_hostile_xmp_ends_nothing_and_is_not_handed_on(
    tmp_path: Path, packet: bytes, setting: str
) -> None:
    """A PNG holds packets of any size; they are put where Pillow puts what it finds."""
    with opened(encode_photograph((32, 24), format="PNG")) as image:
        image.info["xmp"] = packet
        metadata = read_metadata(image, setting).for_size((32, 24))
        encoding = choose_encoding((32, 24), "jpeg", 75, POLICY)
        image.info = {}
        encode_to(str(tmp_path / "out"), image, encoding, metadata)
    assert len(metadata.xmp) < 65_000
    for mark in (b"ENTITY", b"DOCTYPE", b"passwd", b"XMPSERIALMARK"):
        assert mark not in metadata.xmp
    assert (tmp_path / "out").stat().st_size > 0


def test_a_huge_packet_is_reduced_to_its_rights() -> None:
    with opened(encode_photograph((32, 24), format="PNG")) as image:
        image.info["xmp"] = BROKEN_XMP["huge"]
        kept = read_metadata(image, "all").for_size((32, 24))
    assert RIGHTS_MARKS["xmp"].encode() in kept.xmp
    assert len(kept.xmp) < 2_000


def test_a_huge_exif_block_is_reduced_to_its_rights() -> None:
    block = exif_block() + bytes(70_000)
    with opened(encode_photograph((32, 24), format="PNG")) as image:
        image.info["exif"] = block
        kept = read_metadata(image, "all").for_size((32, 24))
    assert RIGHTS_MARKS["exif"].encode() in kept.exif
    assert len(kept.exif) < 1_000


def test_xmp_in_utf_16_is_read_and_settled() -> None:
    packet = xmp_packet().decode().encode("utf-16")
    with opened(encode_photograph((32, 24), format="PNG")) as image:
        image.info["xmp"] = packet
        rights = read_metadata(image, "rights").for_size((32, 24)).xmp
        whole = read_metadata(image, "all").for_size((32, 24)).xmp
    assert RIGHTS_MARKS["xmp"].encode() in rights
    assert b'tiff:Orientation="1"' in whole


def test_exif_that_a_png_has_as_text_is_read(tmp_path: Path) -> None:
    raw = b"Exif\0\0" + exif_block()
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    source = encode_photograph((32, 24), format="PNG", pnginfo=info)
    for setting in ("rights", "all"):
        written = render(source, tmp_path / "out", "webp", setting)
        assert_none(NEVER_MARKS, written)
        assert RIGHTS_MARKS["exif"].encode() in written


def test_with_none_nothing_is_looked_at() -> None:
    image = Image.new("RGB", (1, 1))
    image.info["xmp"] = 7
    assert read_metadata(image, "none").for_size((1, 1)) == NO_METADATA
    assert read_metadata(image, "all").for_size((1, 1)) == NO_METADATA
