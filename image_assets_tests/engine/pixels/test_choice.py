import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.pixels.choice import (
    AOM_FROM_QUALITY,
    GRAPHIC,
    JPEG_CODINGS,
    JXL_EFFORT,
    PHOTOGRAPH,
    SVT_MAX_HEIGHT_PX,
    SVT_MAX_WIDTH_PX,
    EncodePolicy,
    Encoding,
    Request,
    Ways,
    aom_speed,
    avif_ways,
    jpeg_ways,
    jxl_ways,
    master_ways,
    svt_quality,
    svt_speed,
    webp_ways,
)

CODECS = {"svt": "4.1", "aom": "3.14", "libwebp": "1.6", "libjpeg_turbo": "3.1", "libjxl": "0.11"}
POLICY = EncodePolicy(
    avif_speed=8, avif_threads=1, webp_method=3, background="#00ff00", codecs=CODECS
)
WITHOUT_SVT = dataclasses.replace(
    POLICY, codecs={name: version for name, version in CODECS.items() if name != "svt"}
)
WITHOUT_AOM = dataclasses.replace(
    POLICY, codecs={name: version for name, version in CODECS.items() if name != "aom"}
)
ALL_WAYS = (avif_ways, webp_ways, jpeg_ways, jxl_ways, master_ways)


def request(
    width: int = 1024,
    height: int = 768,
    quality: int = 75,
    content: str = PHOTOGRAPH,
    policy: EncodePolicy = POLICY,
) -> Request:
    return Request((width, height), quality, content, policy)


def avif(
    width: int, height: int, quality: int = 75, content: str = PHOTOGRAPH, **policy: object
) -> Encoding:
    """The only way to make an AVIF."""
    chosen = dataclasses.replace(POLICY, **policy)  # type: ignore[arg-type]
    (way,) = avif_ways(request(width, height, quality, content, chosen))
    return way


def encoder(width: int, height: int) -> str:
    return avif(width, height).encoder


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 768, "svt"),
        (4, 257, "svt"),
        (4, 4, "aom"),
        (256, 256, "aom"),
        (257, 150, "svt"),
        (3, 768, "aom"),
        (768, 3, "aom"),
        (1, 1, "aom"),
        (SVT_MAX_WIDTH_PX, 100, "svt"),
        (SVT_MAX_WIDTH_PX + 1, 100, "aom"),  # beyond what AVIF carries; never asked for
        (100, SVT_MAX_HEIGHT_PX, "svt"),
        (100, SVT_MAX_HEIGHT_PX + 1, "aom"),
    ],
)
def test_aom_serves_thumbnails_and_the_sizes_that_svt_refuses(
    width: int, height: int, expected: str
) -> None:
    assert encoder(width, height) == expected


def test_aom_serves_high_qualities_with_all_of_the_colour() -> None:
    below, above = avif(300, 100, AOM_FROM_QUALITY - 1), avif(300, 100, AOM_FROM_QUALITY)
    assert (below.encoder, below.options["subsampling"]) == ("svt", "4:2:0")
    assert (above.encoder, above.options["subsampling"]) == ("aom", "4:4:4")


def test_thumbnails_are_made_at_the_fastest_speed_whatever_the_speed() -> None:
    speeds = {speed: avif(150, 100, avif_speed=speed) for speed in (0, 4, 8)}
    assert {(way.encoder, way.speed) for way in speeds.values()} == {("aom", 9)}
    assert avif(150, 100, codecs=WITHOUT_AOM.codecs).encoder == "svt"


def test_svt_is_tuned_for_quality_but_at_its_fastest() -> None:
    tunes = {
        speed: avif(1024, 768, avif_speed=speed).options["advanced"] for speed in (4, 6, 8, 10)
    }
    assert tunes == {4: {"tune": "3"}, 6: {"tune": "3"}, 8: {"tune": "4"}, 10: {"tune": "4"}}


@pytest.mark.parametrize(
    ("coding", "progressive", "optimize"),
    [("baseline", False, False), ("optimized", False, True), ("progressive", True, True)],
)
def test_a_jpeg_is_coded_as_the_policy_says(coding: str, progressive: bool, optimize: bool) -> None:
    assert coding in JPEG_CODINGS
    (way,) = jpeg_ways(request(policy=dataclasses.replace(POLICY, jpeg_coding=coding)))
    assert (way.options["progressive"], way.options["optimize"]) == (progressive, optimize)


def test_aom_serves_where_svt_is_missing() -> None:
    fallback = avif(1024, 768, codecs=WITHOUT_SVT.codecs)
    assert fallback.encoder == "aom"
    assert fallback.native_quality == 75, "quality is on aom's scale"


def test_jpeg_keeps_all_chroma_from_the_same_quality_on_as_avif() -> None:
    (below,), (above,) = (
        jpeg_ways(request(quality=quality)) for quality in (AOM_FROM_QUALITY - 1, AOM_FROM_QUALITY)
    )
    assert "subsampling" not in below.options  # libjpeg's own: 4:2:0
    assert above.options["subsampling"] == "4:4:4"


def test_svt_qualities_grow_with_the_guides_and_stay_in_its_range() -> None:
    native = [svt_quality(quality) for quality in range(1, 101)]
    assert native == sorted(native)
    assert native[0] >= 1
    assert native[-1] == 98, "at 100 SVT's pictures are broken"
    assert (svt_quality(75), svt_quality(85), svt_quality(77)) == (72, 82, 74)


def test_speeds_grow_with_the_scale_and_stay_in_the_encoders_range() -> None:
    assert [svt_speed(speed) for speed in (2, 3, 4, 6, 7, 8)] == [5, 6, 7, 7, 8, 9]
    for native in (svt_speed, aom_speed):
        speeds = [native(speed) for speed in range(11)]
        assert speeds == sorted(speeds)
        assert all(0 <= speed <= 9 for speed in speeds)


def test_svt_serves_high_qualities_and_graphics_where_aom_is_missing() -> None:
    for quality, content in ((95, PHOTOGRAPH), (75, GRAPHIC)):
        assert avif(1024, 768, quality, content, codecs=WITHOUT_AOM.codecs).encoder == "svt"


@given(
    st.integers(1, 16_383),
    st.integers(1, 16_383),
    st.sampled_from(ALL_WAYS),
    st.integers(1, 100),
    st.sampled_from([PHOTOGRAPH, GRAPHIC]),
    st.integers(1, 64),
)
def test_the_choice_never_depends_on_threads(
    width: int, height: int, ways: Ways, quality: int, content: str, threads: int
) -> None:
    more = dataclasses.replace(POLICY, avif_threads=threads)
    before = ways(request(width, height, quality, content))
    after = ways(request(width, height, quality, content, more))
    for one, other in zip(before, after, strict=True):
        assert (one.encoder, one.native_quality, one.speed, one.lossless) == (
            other.encoder,
            other.native_quality,
            other.speed,
            other.lossless,
        )
        if one.encoder == "aom":
            assert other.options["max_threads"] == 1, "aom's bytes depend on its threads"


def test_graphics_keep_all_of_their_colour() -> None:
    made = avif(1024, 768, content=GRAPHIC)
    assert (made.encoder, made.options["subsampling"]) == ("aom", "4:4:4")
    assert made.native_quality == 75, "the quality that was asked for"
    (jpeg,) = jpeg_ways(request(content=GRAPHIC))
    assert jpeg.options["subsampling"] == "4:4:4"
    (photograph,) = jpeg_ways(request())
    assert "subsampling" not in photograph.options


@pytest.mark.parametrize("ways", [webp_ways, jxl_ways])
def test_graphics_are_tried_without_loss_after_a_quick_look(ways: Ways) -> None:
    lossy, look, best = ways(request(content=GRAPHIC))
    assert (lossy,) == ways(request()), "photographs are never tried"
    assert [way.lossless for way in (lossy, look, best)] == [False, True, True]
    assert look.speed < best.speed
    assert best.native_quality == 100


@pytest.mark.parametrize("ways", ALL_WAYS)
def test_with_graphics_off_everything_is_a_photograph(ways: Ways) -> None:
    off = dataclasses.replace(POLICY, graphics=False)
    assert ways(request(content=GRAPHIC, policy=off)) == ways(request(policy=off))


def test_jpeg_xl_takes_the_number_as_it_is_and_a_stated_effort() -> None:
    (way,) = jxl_ways(request(quality=83))
    assert (way.encoder, way.native_quality, way.speed) == ("libjxl", 83, JXL_EFFORT)
    assert way.options["quality"] == 83
    assert way.options["num_threads"] == 1
