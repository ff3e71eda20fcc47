import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_assets.engine.pixels.choice import GRAPHIC, EncodePolicy, Encoding
from image_assets.engine.pixels.codecs import codec_versions, load_decoder
from image_assets.engine.pixels.encode import (
    choose_encoding,
    encode_smallest,
    encode_to,
    list_encodings,
    prepare,
)
from image_assets.engine.pixels.metadata import NO_METADATA
from image_assets_tests.photographs import camera_exif, drawing, encode_photograph, picture

load_decoder("JXL")  # so that Pillow reads what was written

POLICY = EncodePolicy(
    avif_speed=8, avif_threads=1, webp_method=3, background="#00ff00", codecs=codec_versions()
)
WITHOUT_SVT = dataclasses.replace(
    POLICY, codecs={name: version for name, version in POLICY.codecs.items() if name != "svt"}
)
EXTENSIONS = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg", "jxl": ".jxl", "master": ".webp"}


def write(
    folder: Path,
    image: Image.Image,
    format_name: str,
    quality: int = 75,
    policy: EncodePolicy = POLICY,
) -> Path:
    """Encode as the engine does and return the file."""
    prepared = prepare(image, format_name, policy)
    path = folder / f"rendition{EXTENSIONS[format_name]}"
    encoding = choose_encoding(image.size, format_name, quality, policy)
    encode_to(str(path), prepared, encoding, NO_METADATA)
    return path


def test_these_tests_have_all_encoders() -> None:
    assert {"svt", "aom", "libwebp", "libjpeg_turbo", "libjxl"} <= set(POLICY.codecs)


@pytest.mark.parametrize("quality", [40, 75])
def test_svt_bytes_do_not_depend_on_threads(tmp_path: Path, quality: int) -> None:
    image = picture((290, 200))
    written = {
        write(
            tmp_path, image, "avif", quality, dataclasses.replace(POLICY, avif_threads=threads)
        ).read_bytes()
        for threads in (1, 2, 3, 4)
    }
    assert len(written) == 1


@pytest.mark.parametrize("size", [(300, 24), (266, 10), (17, 276), (265, 4), (300, 63)])
@pytest.mark.parametrize("threads", [2, 8])
def test_a_narrow_strip_is_encoded_whatever_the_threads(
    tmp_path: Path, size: tuple[int, int], threads: int
) -> None:
    # With threads of its own SVT would wait for ever, and this test too.
    policy = dataclasses.replace(POLICY, avif_threads=threads)
    encoding = choose_encoding(size, "avif", 75, policy)
    assert (encoding.encoder, encoding.options["max_threads"]) == ("svt", 1)
    with Image.open(write(tmp_path, picture(size), "avif", 75, policy)) as image:
        assert image.size == size


@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg", "jxl", "master"])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, format_name: str) -> None:
    first = write(tmp_path, picture((120, 80)), format_name).read_bytes()
    assert write(tmp_path, picture((120, 80)), format_name).read_bytes() == first
    assert write(tmp_path, picture((120, 80), seed=1), format_name).read_bytes() != first


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3), (4, 4), (5, 7), (121, 83)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg", "jxl", "master"])
def test_every_mode_and_size_can_be_written_and_read_back(
    tmp_path: Path, format_name: str, mode: str, size: tuple[int, int]
) -> None:
    image = picture(size, mode=mode)
    with Image.open(write(tmp_path, image, format_name, 90)) as opened:
        opened.load()
        assert opened.size == size
        keeps_alpha = mode == "RGBA" and format_name != "jpeg"
        expected = image if keeps_alpha else prepare(image, "jpeg", POLICY)
        back = opened.convert(expected.mode)
    if min(size) > 16:
        difference = np.abs(np.asarray(back).astype(int) - np.asarray(expected).astype(int))
        if keeps_alpha:  # colour that nobody sees is the encoder's to choose
            difference = difference[np.asarray(image)[..., 3] == 255]
        assert difference.mean() < 16


@pytest.mark.parametrize("policy", [POLICY, WITHOUT_SVT])
def test_a_higher_quality_is_more_bytes_and_closer(tmp_path: Path, policy: EncodePolicy) -> None:
    image = picture((200, 140))
    for format_name in ("avif", "webp", "jpeg", "jxl"):
        sizes, errors = [], []
        for quality in (30, 75, 97 if format_name == "jxl" else 92):  # it smooths grain long
            path = write(tmp_path, image, format_name, quality, policy)
            sizes.append(path.stat().st_size)
            with Image.open(path) as opened:
                back = np.asarray(opened.convert("RGB")).astype(int)
            errors.append(float(np.abs(back - np.asarray(image).astype(int)).mean()))
        assert sizes == sorted(set(sizes)), format_name
        assert errors == sorted(set(errors), reverse=True), format_name


def test_jpeg_is_progressive_and_has_the_background_under_transparency(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    with Image.open(write(tmp_path, clear, "jpeg", 90)) as opened:
        assert opened.mode == "RGB"
        assert opened.info["progressive"]
        pixel = opened.getpixel((8, 8))
    assert isinstance(pixel, tuple)
    red, green, blue = pixel
    assert red < 10
    assert green > 245
    assert blue < 10


@pytest.mark.parametrize("format_name", ["avif", "webp", "jxl", "master"])
def test_transparency_survives_where_the_format_carries_it(
    tmp_path: Path, format_name: str
) -> None:
    image = picture((64, 40), mode="RGBA")
    with Image.open(write(tmp_path, image, format_name, 90)) as opened:
        alpha = np.asarray(opened.getchannel("A")).astype(int)
    assert np.abs(alpha - np.asarray(image.getchannel("A"))).mean() < 2


def test_a_master_is_lossless_to_the_colour_under_transparency(tmp_path: Path) -> None:
    image = picture((64, 40), mode="RGBA")
    hidden = image.crop((0, 0, 20, 20))
    hidden.putalpha(0)
    image.paste(hidden, (0, 0))
    assert image.getpixel((5, 5)) != (0, 0, 0, 0)
    with Image.open(write(tmp_path, image, "master")) as opened:
        assert opened.tobytes() == image.tobytes()


def test_grey_stays_grey(tmp_path: Path) -> None:
    for format_name in ("avif", "webp", "jpeg", "jxl"):
        with Image.open(write(tmp_path, picture((64, 40), mode="L"), format_name, 90)) as opened:
            channels = np.asarray(opened.convert("RGB")).astype(int)
        assert np.ptp(channels, axis=2).max() <= 2, format_name


def smallest(folder: Path, image: Image.Image, format_name: str) -> tuple[Encoding, Path]:
    """Encode a graphic as the engine does."""
    prepared = prepare(image, format_name, POLICY)
    path = folder / f"graphic{EXTENSIONS[format_name]}"
    ways = list_encodings(image.size, format_name, 80, POLICY, GRAPHIC)
    return encode_smallest(str(path), prepared, ways, NO_METADATA), path


@pytest.mark.parametrize("format_name", ["webp", "jxl"])
def test_a_drawing_is_kept_without_loss_where_that_is_smaller(
    tmp_path: Path, format_name: str
) -> None:
    image = drawing((400, 300))
    kept, path = smallest(tmp_path, image, format_name)
    assert (kept.lossless, kept.native_quality) == (True, 100)
    with Image.open(path) as opened:
        assert opened.convert("RGB").tobytes() == image.tobytes()
    lossy = write(tmp_path, image, format_name, 80)
    assert path.stat().st_size <= lossy.stat().st_size


@pytest.mark.parametrize("format_name", ["webp", "jxl"])
def test_a_picture_that_is_larger_without_loss_stays_lossy(
    tmp_path: Path, format_name: str
) -> None:
    image = picture((200, 140))
    kept, path = smallest(tmp_path, image, format_name)
    assert not kept.lossless
    assert path.read_bytes() == write(tmp_path, image, format_name, 80).read_bytes()


def test_the_smallest_of_what_is_tried_is_what_lies_on_disk(tmp_path: Path) -> None:
    image = drawing((400, 300))
    ways = list_encodings(image.size, "webp", 80, POLICY, GRAPHIC)
    sizes = []
    for way in ways:
        encode_to(str(tmp_path / "one.webp"), image, way, NO_METADATA)
        sizes.append((tmp_path / "one.webp").stat().st_size)
    kept, path = smallest(tmp_path, image, "webp")
    assert kept == ways[sizes.index(min(sizes))]
    assert path.stat().st_size == min(sizes)


def test_coloured_text_keeps_its_colour_in_a_graphics_jpeg_and_avif(tmp_path: Path) -> None:
    image = drawing((400, 300))
    for format_name in ("jpeg", "avif"):
        _, path = smallest(tmp_path, image, format_name)
        photograph = write(tmp_path, image, format_name, 80)
        assert colour_error(path, image) < 0.7 * colour_error(photograph, image), format_name


def colour_error(path: Path, image: Image.Image) -> float:
    """Mean difference of the two colour channels."""
    with Image.open(path) as opened:
        shown = np.asarray(opened.convert("YCbCr")).astype(int)[..., 1:]
    return float(np.abs(shown - np.asarray(image.convert("YCbCr")).astype(int)[..., 1:]).mean())


@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg", "jxl"])
def test_what_a_source_once_had_never_reaches_a_rendition_by_itself(
    tmp_path: Path, format_name: str
) -> None:
    """Pillow's writers look into the opened image where an argument is absent."""
    exif = camera_exif()
    data = encode_photograph((64, 48), exif=exif, comment=b"COMMENTMARK", xmp=b"<x>XMPMARK</x>")
    with Image.open(io.BytesIO(data)) as opened:
        opened.load()
        assert opened.getexif()
        opened.info = {}
        encoding = choose_encoding(opened.size, format_name, 75, POLICY)
        encode_to(str(tmp_path / "out"), opened, encoding, NO_METADATA)
    written = (tmp_path / "out").read_bytes()
    for mark in (b"GPSMARK", b"COMMENTMARK", b"XMPMARK", b"Camera maker", b"Exif"):
        assert mark not in written, mark


def test_an_unregistered_format_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="'gif'"):
        choose_encoding((1, 1), "gif", 75, POLICY)
