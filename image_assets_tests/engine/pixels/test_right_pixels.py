"""One source, three formats, one look: dimensions, orientation and colour, against libvips too.

libvips is the neutral reference: another decoder, another resizer, its own reading of profiles.
Where its policy differs on purpose, `LIBVIPS_DIFFERS` says why, and the picture the source was
made from is the reference alone.
"""

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter, ImageOps

from image_assets.engine.pixels import profiles
from image_assets.engine.pixels.codecs import prepare_pillow
from image_assets.engine.reasons import NotCompressedError
from image_assets.engine.run.partition import plan_partition, recipe_digests, render_setup
from image_assets.engine.workers.render import SourceTask, render_source
from image_assets_tests.colour_difference import ciede2000, mean_difference
from image_assets_tests.libraries import DAY, Library
from image_assets_tests.odd_pictures import (
    ADOBE_RGB,
    PROPHOTO,
    REC2020,
    SIZE,
    SWAPPED,
    chrm,
    cmyk_jpeg,
    exif_orientation,
    gain_map_jpeg,
    gama,
    grey_in_gamma,
    iccp,
    in_space,
    linear,
    packed_tiff,
    pfm,
    plain_cmyk_jpeg,
    png,
    saved,
    space_profile,
    stored_turned,
    tiff,
    xmp_orientation,
    ycck_jpeg,
)
from image_assets_tests.photographs import picture
from image_assets_tests.processes import REPOSITORY

try:
    import pyvips
except (ImportError, OSError) as problem:  # the dev extra has it, with libvips inside
    pyvips = None
    NO_LIBVIPS = f"libvips cannot be imported: {problem}"
else:
    NO_LIBVIPS = ""

CORPUS: Final = REPOSITORY.parent / "shared" / "corpus" / "odd"
EXTENSIONS: Final = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg"}
BETWEEN_FORMATS: Final = 2.0
AGAINST_REFERENCE: Final = 3.0
BACKGROUND: Final = "#ffffff"

# Smoothed: grain in each channel apart, which no lens draws, is finer than WebP's chroma.
RGB: Final = picture(SIZE).filter(ImageFilter.GaussianBlur(1))
GREY: Final = RGB.convert("L")
ALPHA: Final = Image.merge("RGBA", (*RGB.split(), picture(SIZE, mode="RGBA").getchannel("A")))
GREY_ALPHA: Final = Image.merge("LA", (GREY, ALPHA.getchannel("A")))
P3: Final = profiles.display_p3_profile()
EIGHT: Final = np.asarray(RGB)
SIXTEEN: Final = EIGHT.astype(np.uint16) * np.uint16(257)
GREY_SIXTEEN: Final = np.asarray(GREY).astype(np.uint16) * np.uint16(257)
STRETCHED: Final = ImageOps.autocontrast(GREY)
PREMULTIPLIED: Final = np.concatenate(
    [
        (np.asarray(ALPHA)[..., :3] * (np.asarray(ALPHA)[..., 3:] / 255)).round().astype(np.uint8),
        np.asarray(ALPHA)[..., 3:],
    ],
    axis=-1,
)
PALETTE: Final = RGB.quantize(200)
HOLED: Final = Image.merge("RGBA", (*RGB.split(), GREY.point(lambda v: 0 if v < 90 else 255)))


def keyed(image: Image.Image, value: int) -> Image.Image:
    """A grey picture, transparent where it is of one value."""
    return Image.merge("LA", (image, image.point(lambda v: 0 if v == value else 255)))


FEW_GREYS: Final = GREY.point(lambda value: round(value / 17) * 17)
KEY: Final = int(np.bincount(np.asarray(FEW_GREYS).ravel()).argmax())
"""The commonest of them: a hole that is missed shows."""


def pq_encoded(nits: Any) -> Any:
    """Signal of luminance by SMPTE ST 2084."""
    light = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * light) / (1 + 18.6875 * light)) ** 78.84375


def dim_in_pq() -> tuple[bytes, Image.Image]:
    """A picture as dark as HDR renders untouched, below the knee, in PQ; and itself."""
    dim = RGB.point(lambda value: round(value * 0.8))
    signal = pq_encoded(linear(dim) * profiles.REFERENCE_WHITE_NITS)
    data = png(
        (65_535 * signal).round().astype(np.uint16),
        colour_type=2,
        depth=16,
        chunks={b"cICP": bytes([1, 16, 0, 1])},
    )
    return data, dim


def turned(format_name: str, orientation: int, **options: Any) -> tuple[bytes, Image.Image]:
    options.setdefault("exif", exif_orientation(orientation))
    return saved(stored_turned(RGB, orientation), format_name, **options), RGB


Made = tuple[bytes, Image.Image]

KINDS: Final[dict[str, Callable[[], Made]]] = {
    # orientation
    **{
        f"EXIF orientation {value}, JPEG": functools.partial(turned, "JPEG", value)
        for value in range(1, 9)
    },
    "EXIF orientation 0": lambda: (saved(RGB, "JPEG", exif=exif_orientation(0)), RGB),
    "EXIF orientation 9": lambda: (saved(RGB, "JPEG", exif=exif_orientation(9)), RGB),
    "EXIF orientation, PNG": lambda: turned("PNG", 6),
    "EXIF orientation, WebP": lambda: turned("WEBP", 5),
    "EXIF orientation, TIFF": lambda: turned("TIFF", 8),
    "irot and imir, AVIF": lambda: turned("AVIF", 7),
    "XMP orientation, JPEG": lambda: turned("JPEG", 6, exif=b"", xmp=xmp_orientation(6)),
    "XMP orientation against EXIF": lambda: turned("JPEG", 6, xmp=xmp_orientation(3)),
    # profiles
    "Display P3, JPEG": lambda: (
        saved(in_space(RGB, profiles.P3_PRIMARIES), "JPEG", icc_profile=P3),
        RGB,
    ),
    "Display P3, AVIF": lambda: (
        saved(in_space(RGB, profiles.P3_PRIMARIES), "AVIF", icc_profile=P3),
        RGB,
    ),
    "Display P3, WebP": lambda: (
        saved(in_space(RGB, profiles.P3_PRIMARIES), "WEBP", icc_profile=P3),
        RGB,
    ),
    "Adobe RGB": lambda: (
        saved(
            in_space(RGB, ADOBE_RGB, 2.2),
            "JPEG",
            icc_profile=space_profile("Adobe RGB", ADOBE_RGB, 2.2),
        ),
        RGB,
    ),
    "ProPhoto RGB": lambda: (
        saved(
            in_space(RGB, PROPHOTO, 1.8),
            "PNG",
            icc_profile=space_profile("ProPhoto", PROPHOTO, 1.8),
        ),
        RGB,
    ),
    "Rec. 2020": lambda: (
        saved(
            in_space(RGB, REC2020, 2.4),
            "TIFF",
            icc_profile=space_profile("Rec. 2020", REC2020, 2.4),
        ),
        RGB,
    ),
    "swapped primaries": lambda: (
        saved(in_space(RGB, SWAPPED), "PNG", icc_profile=space_profile("Swapped", SWAPPED)),
        RGB,
    ),
    "a profile named sRGB that is none": lambda: (
        saved(
            in_space(RGB, ADOBE_RGB, 2.2),
            "PNG",
            icc_profile=space_profile("sRGB IEC61966-2.1", ADOBE_RGB, 2.2),
        ),
        RGB,
    ),
    "grey with a grey profile": lambda: (
        png(
            grey_in_gamma(GREY, 1.8),
            colour_type=0,
            chunks=iccp(profiles.grey_profile("Grey 1.8", profiles.gamma_curve(1.8))),
        ),
        GREY,
    ),
    "16-bit grey and alpha with a grey profile": lambda: (
        png(
            np.stack([grey_in_gamma(GREY, 1.8, bits=16), np.full_like(GREY_SIXTEEN, 65_535)], -1),
            colour_type=4,
            depth=16,
            chunks=iccp(profiles.grey_profile("Grey 1.8", profiles.gamma_curve(1.8))),
        ),
        GREY,
    ),
    "an RGB profile on grey": lambda: (saved(GREY, "JPEG", icc_profile=P3), GREY),
    "a broken profile": lambda: (saved(RGB, "JPEG", icc_profile=b"no profile at all"), RGB),
    # PNG chunks
    "gAMA of linear light": lambda: (
        png(
            (65_535 * linear(RGB)).round().astype(np.uint16),
            colour_type=2,
            depth=16,
            chunks=gama(1.0),
        ),
        RGB,
    ),
    "gAMA on grey": lambda: (
        png(grey_in_gamma(GREY, 1.4), colour_type=0, chunks=gama(1 / 1.4)),
        GREY,
    ),
    "cHRM of swapped primaries": lambda: (
        png(
            np.asarray(in_space(RGB, SWAPPED)),
            colour_type=2,
            chunks={**gama(0.45455), **chrm(SWAPPED)},
        ),
        RGB,
    ),
    "sRGB outranks gAMA": lambda: (
        png(EIGHT, colour_type=2, chunks={b"sRGB": b"\0", **gama(1.0)}),
        RGB,
    ),
    "iCCP outranks gAMA": lambda: (
        png(
            np.asarray(in_space(RGB, profiles.P3_PRIMARIES)),
            colour_type=2,
            chunks={**iccp(P3), **gama(1.0)},
        ),
        RGB,
    ),
    "cICP outranks iCCP": lambda: (
        png(
            np.asarray(in_space(RGB, REC2020)),
            colour_type=2,
            chunks={b"cICP": bytes([9, 13, 0, 1]), **iccp(P3)},
        ),
        RGB,
    ),
    "PQ below reference white": dim_in_pq,
    # inks and Lab
    "CMYK of Adobe, without a profile": lambda: (cmyk_jpeg(RGB), RGB),
    "CMYK without Adobe's marker": lambda: (plain_cmyk_jpeg(RGB), RGB),
    "YCCK": lambda: (ycck_jpeg(RGB), RGB),
    "CMYK with a profile": lambda: (cmyk_jpeg(RGB, icc_profile=profiles.press_profile()), RGB),
    "CMYK, TIFF": lambda: (saved(RGB.convert("CMYK"), "TIFF"), RGB),
    "CMYK, 16-bit TIFF": lambda: (
        tiff(np.asarray(RGB.convert("CMYK")).astype(np.uint16) * np.uint16(257), 5),
        RGB,
    ),
    "CIELAB, TIFF": lambda: (tiff(np.asarray(RGB.convert("LAB")), 8), RGB),
    "CIELAB, 16-bit TIFF": lambda: (
        tiff(np.asarray(RGB.convert("LAB")).astype(np.uint16) * np.uint16(256), 8),
        RGB,
    ),
    "CIELAB, 16-bit big-endian TIFF": lambda: (
        tiff(np.asarray(RGB.convert("LAB")).astype(np.uint16) * np.uint16(256), 8, big_endian=True),
        RGB,
    ),
    "inks and alpha, TIFF": lambda: (
        tiff(
            np.dstack([np.asarray(RGB.convert("CMYK")), np.full(SIZE[::-1], 255, np.uint8)]),
            5,
            extra_sample=2,
        ),
        RGB,
    ),
    # depth
    "16-bit grey, PNG": lambda: (png(GREY_SIXTEEN, colour_type=0, depth=16), GREY),
    "16-bit grey, big-endian TIFF": lambda: (tiff(GREY_SIXTEEN, 1, big_endian=True), GREY),
    "16-bit grey, white is zero": lambda: (tiff(65_535 - GREY_SIXTEEN, 0), GREY),
    "16-bit colour, PNG": lambda: (png(SIXTEEN, colour_type=2, depth=16), RGB),
    "16-bit colour, TIFF": lambda: (tiff(SIXTEEN, 2), RGB),
    "16-bit colour, big-endian TIFF": lambda: (tiff(SIXTEEN, 2, big_endian=True), RGB),
    "32-bit grey, TIFF": lambda: (
        tiff(GREY_SIXTEEN.astype(np.uint32) * np.uint32(32_768), 1),
        GREY.point(lambda value: round(value * 255 / int(np.asarray(GREY).max()))),
    ),
    "32-bit grey to the top, big-endian TIFF": lambda: (
        tiff(np.asarray(STRETCHED).astype(np.uint32) * np.uint32(2**24), 1, big_endian=True),
        STRETCHED,
    ),
    "float grey of 0 to 1": lambda: (
        tiff((np.asarray(GREY) / 255).astype(np.float32), 1),
        GREY,
    ),
    "float grey of 0 to 255": lambda: (tiff(np.asarray(GREY).astype(np.float32), 1), GREY),
    **{
        f"float colour of 0 to {white}, {bits} bits": functools.partial(
            lambda white, bits: (
                tiff((EIGHT if white == 255 else linear(RGB)).astype(f"f{bits // 8}"), 2),
                RGB,
            ),
            white,
            bits,
        )
        for white, bits in ((1, 16), (1, 32), (1, 64), (255, 32))
    },
    "float colour and alpha, packed": lambda: (
        packed_tiff(
            np.dstack([linear(RGB), np.asarray(ALPHA)[..., 3:] / 255]).astype(np.float32),
            2,
            5,
            predictor=3,
            planar=True,
            tags={338: (2,)},
        ),
        ALPHA,
    ),
    "32-bit colour": lambda: (tiff(EIGHT.astype(np.uint32) * np.uint32(257), 2), RGB),
    "16-bit grey and alpha, TIFF": lambda: (
        tiff(np.asarray(GREY_ALPHA).astype(np.uint16) * np.uint16(257), 1, extra_sample=2),
        GREY_ALPHA,
    ),
    "double grey": lambda: (tiff(np.asarray(GREY) / 255, 1), GREY),
    "PFM": lambda: (pfm(linear(RGB)), RGB),
    "PFM, grey": lambda: (pfm(np.asarray(GREY).astype(np.float32), big_endian=True), GREY),
    # transparency, palettes, grey
    "palette": lambda: (saved(PALETTE, "PNG"), PALETTE.convert("RGB")),
    "palette with degrees of transparency": lambda: (
        saved(PALETTE, "PNG", transparency=bytes(range(56, 256))),
        Image.merge(
            "RGBA",
            (*PALETTE.convert("RGB").split(), Image.fromarray(np.asarray(PALETTE) + np.uint8(56))),
        ),
    ),
    "tRNS on grey": lambda: (
        png(np.asarray(FEW_GREYS), colour_type=0, chunks={b"tRNS": struct_short(KEY)}),
        keyed(FEW_GREYS, KEY),
    ),
    "tRNS on 4-bit grey": lambda: (
        png(
            np.asarray(FEW_GREYS) // 17,
            colour_type=0,
            depth=4,
            chunks={b"tRNS": struct_short(KEY // 17)},
        ),
        keyed(FEW_GREYS, KEY),
    ),
    "tRNS on 16-bit grey": lambda: (
        png(
            np.asarray(FEW_GREYS).astype(np.uint16) * np.uint16(257),
            colour_type=0,
            depth=16,
            chunks={b"tRNS": struct_short(KEY * 257)},
        ),
        keyed(FEW_GREYS, KEY),
    ),
    "tRNS on colour": lambda: (
        png(
            np.where(np.asarray(HOLED)[..., 3:] == 0, np.array([7, 8, 9], np.uint8), EIGHT),
            colour_type=2,
            chunks={b"tRNS": struct_short(7) + struct_short(8) + struct_short(9)},
        ),
        HOLED,
    ),
    "tRNS on 16-bit colour": lambda: (
        png(
            np.where(
                np.asarray(HOLED)[..., 3:] == 0, np.array([1799, 2056, 2313], np.uint16), SIXTEEN
            ),
            colour_type=2,
            depth=16,
            chunks={b"tRNS": struct_short(1799) + struct_short(2056) + struct_short(2313)},
        ),
        HOLED,
    ),
    "alpha, PNG": lambda: (saved(ALPHA, "PNG"), ALPHA),
    "alpha, WebP": lambda: (saved(ALPHA, "WEBP", exact=True), ALPHA),
    "grey and alpha": lambda: (saved(GREY_ALPHA, "PNG"), GREY_ALPHA),
    "premultiplied alpha, TIFF": lambda: (tiff(PREMULTIPLIED, 2, extra_sample=1), ALPHA),
    "a fourth channel that is nothing, TIFF": lambda: (
        tiff(np.asarray(ALPHA), 2, extra_sample=0),
        ALPHA.convert("RGB"),
    ),
    "grey, JPEG": lambda: (saved(GREY, "JPEG"), GREY),
    "one bit": lambda: (saved(RGB.convert("1"), "PNG"), RGB.convert("1")),
    # two pictures in one
    "MPO": lambda: (saved(RGB, "MPO", save_all=True, append_images=[RGB.rotate(180)]), RGB),
    "gain map": lambda: (gain_map_jpeg(RGB), RGB),
}

NO_TRUTH: Final = {
    "CMYK of Adobe, without a profile": "inks do not look as the screen they were counted from",
    "CMYK without Adobe's marker": "likewise",
    "YCCK": "likewise",
    "CMYK with a profile": "likewise",
    "CMYK, TIFF": "likewise",
    "CMYK, 16-bit TIFF": "likewise",
    "inks and alpha, TIFF": "likewise",
}
"""Kinds whose look only a profile tells: libvips alone is the reference."""

LIBVIPS_DIFFERS: Final = {
    "XMP orientation, JPEG": "libvips turns by EXIF alone",
    "gAMA of linear light": "libvips reads no gAMA; the PNG specification asks for it",
    "gAMA on grey": "likewise",
    "cHRM of swapped primaries": "libvips reads no cHRM",
    "cICP outranks iCCP": "libvips reads no cICP",
    "PQ below reference white": "libvips reads no cICP",
    "32-bit grey, TIFF": "libvips clips what is above 255",
    "32-bit grey to the top, big-endian TIFF": "likewise",
    "float grey of 0 to 1": "libvips takes floats as 0 to 255",
    "float colour of 0 to 1, 16 bits": "libvips does not read floats of 16 bits",
    "float colour of 0 to 1, 64 bits": "libvips does not read floats of 64 bits",
    "float colour of 0 to 255, 32 bits": "libvips takes all colour floats as light of 0 to 1",
    "double grey": "libvips refuses it: 'samples out of range'",
    "32-bit colour": "libvips clips what is above 255",
    "PFM": "the libvips that pyvips-binary brings reads no PFM",
    "PFM, grey": "likewise",
    "a fourth channel that is nothing, TIFF": "libvips takes every fourth channel as alpha",
    "CIELAB, TIFF": "libvips 8.18 does not read it: 'bad labq format'",
}
"""Kinds that libvips shows otherwise on purpose of ours, and why."""


def struct_short(value: int) -> bytes:
    return value.to_bytes(2, "big")


@pytest.fixture(scope="module", autouse=True)
def pillow() -> None:
    prepare_pillow()


def rendered(
    folder: Path, data: bytes, overrides: dict[str, object] | None = None
) -> tuple[dict[str, Image.Image], dict[str, bytes], dict[str, Any]]:
    """Each format's rendition of one source at quality 95: decoded, as bytes; and its row.

    Raises:
        NotCompressedError: With the reason of the row.
    """
    library = Library.below(folder)
    (library.source / "a").write_bytes(data)
    quality = {f"full_{name}_quality": 95 for name in EXTENSIONS}
    job = library.job({**quality, "full_px": 256, "graphics": False, **(overrides or {})})
    setup = render_setup(job, plan_partition(job), recipe_digests(job))
    task = SourceTask("a", len(data), tuple(("full", name) for name in EXTENSIONS))
    result = render_source(task, setup, 1_000_000_000)
    for row in result.outcomes:
        if row["status"] != "written":
            raise NotCompressedError(row["reason"], row["message"])
    root = library.output / "renditions" / DAY / "a"
    files = {name: (root / f"full{ending}").read_bytes() for name, ending in EXTENSIONS.items()}
    return {name: opened(content) for name, content in files.items()}, files, result.source


def opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def by_libvips(data: bytes, size: tuple[int, int]) -> Image.Image:
    """What libvips makes of it at that size: upright, in sRGB."""
    image = pyvips.Image.thumbnail_buffer(
        data, size[0], height=size[1], size="force", export_profile="srgb"
    )
    pixels = image.cast("uchar").numpy()
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[pixels.shape[2]]
    return Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)


@pytest.mark.parametrize("kind", KINDS)
def test_the_three_formats_agree_with_each_other_with_the_truth_and_with_libvips(
    kind: str, tmp_path: Path
) -> None:
    data, truth = KINDS[kind]()

    pictures, _, source = rendered(tmp_path, data)

    for name, image in pictures.items():
        assert image.size == truth.size, (kind, name)
        assert image.getexif().get(0x0112, 1) == 1
        assert "icc_profile" not in image.info
    assert (source["source_width_px"], source["source_height_px"]) == truth.size
    for one, other in (("avif", "webp"), ("avif", "jpeg"), ("webp", "jpeg")):
        assert mean_difference(pictures[one], pictures[other]) <= BETWEEN_FORMATS, (one, other)
    for name, image in pictures.items():
        if kind not in NO_TRUTH:
            assert mean_difference(image, truth) <= AGAINST_REFERENCE, (name, source)
    if pyvips is not None and kind not in LIBVIPS_DIFFERS:
        reference = by_libvips(data, truth.size)
        for name, image in pictures.items():
            assert mean_difference(image, reference) <= AGAINST_REFERENCE, (name, source)


def in_srgb(image: Image.Image) -> Image.Image:
    """A picture read by its own profile."""
    profile = image.info.get("icc_profile")
    if profile is None:
        return image
    converted = ImageCms.profileToProfile(
        image,
        io.BytesIO(profile),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert converted is not None
    return converted


def test_display_p3_is_kept_in_avif_and_webp_and_jpeg_is_the_same_as_without(
    tmp_path: Path,
) -> None:
    vivid = Image.merge("RGB", (GREY.point(lambda v: min(255, v + 90)), *RGB.split()[1:]))
    data = saved(vivid, "PNG", icc_profile=P3)

    kept, files, _ = rendered(tmp_path / "kept", data, {"keep_display_p3": True})
    plain, plain_files, _ = rendered(tmp_path / "plain", data)

    for name in ("avif", "webp"):
        assert kept[name].info["icc_profile"] == P3
        assert mean_difference(kept[name], vivid) <= BETWEEN_FORMATS, "the numbers are P3's"
    assert "icc_profile" not in kept["jpeg"].info
    assert files["jpeg"] == plain_files["jpeg"], "its recipe knows nothing of the setting"
    assert not any("icc_profile" in image.info for image in plain.values())
    for name in ("avif", "webp"):
        assert mean_difference(in_srgb(kept[name]), kept["jpeg"]) <= BETWEEN_FORMATS
    assert mean_difference(kept["avif"], plain["avif"]) > 1, "the test's colours are beyond sRGB"


def test_what_is_srgb_is_the_same_file_with_display_p3_kept(tmp_path: Path) -> None:
    data = saved(RGB, "JPEG")

    _, kept, _ = rendered(tmp_path / "kept", data, {"keep_display_p3": True})
    _, plain, _ = rendered(tmp_path / "plain", data)

    assert kept == plain


def test_grey_sources_stay_grey_in_every_format(tmp_path: Path) -> None:
    pictures, _, _ = rendered(tmp_path, saved(GREY, "PNG"))

    assert pictures["jpeg"].mode == "L"
    for name, image in pictures.items():
        channels = np.asarray(image.convert("RGB")).astype(int)
        assert (channels.max(axis=-1) - channels.min(axis=-1)).max() <= 1, name


@pytest.mark.parametrize("garbage", [(0, 0, 0), (255, 0, 255)])
def test_the_colour_of_transparent_pixels_leaves_no_halo(
    garbage: tuple[int, int, int], tmp_path: Path
) -> None:
    # A light disc on what nobody should see: a plain resize would mix the two at its edge.
    y, x = np.mgrid[0:300, 0:300]
    inside = (x - 150) ** 2 + (y - 150) ** 2 < 120**2
    pixels = np.zeros((300, 300, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(
        inside[..., None], np.array([240, 230, 200], np.uint8), np.array(garbage, np.uint8)
    )
    pixels[..., 3] = 255 * inside

    pictures, _, _ = rendered(
        tmp_path,
        saved(Image.fromarray(pixels), "PNG"),
        {"full_px": 60, "thumbnail_px": 30, "background": "#f0e6c8"},
    )

    for name in ("avif", "webp"):
        small = np.asarray(pictures[name].convert("RGBA")).astype(int)
        edge = (small[..., 3] > 40) & (small[..., 3] < 215)
        assert edge.sum() > 50
        assert np.abs(small[edge][:, :3] - [240, 230, 200]).mean() < 4, name
    jpeg = np.asarray(pictures["jpeg"]).astype(int)  # on a background of the disc's own colour
    assert (jpeg - [240, 230, 200]).min() >= -6


def test_highlights_of_hdr_keep_their_order_and_white_paper_is_nearly_white(tmp_path: Path) -> None:
    nits = np.array([0, 1, 10, 50, 100, 203, 400, 1_000, 4_000, 10_000])
    steps = np.repeat(np.repeat(nits, 12)[None, :, None], 24, axis=0) * np.ones(3)
    for transfer, signal in ((16, pq_encoded(steps)), (18, hlg_encoded(steps.clip(0, 1_000)))):
        data = png(
            (65_535 * signal).round().astype(np.uint16),
            colour_type=2,
            depth=16,
            chunks={b"cICP": bytes([9, transfer, 0, 1])},
        )
        pictures, _, source = rendered(tmp_path / str(transfer), data)
        assert source["colour_note"] == f"cicp:bt2020-{'pq' if transfer == 16 else 'hlg'}"
        for image in pictures.values():
            levels = np.asarray(image.convert("L"))[12, 6::12].astype(int)
            assert levels[0] == 0
            assert (np.diff(levels)[:6] > 4).all(), levels
            assert (np.diff(levels) >= 0).all(), levels
            assert 240 <= levels[5] <= 248, "reference white"


def hlg_encoded(nits: Any) -> Any:
    """Signal of luminance by ARIB STD-B67, on a display of 1,000 nits."""
    scene = (nits / 1_000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def test_an_avif_in_rec_2020_and_pq_is_read_by_its_box(tmp_path: Path) -> None:
    dim = RGB.point(lambda value: round(value * 0.8))
    signal = pq_encoded(linear(dim) * profiles.REFERENCE_WHITE_NITS)
    coded = Image.fromarray((255 * signal).round().astype(np.uint8))
    data = saved(coded, "AVIF")
    at = data.index(b"colrnclx") + 8
    data = data[:at] + (1).to_bytes(2, "big") + (16).to_bytes(2, "big") + data[at + 4 :]

    pictures, _, source = rendered(tmp_path, data)

    assert source["colour_note"] == "cicp:bt709-pq"
    for image in pictures.values():
        assert mean_difference(image, dim) <= AGAINST_REFERENCE


REAL: Final[dict[str, object]] = {"full_px": 768, "avif_speed": 10, "graphics": True}
"""As photographs are seen, and graphics as what they are: chroma at half resolution, which WebP
always has, is more than 2 away in a 256 px thumbnail of flowers, 1.3 at 1024 px."""

CORPUS_DIFFERS: Final[tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...]] = (
    (
        "libvips reads neither gAMA nor cHRM, which the PNG specification asks for",
        lambda source: (
            source["source_format"] == "PNG"
            and source["colour_note"].startswith(("gamma:", "srgb+chromaticities"))
        ),
    ),
    (
        "libvips reads no cICP and no nclx: HDR is shown flat and grey",
        lambda source: source["colour_note"].startswith("cicp:"),
    ),
    (
        "libvips turns by EXIF alone; this is turned by XMP",
        lambda source: source["orientation"] != 1 and source["source_format"] == "PNG",
    ),
    (
        "the libvips that pyvips-binary brings reads no PFM",
        lambda source: source["source_format"] == "PFM",
    ),
    (
        "libvips 8.18 does not read uncompressed CIELAB: 'bad labq format'",
        lambda source: source["source_mode"] == "LAB",
    ),
)
"""Classes of real files that libvips shows otherwise on purpose of ours, by what their row says."""


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no corpus at {CORPUS}; made kinds stand in")
@pytest.mark.skipif(pyvips is None, reason=NO_LIBVIPS)
@pytest.mark.parametrize(
    "folder",
    [
        *("01_exif_orientation", "02_cmyk", "03_icc_gamut", "04_highdepth_hdr"),
        *("05_alpha_palette_gray", "06_odd_colourspace", "08_jpeg_variants"),
    ],
)
def test_real_odd_files_look_the_same_in_three_formats_and_in_libvips(
    folder: str, tmp_path: Path
) -> None:
    compared = 0
    for number, path in enumerate(sorted((CORPUS / folder).iterdir())):
        data = path.read_bytes()
        try:
            pictures, _, source = rendered(tmp_path / str(number), data, REAL)
        except NotCompressedError:
            continue  # a row with its reason: other tests' matter
        # In icons of a few thousand pixels, edges all of them, two encoders' losses add up to 3.
        allowed = BETWEEN_FORMATS if max(pictures["avif"].size) >= 256 else 2 * BETWEEN_FORMATS
        for one, other in (("avif", "webp"), ("avif", "jpeg"), ("webp", "jpeg")):
            difference = mean_difference(pictures[one], pictures[other])
            assert difference <= allowed, (path.name, one, other, difference)
        if any(differs(source) for _, differs in CORPUS_DIFFERS):
            continue
        reference = by_libvips(data, pictures["jpeg"].size)
        for name, image in pictures.items():
            difference = mean_difference(image, reference)
            assert difference <= AGAINST_REFERENCE, (path.name, name, difference)
        compared += 1
    assert compared > 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [  # Sharma, Wu, Dalal: The CIEDE2000 Color-Difference Formula (2005), table 1
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
        ((50.0, -1.3802, -84.2814), (50.0, 0.0, -82.7485), 1.0000),
        ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
        ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0009), 7.1792),
        ((50.0, 2.4900, -0.0010), (50.0, -2.4900, 0.0011), 7.2195),
        ((50.0, -0.0010, 2.4900), (50.0, 0.0009, -2.4900), 4.8045),
        ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((63.0109, -31.0961, -5.8663), (62.8187, -29.7946, -4.0864), 1.2630),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
        ((90.8027, -2.0831, 1.4410), (91.1528, -1.6435, 0.0447), 1.4441),
        ((6.7747, -0.2908, -2.4247), (5.8714, -0.0985, -2.2286), 0.6377),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_of_difference_is_the_published_one(
    one: tuple[float, ...], other: tuple[float, ...], expected: float
) -> None:
    assert ciede2000(np.array(one), np.array(other)) == pytest.approx(expected, abs=5e-5)
    assert ciede2000(np.array(other), np.array(one)) == pytest.approx(expected, abs=5e-5)


def test_every_kind_on_the_lists_of_exceptions_is_a_kind() -> None:
    assert set(LIBVIPS_DIFFERS) <= set(KINDS)
    assert set(NO_TRUTH) <= set(KINDS)
    assert not set(NO_TRUTH) & set(LIBVIPS_DIFFERS), "each kind has a reference"
