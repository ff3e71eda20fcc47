import io
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from image_assets.engine.codecs import codec_versions
from image_assets.engine.colour import to_srgb
from image_assets.engine.encode import EncodePolicy, choose_encoding, encode_to, prepare
from image_assets.engine.metadata import kept_exif
from image_assets.engine.opening import decode, open_source
from image_assets.engine.resize import resize
from image_assets.engine.upright import read_orientation, turn_upright
from image_assets.samples import display_p3_profile
from image_assets_tests.photographs import (
    ARTIST,
    COPYRIGHT,
    GPS_MARK,
    camera_exif,
    encode_photograph,
)

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:GPSLatitude="XMPGPSMARK"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
COMMENT = b"COMMENTMARK"
POLICY = EncodePolicy(8, 1, 3, "#ffffff", codec_versions())


def render(data: bytes, path: Path, format_name: str, size: tuple[int, int], quality: int) -> bytes:
    """Take an image through the engine's steps, all that touch metadata, and return the file."""
    image, header = open_source(data)
    decode(image, header, 1024.0)
    exif = kept_exif(image)
    profile = image.info.get("icc_profile")
    image = to_srgb(turn_upright(image, read_orientation(image)), profile).image
    image = resize(image, size)
    encoding = choose_encoding(size, format_name, quality, POLICY)
    encode_to(str(path), prepare(image, format_name, POLICY), encoding, exif)
    return path.read_bytes()


def secretive(source_format: str) -> bytes:
    """A photograph with all the metadata that the format can carry."""
    options: dict[str, Any] = {} if source_format == "TIFF" else {"xmp": XMP}
    if source_format == "JPEG":
        options["comment"] = COMMENT
    exif = camera_exif(6)
    data = encode_photograph(
        (90, 60), icc=display_p3_profile(), exif=exif, format=source_format, **options
    )
    # Pillow writes no GPS block into a TIFF; what a TIFF must lose is the rest.
    assert (GPS_MARK.encode() in data) == (source_format != "TIFF")
    assert b"Camera maker" in data
    assert COPYRIGHT.encode() in data
    return data


@pytest.mark.parametrize("source_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("format_name", "quality"), [("avif", 75), ("avif", 95), ("webp", 75), ("jpeg", 75)]
)
@pytest.mark.parametrize("size", [(60, 90), (30, 45)])
def test_the_place_is_gone_and_the_owner_is_kept(
    tmp_path: Path, source_format: str, format_name: str, quality: int, size: tuple[int, int]
) -> None:
    written = render(secretive(source_format), tmp_path / "out", format_name, size, quality)
    for secret in (GPS_MARK, "XMPGPSMARK", "COMMENTMARK", "Camera maker", "Display P3", "xmpmeta"):
        assert secret.encode() not in written, secret
        assert secret.encode("utf-16-be") not in written, secret
    assert COPYRIGHT.encode() in written
    assert ARTIST.encode() in written
    with Image.open(io.BytesIO(written)) as image:
        assert set(image.getexif()) == {ExifTags.Base.Copyright, ExifTags.Base.Artist}
        assert "icc_profile" not in image.info
        assert image.size == size


@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg"])
def test_a_rendition_of_a_picture_without_owner_has_no_exif_at_all(
    tmp_path: Path, format_name: str
) -> None:
    exif = camera_exif(3)
    del exif[ExifTags.Base.Copyright]
    del exif[ExifTags.Base.Artist]
    written = render(encode_photograph(exif=exif), tmp_path / "out", format_name, (90, 60), 75)
    with Image.open(io.BytesIO(written)) as image:
        assert not image.getexif()


def owned_by(raw: bytes) -> Image.Image:
    """A photograph whose copyright is these bytes."""
    exif = Image.Exif()
    exif[ExifTags.Base.Copyright] = raw
    return Image.open(io.BytesIO(encode_photograph((16, 16), exif=exif)))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_an_owners_name_keeps_its_letters(encoding: str) -> None:
    raw = "© Jürgen Øst".encode(encoding)
    with owned_by(raw) as image:
        kept = kept_exif(image)
    assert raw in kept
    assert b"?" not in kept


def test_blank_and_nameless_fields_are_not_kept() -> None:
    with owned_by(b"   ") as image:
        assert kept_exif(image) == b""
    assert kept_exif(Image.new("RGB", (1, 1))) == b""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_broken_exif_keeps_nothing_and_ends_nothing(exif: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", exif=exif)
    with Image.open(buffer) as image:
        assert kept_exif(image) == b""
