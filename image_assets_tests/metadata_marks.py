"""Sources with marks in every corner that metadata has, for tests that look for them in bytes."""

import io
import struct
from typing import Any, Final

from PIL import PngImagePlugin

from image_assets.engine.pixels.codecs import load_decoder
from image_assets.engine.pixels.profiles import display_p3_profile
from image_assets_tests.photographs import picture

ARTIST: Final = "Jürgen Øst 写真"
COPYRIGHT: Final = "© 2015 Österreich, all rights <reserved>"
RIGHTS_MARKS: Final = {"exif": "EXIFOWNERMARK", "xmp": "XMPOWNERMARK", "iptc": "IPTCOWNERMARK"}
"""Part of the creator's name in each place, so that one sees what was kept of where."""

PRIVATE_MARKS: Final = ("GPSMARK", "SERIALMARK", "MAKERNOTEMARK", "XMPGPSMARK", "XMPSERIALMARK")
"""What ``all`` keeps with EXIF and XMP."""

NEVER_MARKS: Final = ("THUMBNAILMARK", "XMPTHUMBMARK", "COMMENTMARK", "TEXTMARK", "IPTCMARK")
"""What no setting keeps."""

FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL")


def _entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")[:4]


def exif_block(
    orientation: int = 6,
    *,
    artist: str | None = ARTIST + RIGHTS_MARKS["exif"],
    copyright_notice: str | None = COPYRIGHT,
    thumbnail: bytes = b"\xff\xd8THUMBNAILMARK\xff\xd9",
    size: tuple[int, int] = (4000, 3000),
) -> bytes:
    """Return EXIF as a camera writes it, byte for byte: makers' notes, GPS, thumbnail and all."""

    def directory(at: int, entries: list[tuple[int, int, int, bytes]], following: int = 0) -> bytes:
        """Entries with long values behind them; ``following`` 1 means right behind this."""
        head = 2 + 12 * len(entries) + 4
        table, behind = struct.pack("<H", len(entries)), b""
        for tag, kind, count, value in entries:
            if len(value) > 4:
                place = struct.pack("<I", at + head + len(behind))
                table += _entry(tag, kind, count, place)
                behind += value + b"\0" * (len(value) % 2)
            else:
                table += _entry(tag, kind, count, value)
        end = at + head + len(behind)
        return table + struct.pack("<I", end if following else 0) + behind

    def text(tag: int, value: str) -> tuple[int, int, int, bytes]:
        raw = value.encode() + b"\0"
        return tag, 2, len(raw), raw

    def number(tag: int, value: int) -> tuple[int, int, int, bytes]:
        return tag, 4, 1, struct.pack("<I", value)

    first = [text(0x010F, "Camera maker"), (0x0112, 3, 1, struct.pack("<H", orientation))]
    first += [text(0x013B, artist)] if artist else []
    first += [text(0x8298, copyright_notice)] if copyright_notice else []
    # Two passes: where the directories lie depends on the length of the first.
    camera_at = gps_at = 0
    for _ in range(2):
        block = directory(8, [*first, number(0x8769, camera_at), number(0x8825, gps_at)], 1)
        thumb_at = 8 + len(block)
        thumb_ifd = directory(thumb_at, [number(0x0201, 0), number(0x0202, len(thumbnail))])
        camera_at = thumb_at + len(thumb_ifd)
        note = b"MAKERNOTEMARK"
        camera = directory(
            camera_at,
            [
                (0x927C, 7, len(note), note),
                number(0xA002, size[0]),
                number(0xA003, size[1]),
                text(0xA431, "SERIALMARK"),
            ],
        )
        gps_at = camera_at + len(camera)
        gps = directory(gps_at, [text(0x0012, "GPSMARK")])
    place = gps_at + len(gps)
    thumb_ifd = directory(thumb_at, [number(0x0201, place), number(0x0202, len(thumbnail))])
    return b"II*\0" + struct.pack("<I", 8) + block + thumb_ifd + camera + gps + thumbnail


def xmp_packet(*, owner: bool = True, orientation: int = 6, extra: str = "") -> bytes:
    """Return XMP as an editor writes it, with its padding."""
    mark = RIGHTS_MARKS["xmp"]
    rights = (
        f"<dc:creator><rdf:Seq><rdf:li>{ARTIST}{mark}</rdf:li><rdf:li>A &amp; B</rdf:li></rdf:Seq>"
        "</dc:creator><dc:rights><rdf:Alt>"
        '<rdf:li xml:lang="x-default">© 2015 Österreich, all rights &lt;reserved&gt;</rdf:li>'
        '<rdf:li xml:lang="de">Alle Rechte vorbehalten</rdf:li></rdf:Alt></dc:rights>'
        '<xmpRights:WebStatement rdf:resource="https://example.org/terms?a=1&amp;b=2"/>'
    )
    credit = 'photoshop:Credit="The agency"' if owner else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:SerialNumber="XMPSERIALMARK" '
        f'tiff:Orientation="{orientation}" exif:PixelXDimension="4000" '
        f'exif:GPSLatitude="XMPGPSMARK" {credit}>'
        "<xmp:Thumbnails><rdf:Alt><rdf:li>XMPTHUMBMARK</rdf:li></rdf:Alt></xmp:Thumbnails>"
        f"{rights if owner else ''}{extra}</rdf:Description></rdf:RDF></x:xmpmeta>"
        + " " * 2_000
        + '<?xpacket end="w"?>'
    ).encode()


def iptc_segment(creators: tuple[str, ...], notice: str | None, encoding: str = "utf-8") -> bytes:
    """Return a JPEG's APP13 with an IPTC block: names, notice, and a caption that is marked."""

    def field(number: int, value: str) -> bytes:
        raw = value.encode(encoding)
        return struct.pack(">BBBH", 0x1C, 2, number, len(raw)) + raw

    block = b"".join(field(80, creator) for creator in creators)
    block += b"" if notice is None else field(116, notice)
    block += field(120, "IPTCMARK")
    resource = (
        b"8BIM\x04\x04\0\0" + struct.pack(">I", len(block)) + block + b"\0" * (len(block) % 2)
    )
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body


def marked_source(
    source_format: str,
    *,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes = b"",
    size: tuple[int, int] = (90, 60),
) -> bytes:
    """Return a photograph that has everything that its format can carry.

    Args:
        source_format: One of `FORMATS`.
        exif: From the byte order mark on; default: `exif_block`.
        xmp: Default: `xmp_packet`.
        iptc: A JPEG segment.
        size: Stored width and height, px.
    """
    load_decoder("HEIF")
    load_decoder("JXL")
    exif = exif_block() if exif is None else exif
    xmp = xmp_packet() if xmp is None else xmp
    options: dict[str, Any] = {"icc_profile": display_p3_profile()}
    match source_format:
        case "JPEG":
            options["comment"] = b"COMMENTMARK"
        case "PNG":
            text = PngImagePlugin.PngInfo()
            text.add_text("Comment", "TEXTMARK")
            text.add_itxt("Description", "COMMENTMARK", "en", "Description")
            text.add_itxt("XML:com.adobe.xmp", xmp.decode())
            options["pnginfo"] = text
    if source_format == "TIFF":
        options["tiffinfo"] = {700: xmp}
        options["artist"] = ARTIST.encode() + RIGHTS_MARKS["exif"].encode()
        options["copyright"] = COPYRIGHT.encode()
    else:
        options["exif"] = b"Exif\0\0" + exif if exif else b""
        if source_format != "PNG":
            options["xmp"] = xmp
    buffer = io.BytesIO()
    picture(size).save(buffer, source_format, **options)
    data = buffer.getvalue()
    return data[:2] + iptc + data[2:] if iptc else data
