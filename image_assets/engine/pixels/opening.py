"""Open a source: by its content, from an allow-list, within limits, without decoding it."""

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from image_assets.engine.pixels.codecs import PLUGINS, load_decoder, optional_decoders
from image_assets.engine.pixels.colour import PROFILE_MAX_BYTES, is_srgb
from image_assets.engine.pixels.cost import Header
from image_assets.engine.pixels.jpeg import DecodedJpeg, decode_eighths, decode_jpeg
from image_assets.engine.pixels.stated_colour import crop_to_aperture
from image_assets.engine.pixels.structure import MAX_TEXT_BYTES, Structure, walk
from image_assets.engine.pixels.tiff_layouts import mend_palette, unread_compression, unread_layout
from image_assets.engine.pixels.upright import read_orientation
from image_assets.engine.pixels.wide_pixels import is_wide, load_wide, wide_bytes_per_pixel
from image_assets.engine.reasons import NotCompressedError, Reason

ALLOWED_FORMATS: Final = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "BMP", "PFM")
"""What is opened, whatever a file's extension says. MPO is what drones and phones write."""

_JPEG_XL: Final = (b"\xff\x0a", b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a")
# Known by their first bytes, so that the row can say what came instead of an allowed image.
_OTHER_CONTENT: Final = (
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"gimp xcf", "a GIMP document"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"\x00\x00\x02\x00", "a Windows cursor"),
    (b"icns", "an Apple icon"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"II\xbc", "a JPEG XR image"),
    (b"v/1\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"DDS ", "a DirectDraw surface"),
    (b"qoif", "a QOI image"),
    (b"BPG\xfb", "a BPG image"),
    (b"FLIF", "a FLIF image"),
    (b"\x8aMNG\r\n", "an MNG animation"),
    (b"\x8bJNG\r\n", "a JNG image"),
    (b"/* XPM */", "an XPM image"),
    (b"#define ", "an XBM image or a C header"),
    (b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (b"\x01\xda\x00\x01", "an SGI image"),
    (b"\x01\xda\x01\x01", "an SGI image"),
    (b"SDPX", "a DPX film frame"),
    (b"XPDS", "a DPX film frame"),
    (b"\x80\x2a\x5f\xd7", "a Cineon film frame"),
    (b"id=ImageMagick", "an ImageMagick image (MIFF)"),
    *(
        (bytes([10, version, 1, bits]), "a PCX image")
        for version in (0, 2, 3, 5)
        for bits in (1, 2, 4, 8)
    ),
    (b"AT&TFORM", "a DjVu document"),
    (b"SIMPLE  =", "a FITS image"),
    (b"\x01\x00\x00\x00", "a Windows metafile"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (b"FUJIFILMCCD-RAW", "camera raw (Fujifilm RAF)"),
    (b"IIRO", "camera raw (Olympus ORF)"),
    (b"IIRS", "camera raw (Olympus ORF)"),
    (b"IIU\x00", "camera raw (Panasonic RW2)"),
    (b"FOVb", "camera raw (Sigma X3F)"),
    (b"\x00MRM", "camera raw (Minolta MRW)"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\x00\x00\x01\xba", "an MPEG video"),
    (b"\x00\x00\x01\xb3", "an MPEG video"),
    (b"FLV\x01", "a Flash video"),
    (b"OggS", "an Ogg recording"),
    (b"ID3", "an MP3 recording"),
    (b"version https://git-lfs", "a Git LFS pointer, not the image it points to"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"PK\x03\x04", "a ZIP archive or Office document"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x00\x05\x16\x07", "what macOS keeps beside a file, not the file (AppleDouble)"),
)
# What follows ``RIFF`` or ``ftyp``; any other brand is told as it is.
_RIFF_CONTENT: Final = {b"AVI ": "an AVI video", b"WAVE": "a WAV recording"}
_BRANDS: Final = {
    b"qt  ": "a QuickTime video",
    b"crx ": "camera raw (Canon CR3)",
    b"M4A ": "an MPEG-4 recording",
}
_VIDEO_BRANDS: Final = (
    b"isom",
    b"iso2",
    b"iso4",
    b"iso5",
    b"iso6",
    b"mp4",
    b"M4V",
    b"3gp",
    b"dash",
)

PREFIX_BYTES: Final = 512
"""How much of a file `sniff` looks at: brands of AVIF and HEIC come in a list of up to 30."""

_DECODER_ERRORS: Final = (OSError, ValueError, SyntaxError, EOFError, RuntimeError)
"""What decoders say of broken files; libheif says RuntimeError."""

_RENDERED_IN_PART: Final = frozenset({"JPEG", "MPO", "PNG", "GIF", "BMP", "TIFF", "PFM"})
"""Formats of which something can be decoded where the end is missing."""

MAX_SCANS: Final = 100
"""Scans of a JPEG that are decoded. Encoders write 10 (libjpeg's progressive), at most some 40
(mozjpeg's search). Each one goes over the whole picture again, however few bytes it has: an empty
scan of 100 MP takes 0.07 s here (``python -m bench.cost --scans``), so that 100 of the largest
picture stay far below the time limit."""

# A profile of 1 to 4 MB is kept; `structure` leaves out what is larger, where Pillow would refuse.
PngImagePlugin.MAX_TEXT_CHUNK = MAX_TEXT_BYTES


def sniff(prefix: bytes) -> str:
    """Return the input format that a file's first bytes announce, without running a decoder.

    Args:
        prefix: The first `PREFIX_BYTES` bytes.

    Raises:
        NotCompressedError: Empty, not an image, or an image of a format that is not read.
    """
    if not prefix:
        raise NotCompressedError(Reason.EMPTY, "The file is empty.")
    optional = _optional_format(prefix)
    if optional is not None:
        if load_decoder(optional):
            return optional
        plugin = PLUGINS[optional]
        raise NotCompressedError(
            Reason.UNSUPPORTED_FORMAT,
            f"The file is a {plugin.title} image, for which no decoder is installed: "
            f"pip install '{plugin.extra}'.",
        )
    Image.init()
    for name in ALLOWED_FORMATS:
        entry = Image.OPEN.get(name)
        if entry is None:  # MPO has no opener of its own: Pillow finds it inside a JPEG
            continue
        accept = entry[1]
        if accept is not None and accept(prefix) is True:
            return name
    text = prefix.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")):
        raise _unsupported("an SVG or XML document")
    if text.startswith((b"<!doctype html", b"<html")):
        raise NotCompressedError(Reason.NOT_AN_IMAGE, "The file is an HTML page, not an image.")
    other = _other_content(prefix)
    if other is not None:
        raise _unsupported(other)
    raise NotCompressedError(
        Reason.NOT_AN_IMAGE, "The file's content is no image format that is known."
    )


def _other_content(prefix: bytes) -> str | None:
    """Name a format that is known but not read."""
    if _is_tga(prefix):  # first: a cursor begins like one
        return "a TGA image"
    for magic, name in _OTHER_CONTENT:
        if prefix.startswith(magic):
            return name
    kind = prefix[8:12]
    if prefix[:4] == b"RIFF" and kind in _RIFF_CONTENT:
        return _RIFF_CONTENT[kind]
    if prefix[4:8] == b"ftyp":
        if kind.startswith(_VIDEO_BRANDS):
            return "an MPEG-4 video"
        return _BRANDS.get(kind, f"an ISO media file of brand {kind.decode('latin-1')!r}")
    if prefix[4:8] in (b"moov", b"mdat", b"wide", b"free"):
        return "a QuickTime video"
    if prefix[:1] == b"P" and prefix[1:2] in b"1234567" and prefix[2:3] in b" \t\r\n":
        return "a PNM image"
    if prefix[257:262] == b"ustar":
        return "a tar archive"
    return None


def _is_tga(prefix: bytes) -> bool:
    """TGA has no magic: every field of its header must make sense."""
    if len(prefix) < 18 or prefix[1] > 1 or prefix[2] not in (1, 2, 3, 9, 10, 11):
        return False
    width, height = struct.unpack_from("<HH", prefix, 12)
    has_map = prefix[1] == 1
    maps = prefix[7] in (15, 16, 24, 32) if has_map else not any(prefix[3:8])
    depths = (8, 15, 16, 24, 32)
    return bool(width and height and maps and prefix[16] in depths and prefix[17] < 0x40)


def _optional_format(prefix: bytes) -> str | None:
    """Name a format that is read where its plugin is installed."""
    if prefix.startswith(_JPEG_XL):
        return "JXL"
    return "HEIF" if _is_heic(prefix) else None


def _is_heic(prefix: bytes) -> bool:
    """Tell HEIC from AVIF: both may begin as ``mif1``, and then the brands that follow decide."""
    if prefix[4:8] != b"ftyp":
        return False
    brands = {prefix[start : start + 4] for start in range(8, len(prefix) - 3, 4)}
    return bool(brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}) and not (
        brands & {b"avif", b"avis"}
    )


def _unsupported(what: str) -> NotCompressedError:
    return NotCompressedError(
        Reason.UNSUPPORTED_FORMAT,
        f"The file is {what}; read are {', '.join((*ALLOWED_FORMATS, *optional_decoders()))}.",
    )


def open_source(
    data: bytes,
    *,
    max_pixels: int | None = None,
    max_frames: int = 100_000,
    accept_truncated: bool = False,
) -> tuple[Image.Image, Header]:
    """Open an image and read its header; no pixel is decoded.

    Args:
        data: The whole file.
        max_pixels: Beyond it a WebP or GIF is refused before its decoder reserves its frames.
        max_frames: Frames of a GIF are counted up to one more than this.
        accept_truncated: Open what has lost its end, too.

    Raises:
        NotCompressedError: Not an image, not an allowed one, or a broken header.
    """
    announced = sniff(data[:PREFIX_BYTES])
    structure = walk(announced, data, MAX_SCANS, max_frames)
    _refuse_structure(announced, structure)
    if announced in ("WEBP", "GIF") and structure.size is not None and max_pixels is not None:
        check_pixels(Header(announced, "RGBA", *structure.size, 1, False, len(data)), max_pixels)
    source = structure.data
    if not structure.has_end and structure.scan_end is not None:
        source = structure.ended_jpeg()  # whether only the end marker is missing, `decode` finds
    try:
        with (
            truncation_accepted(accept_truncated and structure.truncated is not None),
            _read_by_libtiff(structure.needs_libtiff),
        ):
            image = Image.open(io.BytesIO(source), formats=(announced,))
        mend_palette(image)
        frames = structure.frames or int(getattr(image, "n_frames", 1))
        wide = wide_bytes_per_pixel(image) if image.width and image.height else 0
        is_copied = _is_copied(image)
    except Exception as error:
        # Pillow's parsers meet broken headers with any kind of error (fuzzed TIFF and WebP files);
        # beyond these it is memory, which the caller knows to tell.
        if isinstance(error, MemoryError | NotCompressedError):
            raise
        unread = None
        if announced == "TIFF" and structure.truncated is None:
            unread = unread_compression(structure.compression) or unread_layout(source)
        if unread is not None:
            raise NotCompressedError(Reason.UNSUPPORTED_PIXELS, unread) from error
        raise _unopened(error, structure) from error
    if image.width < 1 or image.height < 1:
        raise NotCompressedError(
            Reason.CORRUPT, f"The header states {image.width} x {image.height} pixels."
        )
    return image, Header(
        format=image.format or "",
        mode=image.mode,
        width_px=image.width,
        height_px=image.height,
        frames=frames,
        progressive=bool(image.info.get("progressive") or image.info.get("progression")),
        size_bytes=len(data),
        structure=structure,
        wide_bytes_per_pixel=wide,
        is_copied=is_copied,
    )


def _is_copied(image: Image.Image) -> bool:
    """Tell, for its cost, whether a picture is to be turned or to go through a profile."""
    turned = image.tag_v2.get(0x0112, 1) if hasattr(image, "tag_v2") else read_orientation(image)
    if turned != 1:
        return True
    profile = image.info.get("icc_profile")
    if not profile or len(profile) > PROFILE_MAX_BYTES or image.mode not in ("RGB", "RGBA"):
        return False
    try:
        return not is_srgb(profile)
    except (ImageCms.PyCMSError, ValueError, OSError):  # a broken one is ignored
        return False


def _refuse_structure(announced: str, structure: Structure) -> None:
    if structure.unsupported is not None:
        raise NotCompressedError(Reason.UNSUPPORTED_FORMAT, structure.unsupported)
    if structure.precision_bits not in (0, 8):
        raise NotCompressedError(
            Reason.UNSUPPORTED_PIXELS,
            f"The file is a JPEG of {structure.precision_bits} bits a sample; JPEGs of 8 are read.",
        )
    if structure.jpeg_kind in ("JPEG-LS", "hierarchical", "lossless"):
        raise NotCompressedError(
            Reason.UNSUPPORTED_PIXELS,
            f"The file is a {structure.jpeg_kind} JPEG; baseline, progressive and arithmetic ones "
            "are read.",
        )


def _unopened(error: Exception, structure: Structure) -> NotCompressedError:
    if structure.truncated is not None:
        return _truncated(structure.truncated, renderable=False)
    if structure.broken is not None:
        return NotCompressedError(Reason.CORRUPT, structure.broken)
    if isinstance(error, UnidentifiedImageError):
        return NotCompressedError(
            Reason.CORRUPT, "The file begins like an image, but its header cannot be read."
        )
    if isinstance(error, _DECODER_ERRORS):
        return broken(error)
    return NotCompressedError(Reason.CORRUPT, f"The file's header cannot be read: {error!r}.")


def _truncated(why: str, *, renderable: bool) -> NotCompressedError:
    hint = " (accept_truncated renders the rest)" if renderable else ""
    return NotCompressedError(Reason.TRUNCATED, f"The file is truncated: {why}{hint}.")


@contextlib.contextmanager
def truncation_accepted(accepted: bool) -> Iterator[None]:
    """Let Pillow fill what is missing; a global of its own, so only for as long as it takes."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, accepted
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextlib.contextmanager
def _read_by_libtiff(needed: bool) -> Iterator[None]:
    """Let libtiff read uncompressed data too; as above a global of Pillow's."""
    before, TiffImagePlugin.READ_LIBTIFF = TiffImagePlugin.READ_LIBTIFF, needed
    try:
        yield
    finally:
        TiffImagePlugin.READ_LIBTIFF = before


def check_pixels(header: Header, max_pixels: int) -> None:
    """Refuse an image of more pixels, over all frames of an animation, than allowed.

    Raises:
        NotCompressedError: With the numbers.
    """
    frames = header.moving_frames
    pixels = header.width_px * header.height_px * frames
    if pixels > max_pixels:
        where = f" in {frames} frames" if frames > 1 else ""
        raise NotCompressedError(
            Reason.TOO_MANY_PIXELS,
            f"Expected at most {max_pixels:,} pixels, received {header.width_px} x "
            f"{header.height_px}{where} = {pixels:,} (max_pixels).",
        )


def check_parts(header: Header, max_frames: int) -> None:
    """Refuse an animation of more frames than allowed, and a JPEG of more than `MAX_SCANS`.

    Raises:
        NotCompressedError: With the numbers.
    """
    frames = header.moving_frames
    if frames > max_frames:
        counted = "more" if header.format == "GIF" else f"{frames:,}"  # which is not counted on
        raise NotCompressedError(
            Reason.TOO_MANY_FRAMES,
            f"Expected at most {max_frames:,} frames, received {counted} (max_frames).",
        )
    if header.structure is not None and header.structure.scans > MAX_SCANS:
        raise NotCompressedError(
            Reason.TOO_MANY_SCANS,
            f"Expected a JPEG of at most {MAX_SCANS} scans, received more: each one is decoded "
            "over the whole picture.",
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of a source's first frame.

    Attributes:
        image: JPEG at a reduced scale, any other as large as its header says.
        note: What its rows should say of it; None where it is whole.
        extent: What the source covers of it, in its pixels: at a reduced scale the last column and
            row may reach beyond the source by a part of a pixel.
    """

    image: Image.Image
    note: str | None
    extent: tuple[float, float]


def decode(
    image: Image.Image, header: Header, needed_px: float, *, accept_truncated: bool = False
) -> Decoded:
    """Decode the first frame, JPEG at the smallest scale that is not below what is needed.

    Args:
        image: As `open_source` returned it; any but a JPEG holds the pixels afterwards.
        header: Its header.
        needed_px: Longest side that the largest variant needs, margin included.
        accept_truncated: Decode what there is of a file that has lost its end, or whose data makes
            no sense somewhere.

    Raises:
        NotCompressedError: The data is truncated or corrupt.
    """
    structure = header.structure or Structure(b"")
    if structure.broken is not None:
        raise NotCompressedError(Reason.CORRUPT, structure.broken)
    truncated = structure.truncated
    # What is offered is only what would come of it.
    renderable = structure.has_pixels and header.format in _RENDERED_IN_PART
    if truncated is not None and not (accept_truncated and structure.has_pixels):
        raise _truncated(truncated, renderable=renderable and not accept_truncated)
    extent: tuple[float, float] | None = None
    if header.format in ("JPEG", "MPO"):
        eighths = decode_eighths(header.width_px, header.height_px, needed_px)
        jpeg = _decode_jpeg(image, structure, eighths)
        if jpeg is not None:
            note = _judge_jpeg(jpeg, truncated, accept_truncated=accept_truncated)
            covered = (header.width_px * eighths / 8, header.height_px * eighths / 8)
            return Decoded(jpeg.image, note, covered)
        extent = _draft(image, eighths)
        if not structure.has_end and truncated is None:
            truncated = _NO_END
            if not accept_truncated:
                raise _truncated(truncated, renderable=True)
    try:
        with truncation_accepted(truncated is not None):
            if is_wide(image):
                load_wide(image, structure.data)
            else:
                image.load()
        if header.format == "AVIF":
            crop_to_aperture(image, data=structure.data)
    except MemoryError:
        raise
    except Exception as error:
        unread = unread_compression(structure.compression) if header.format == "TIFF" else None
        if truncated is None and unread is not None:
            raise NotCompressedError(Reason.UNSUPPORTED_PIXELS, unread) from error
        if truncated is None and isinstance(error, _DECODER_ERRORS):
            raise broken(error) from error
        if truncated is not None:
            raise _truncated(truncated, renderable=False) from error
        raise NotCompressedError(
            Reason.CORRUPT, f"The image data cannot be decoded: {error!r}."
        ) from error
    note = None if truncated is None else f"truncated: {truncated}"
    return Decoded(image, note, extent or image.size)


_NO_END: Final = "it has no end marker"
_CUT: Final = "its image data ends before the picture does"


def _decode_jpeg(image: Image.Image, structure: Structure, eighths: int) -> DecodedJpeg | None:
    tiles = getattr(image, "tile", ())
    rawmode = tiles[0].args[0] if tiles else ""
    whole = structure.data if structure.has_end else structure.ended_jpeg()
    return decode_jpeg(whole, rawmode, eighths)


def _draft(image: Image.Image, eighths: int) -> tuple[float, float] | None:
    """Let Pillow decode at 1/2, 1/4 or 1/8, the next above ``eighths``; return the extent."""
    # draft() takes the size to reach. A side below the scale stays a pixel, for it divides by it.
    size = (image.width * eighths // 8, image.height * eighths // 8)
    drafted = image.draft(None, (max(1, size[0]), max(1, size[1])))
    return None if drafted is None else drafted[1][2:]


def _judge_jpeg(jpeg: DecodedJpeg, truncated: str | None, *, accept_truncated: bool) -> str | None:
    """Return what the rows should say of a decoded JPEG, or refuse it."""
    if truncated is None and jpeg.is_cut:
        truncated = _CUT
    if not accept_truncated:
        if truncated is not None:
            raise _truncated(truncated, renderable=True)
        if jpeg.is_corrupt:
            raise NotCompressedError(
                Reason.CORRUPT,
                f"The image data makes no sense somewhere: {jpeg.warning} (accept_truncated "
                "renders it as far as it can be decoded).",
            )
    if truncated is not None:
        return f"truncated: {truncated}"
    return None if jpeg.warning is None else f"libjpeg: {jpeg.warning}"


def broken(error: Exception) -> NotCompressedError:
    """Word a decoder's error as a row: truncated where it says so, else corrupt."""
    text = " ".join(str(error).split()) or type(error).__name__
    if any(word in text.lower() for word in ("truncated", "unexpected end", "not enough image")):
        return NotCompressedError(Reason.TRUNCATED, f"The file ends too early: {text}.")
    return NotCompressedError(Reason.CORRUPT, f"The image data cannot be decoded: {text}.")
