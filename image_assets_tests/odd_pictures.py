"""Sources of every odd kind, made by hand where Pillow cannot write them.

All show the same picture, so that a test can say what each must look like.
"""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from image_assets.engine.pixels import profiles
from image_assets_tests.colour_difference import Array

SIZE: Final = (120, 80)
ADOBE_RGB: Final = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
REC2020: Final = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)
SWAPPED: Final = (0.3127, 0.3290, 0.30, 0.60, 0.64, 0.33, 0.15, 0.06)
PROPHOTO: Final = (0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001)

_XMP: Final = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" {}/></rdf:RDF>'
    "</x:xmpmeta>"
)


def xmp_orientation(orientation: int) -> bytes:
    """An XMP packet that states an orientation."""
    return _XMP.format(f'tiff:Orientation="{orientation}"').encode()


def exif_orientation(orientation: int) -> Image.Exif:
    """EXIF that states an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def stored_turned(image: Image.Image, orientation: int) -> Image.Image:
    """The stored picture whose upright one is given, by the words of the EXIF standard."""
    pixels = np.asarray(image)
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    turned = turned[::-1] if orientation in (3, 4, 6, 7) else turned
    turned = turned[:, ::-1] if orientation in (2, 3, 7, 8) else turned
    return Image.fromarray(np.ascontiguousarray(turned))


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    """The bytes of a file, lossless or nearly so."""
    defaults: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 97, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 97, "subsampling": "4:4:4", "codec": "aom", "speed": 9},
        "MPO": {"quality": 97, "subsampling": 0},
    }
    buffer = io.BytesIO()
    image.save(buffer, format_name, **{**defaults.get(format_name, {}), **options})
    return buffer.getvalue()


# ------------------------------------------------------------------------------ colour spaces


def _to_xyz(primaries: tuple[float, ...]) -> Array:
    corners = np.array(primaries).reshape(4, 2)
    xyz = np.column_stack([corners, 1 - corners.sum(axis=1)]) / corners[:, 1:]
    white, columns = xyz[0], xyz[1:].T
    return np.asarray(columns * np.linalg.solve(columns, white))


def _adaptation(source: tuple[float, ...], target: tuple[float, ...]) -> Array:
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    whites = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in (source[:2], target[:2])]
    old, new = (bradford @ white for white in whites)
    return np.asarray(np.linalg.inv(bradford) @ np.diag(new / old) @ bradford)


def linear(image: Image.Image) -> Array:
    """Light of an sRGB picture, 0 to 1."""
    encoded = np.asarray(image, dtype=np.float64) / 255
    return np.asarray(
        np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    )


def srgb_encoded(light: Array) -> Array:
    """Values 0 to 1 of light, by the curve of sRGB."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def in_space(
    image: Image.Image, primaries: tuple[float, ...], gamma: float | None = None
) -> Image.Image:
    """The numbers of an sRGB picture in another space; gamma None is the curve of sRGB."""
    light = linear(image)
    matrix = np.linalg.inv(_to_xyz(primaries)) @ _adaptation(profiles.SRGB_PRIMARIES, primaries)
    light = (light @ (matrix @ _to_xyz(profiles.SRGB_PRIMARIES)).T).clip(0, 1)
    encoded = srgb_encoded(light) if gamma is None else light ** (1 / gamma)
    return Image.fromarray((255 * encoded).round().astype(np.uint8))


def grey_in_gamma(image: Image.Image, gamma: float, *, bits: int = 8) -> npt.NDArray[Any]:
    """The numbers of a grey sRGB picture under a plain power."""
    largest = 2**bits - 1
    values = (largest * linear(image) ** (1 / gamma)).round()
    return np.asarray(values.astype(np.uint8 if bits == 8 else np.uint16))


def space_profile(name: str, primaries: tuple[float, ...], gamma: float | None = None) -> bytes:
    """An ICC profile of such a space."""
    curve = profiles.srgb_curve if gamma is None else profiles.gamma_curve(gamma)
    return profiles.rgb_profile(name, primaries, curve)


# ------------------------------------------------------------------------------ PNG and TIFF


def png(
    pixels: npt.NDArray[Any],
    *,
    colour_type: int,
    depth: int = 8,
    chunks: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """A PNG of any colour type and depth, with chunks of one's own before the pixels.

    Args:
        pixels: Rows first; with depth below 8 one value an element.
        colour_type: 0 grey, 2 colour, 3 palette, 4 grey and alpha, 6 colour and alpha.
        depth: Bits of a sample.
        chunks: By kind, in order.
    """
    height, width = pixels.shape[:2]
    if depth < 8:
        bits = np.unpackbits(pixels.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in bits]
    else:
        rows = [row.tobytes() for row in pixels.astype(">u2" if depth == 16 else np.uint8)]
    header = struct.pack(">2I5B", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = {b"IHDR": header, **(chunks or {}), b"IDAT": data, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts.items()
    )


def gama(gamma: float) -> dict[bytes, bytes]:
    """The chunk gAMA."""
    return {b"gAMA": struct.pack(">I", round(gamma * 100_000))}


def chrm(primaries: tuple[float, ...]) -> dict[bytes, bytes]:
    """The chunk cHRM."""
    return {b"cHRM": struct.pack(">8I", *(round(value * 100_000) for value in primaries))}


def iccp(profile: bytes) -> dict[bytes, bytes]:
    """The chunk iCCP."""
    return {b"iCCP": b"profile\0\0" + zlib.compress(profile)}


def tiff(
    pixels: npt.NDArray[Any],
    photometric: int,
    *,
    big_endian: bool = False,
    extra_sample: int | None = None,
    tags: Mapping[int, int] | None = None,
) -> bytes:
    """An uncompressed TIFF of whatever the array holds: integers or floats of any width.

    Args:
        pixels: Rows first.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 5 CMYK, 8 CIELAB.
        big_endian: Byte order.
        extra_sample: What the last channel is: 0 nothing, 1 premultiplied alpha, 2 alpha.
        tags: Further tags of one short each.
    """
    order: Literal["<", ">"] = ">" if big_endian else "<"
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, samples = pixels.shape
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    fields: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: (8 * pixels.dtype.itemsize,) * samples,
        259: (1,),
        262: (photometric,),
        277: (samples,),
        278: (height,),
        339: (kind,) * samples,
        **{tag: (value,) for tag, value in (tags or {}).items()},
    }
    if extra_sample is not None:
        fields[338] = (extra_sample,)
    long_fields = {273: 8, 279: len(data)}
    count = len(fields) + len(long_fields)
    directory = 8 + len(data) + len(data) % 2
    after = directory + 2 + 12 * count + 4
    entries, further = [], b""
    for tag in sorted({*fields, *long_fields}):
        if tag in long_fields:
            entries.append(struct.pack(f"{order}HHII", tag, 4, 1, long_fields[tag]))
            continue
        values = struct.pack(f"{order}{len(fields[tag])}H", *fields[tag])
        if len(values) > 4:
            entries.append(
                struct.pack(f"{order}HHII", tag, 3, len(fields[tag]), after + len(further))
            )
            further += values
        else:
            entries.append(
                struct.pack(f"{order}HHI", tag, 3, len(fields[tag])) + values.ljust(4, b"\0")
            )
    start = (b"MM" if big_endian else b"II") + struct.pack(f"{order}HI", 42, directory)
    body = data + bytes(len(data) % 2)
    return start + body + struct.pack(f"{order}H", count) + b"".join(entries) + bytes(4) + further


# ------------------------------------------------------------------------------ CMYK and HDR


def cmyk_jpeg(image: Image.Image, **options: Any) -> bytes:
    """A CMYK JPEG as Adobe writes it: inverted, with Adobe's marker."""
    return saved(image.convert("CMYK"), "JPEG", **options)


def plain_cmyk_jpeg(image: Image.Image) -> bytes:
    """The same without Adobe's marker."""
    return _without_adobe(cmyk_jpeg(image))


def ycck_jpeg(image: Image.Image) -> bytes:
    """A CMYK JPEG of luma, chroma and black, as Photoshop writes it."""
    cyan, magenta, yellow, black = image.convert("CMYK").split()
    luma = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()
    inverse = Image.eval(black, lambda value: 255 - value)
    stored = [Image.eval(band, lambda value: 255 - value) for band in (*luma, inverse)]
    data = bytearray(saved(Image.merge("CMYK", stored), "JPEG"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def _without_adobe(data: bytes) -> bytes:
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def gain_map_jpeg(image: Image.Image) -> bytes:
    """A JPEG with a second, smaller one that tells how much brighter an HDR screen shows it."""
    gain = image.convert("L").resize((image.width // 2, image.height // 2))
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        b'syntax-ns#"><rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
        b'hdrgm:Version="1.0"/></rdf:RDF></x:xmpmeta>'
    )
    return saved(image, "MPO", save_all=True, append_images=[gain.convert("RGB")], xmp=xmp)


def tiff_of_strips(
    strips: Sequence[bytes], fields: Mapping[int, tuple[int, ...]], *, big_endian: bool = False
) -> bytes:
    """A TIFF of strips as they are given, one a plane or more, under tags of shorts."""
    order = ">" if big_endian else "<"
    starts = [8 + sum(len(strip) for strip in strips[:n]) for n in range(len(strips))]
    longs = {273: starts, 279: [len(strip) for strip in strips]}
    body = b"".join(strips)
    body += b"\0" * (len(body) % 2)
    count = len(fields) + len(longs)
    after, entries, further = 8 + len(body) + 2 + 12 * count + 4, b"", b""
    for tag in sorted({*fields, *longs}):
        values = longs[tag] if tag in longs else fields[tag]
        letter, kind = ("I", 4) if tag in longs else ("H", 3)
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(packed) > 4:
            place = struct.pack(order + "I", after + len(further))
            further += packed
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + place
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(order + "I", 8 + len(body))
    return head + body + struct.pack(order + "H", count) + entries + bytes(4) + further


# ------------------------------------------------------------------------------ wide pixels


def packed_tiff(
    pixels: npt.NDArray[Any],
    photometric: int,
    compression: int,
    *,
    predictor: int = 1,
    big_endian: bool = False,
    planar: bool = False,
    rows_per_strip: int = 16,
    tags: Mapping[int, tuple[int, ...]] | None = None,
) -> bytes:
    """A compressed TIFF of whatever the array holds, in strips, by a writer of its own.

    Args:
        pixels: Rows first, then columns and samples.
        photometric: 1 grey, 2 RGB.
        compression: 1 none, 5 LZW, 8 Deflate, 32773 PackBits.
        predictor: 1 none, 2 differences, 3 of floats.
        big_endian: Byte order.
        planar: Each channel by itself.
        rows_per_strip: The last strip may be shorter.
        tags: Further ones, of shorts.
    """
    height, width, samples = pixels.shape
    pixels = pixels.astype(pixels.dtype.newbyteorder(">" if big_endian else "<"))
    parts = [pixels[..., [n]] for n in range(samples)] if planar else [pixels]
    strips = [
        _packed(_predicted(part[top : top + rows_per_strip], predictor), compression)
        for part in parts
        for top in range(0, height, rows_per_strip)
    ]
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    fields = {
        256: (width,),
        257: (height,),
        258: (8 * pixels.dtype.itemsize,) * samples,
        259: (compression,),
        262: (photometric,),
        277: (samples,),
        278: (rows_per_strip,),
        284: (2 if planar else 1,),
        317: (predictor,),
        339: (kind,) * samples,
        **(tags or {}),
    }
    return tiff_of_strips(strips, fields, big_endian=big_endian)


def _predicted(rows: npt.NDArray[Any], predictor: int) -> bytes:
    """By the words of the TIFF specification and of its technical note 3."""
    size = rows.dtype.itemsize
    if predictor == 2:
        whole = np.ascontiguousarray(rows).view(rows.dtype.str.replace("f", "u").replace("i", "u"))
        whole = whole.copy()
        whole[:, 1:] -= whole[:, :-1].copy()
        return whole.tobytes()
    if predictor == 3:
        height, width, samples = rows.shape
        first = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(">"))).view(np.uint8)
        sorted_ = first.reshape(height, width * samples, size).swapaxes(1, 2).reshape(height, -1)
        differences = sorted_.copy()
        differences[:, samples:] -= sorted_[:, :-samples]
        return differences.tobytes()
    return rows.tobytes()


def _packed(data: bytes, compression: int) -> bytes:
    if compression == 8:
        return zlib.compress(data)
    if compression == 32773:
        runs = [data[start : start + 128] for start in range(0, len(data), 128)]
        return b"".join(bytes([len(run) - 1]) + run for run in runs)
    if compression == 5:
        buffer = io.BytesIO()
        bytes_ = Image.frombytes("L", (len(data), 1), data)
        bytes_.save(buffer, "TIFF", compression="tiff_lzw")
        with Image.open(buffer) as saved_:
            [start], [length] = saved_.tag_v2[273], saved_.tag_v2[279]  # type: ignore[attr-defined]
        return buffer.getvalue()[start : start + length]
    return data


def pfm(pixels: npt.NDArray[Any], *, big_endian: bool = False) -> bytes:
    """A portable float map: rows from the bottom."""
    height, width = pixels.shape[:2]
    header = f"P{'F' if pixels.ndim == 3 else 'f'}\n{width} {height}\n{1 if big_endian else -1}.0\n"
    return header.encode() + pixels[::-1].astype(">f4" if big_endian else "<f4").tobytes()
