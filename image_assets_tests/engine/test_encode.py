import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from image_assets.engine.codecs import codec_versions
from image_assets.engine.encode import (
    AOM_FROM_QUALITY,
    SVT_MAX_HEIGHT_PX,
    SVT_MAX_WIDTH_PX,
    EncodePolicy,
    aom_speed,
    choose_encoding,
    encode_to,
    prepare,
    svt_quality,
    svt_speed,
)
from image_assets_tests.photographs import picture

POLICY = EncodePolicy(
    avif_speed=8, avif_threads=1, webp_method=3, background="#00ff00", codecs=codec_versions()
)
WITHOUT_SVT = dataclasses.replace(
    POLICY, codecs={name: version for name, version in POLICY.codecs.items() if name != "svt"}
)
EXTENSIONS = {"avif": ".avif", "webp": ".webp", "jpeg": ".jpg", "master": ".webp"}


def encoder(width: int, height: int, quality: int = 75, policy: EncodePolicy = POLICY) -> str:
    return choose_encoding((width, height), "avif", quality, policy).encoder


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
    encode_to(str(path), prepared, choose_encoding(image.size, format_name, quality, policy), b"")
    return path


def test_these_tests_have_all_encoders() -> None:
    assert {"svt", "aom", "libwebp", "libjpeg_turbo"} <= set(POLICY.codecs)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 768, "svt"),
        (4, 4, "svt"),
        (3, 768, "aom"),
        (768, 3, "aom"),
        (1, 1, "aom"),
        (SVT_MAX_WIDTH_PX, 100, "svt"),
        (SVT_MAX_WIDTH_PX + 1, 100, "aom"),
        (100, SVT_MAX_HEIGHT_PX, "svt"),
        (100, SVT_MAX_HEIGHT_PX + 1, "aom"),
    ],
)
def test_aom_serves_the_sizes_that_svt_refuses(width: int, height: int, expected: str) -> None:
    assert encoder(width, height) == expected


def test_aom_serves_high_qualities_with_all_of_the_colour() -> None:
    below = choose_encoding((100, 100), "avif", AOM_FROM_QUALITY - 1, POLICY)
    above = choose_encoding((100, 100), "avif", AOM_FROM_QUALITY, POLICY)
    assert (below.encoder, below.options["subsampling"]) == ("svt", "4:2:0")
    assert (above.encoder, above.options["subsampling"]) == ("aom", "4:4:4")


def test_aom_serves_where_svt_is_missing() -> None:
    assert encoder(1024, 768, policy=WITHOUT_SVT) == "aom"
    fallback = choose_encoding((1024, 768), "avif", 75, WITHOUT_SVT)
    assert fallback.native_quality == 75, "quality is on aom's scale"


def test_svt_qualities_grow_with_the_guides_and_stay_in_its_range() -> None:
    native = [svt_quality(quality) for quality in range(1, 101)]
    assert native == sorted(native)
    assert native[0] >= 1
    assert native[-1] == 98, "at 100 SVT's pictures are broken"
    assert (svt_quality(75), svt_quality(85), svt_quality(77)) == (72, 82, 74)


def test_speeds_grow_with_the_scale_and_stay_in_the_encoders_range() -> None:
    assert [svt_speed(speed) for speed in (4, 6, 8)] == [7, 8, 9]
    for native in (svt_speed, aom_speed):
        speeds = [native(speed) for speed in range(11)]
        assert speeds == sorted(speeds)
        assert all(0 <= speed <= 9 for speed in speeds)


@given(
    st.integers(1, 16_383),
    st.integers(1, 16_383),
    st.sampled_from(["avif", "webp", "jpeg", "master"]),
    st.integers(1, 100),
    st.integers(1, 64),
)
def test_the_choice_never_depends_on_threads(
    width: int, height: int, format_name: str, quality: int, threads: int
) -> None:
    more = dataclasses.replace(POLICY, avif_threads=threads)
    one = choose_encoding((width, height), format_name, quality, POLICY)
    other = choose_encoding((width, height), format_name, quality, more)
    assert (one.encoder, one.native_quality, one.speed) == (
        other.encoder,
        other.native_quality,
        other.speed,
    )
    if one.encoder == "aom":
        assert other.options["max_threads"] == 1, "aom's bytes depend on its threads"


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


@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg", "master"])
def test_the_same_picture_gives_the_same_bytes(tmp_path: Path, format_name: str) -> None:
    first = write(tmp_path, picture((120, 80)), format_name).read_bytes()
    assert write(tmp_path, picture((120, 80)), format_name).read_bytes() == first
    assert write(tmp_path, picture((120, 80), seed=1), format_name).read_bytes() != first


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (90, 3), (4, 4), (5, 7), (121, 83)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("format_name", ["avif", "webp", "jpeg", "master"])
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
    for format_name in ("avif", "webp", "jpeg"):
        sizes, errors = [], []
        for quality in (30, 75, 92):
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


@pytest.mark.parametrize("format_name", ["avif", "webp", "master"])
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
    for format_name in ("avif", "webp", "jpeg"):
        with Image.open(write(tmp_path, picture((64, 40), mode="L"), format_name, 90)) as opened:
            channels = np.asarray(opened.convert("RGB")).astype(int)
        assert np.ptp(channels, axis=2).max() <= 2, format_name


def test_an_unregistered_format_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="'gif'"):
        choose_encoding((1, 1), "gif", 75, POLICY)
