"""Which encoder makes a rendition, and with which of its own numbers; no pixel is touched here.

Each output format has one function here that lists the ways to make a rendition of it, the first
one always good; `image_assets.engine.pixels.formats` registers it.
"""

import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

PHOTOGRAPH: Final = "photograph"
GRAPHIC: Final = "graphic"

JPEG_CODINGS: Final = ("baseline", "optimized", "progressive")

SVT_QUALITY_OF_AOM: Final = (
    (1, 3), (10, 10), (20, 17), (30, 24), (40, 33), (50, 43), (60, 54), (70, 65), (75, 72),
    (80, 78), (85, 82), (90, 88), (92, 92), (95, 97), (100, 98),
)  # fmt: skip
"""SVT quality of the same mean SSIMULACRA2 as aom's; linear between.

Measured by ``bench/calibrate_avif_quality.py``: six photographs at 1024 px, 4:2:0, aom speed 6
against SVT speed 8 tune 3. At SVT speeds 7 and 9 scores differ from aom's by less than 1 from
aom quality 60 up. 98 is SVT's best: at 100 its pictures are broken without an error.
"""

AOM_FROM_QUALITY: Final = 93
"""From this quality on aom serves AVIF, as 4:4:4: SVT's 4:2:0 costs 1.38 times the bytes at 95."""

WEBP_TINY_PX: Final = 64
"""Up to this longest side WebP of such quality is lossless: its halved chroma is 4 CIEDE2000 away
on icons of 32 and 64 px, lossless takes 1.1 and 1.2 times the bytes (3.4 times at 128 px)."""

SVT_MIN_SIDE_PX: Final = 4
SVT_MAX_WIDTH_PX: Final = 16_384
SVT_MAX_HEIGHT_PX: Final = 8_704
"""SVT 4.1 refuses sides of 1 to 3 px and heights from 8,705 on; all other sizes tried were right
(``bench/avif_limits.py``)."""

SVT_THREADS_MIN_SIDE_PX: Final = 64
"""SVT 4.1 waits for ever with two threads and more where one side is below 25 px and the other
above 64, such as a panorama's thumbnail of 150 x 24 (17 sizes; 2, 3 and 8 threads; speeds 7 to 9).
With one thread it never did, and below its block of 64 px there is nothing to divide anyway."""

_SVT_FASTEST: Final = 9
_SVT_SPEEDS: Final = (5, 5, 5, 6, 7, 7, 7, 8, _SVT_FASTEST, _SVT_FASTEST, _SVT_FASTEST)
_SVT_TUNE_IQ: Final = "3"
_SVT_TUNE_FAST: Final = "4"
"""Tune 4 (MS-SSIM) at SVT's fastest preset: 0.78 of the CPU of tune 3 (IQ) for 1.01 of its bytes at
equal SSIMULACRA2, 70 to 80 (five photographs at 1024 px, ``python -m bench.encoder_curves``). Tunes
0 to 2 take 0.75 of the CPU for 1.16 of the bytes; presets 10 to 12, real-time and the options that
leave filters out change nothing to speak of."""

AOM_UP_TO_PX: Final = 256
"""Up to this longest side aom at its fastest serves AVIF: at 150 px it takes 2.1 ms where SVT takes
5.3, for equal bytes at equal error (32.0 dB: 9.9 and 10.0 kB); at 400 px they are equal in both."""
_AOM_FASTEST: Final = 9

JXL_EFFORT: Final = 5
"""libjxl's effort, 1 to 10. Six photographs at 768 px, quality 85: efforts 3, 4, 5, 7 take 381,
389, 345, 346 kB for SSIMULACRA2 82.7, 83.1, 81.5, 81.7 and 49, 50, 299, 391 CPU ms a megapixel; on
graphics 5 scores 2 to 5 more than 3 at equal bytes."""


def svt_speed(avif_speed: int) -> int:
    """Return the SVT preset that serves a place on the speed scale, 0 (slow) to 10 (fast).

    aom at the guide's speed 4 takes 18.8 CPU s for a 2048 px image, fifty times below the guide's
    own target; SVT 7 takes 0.4. At equal SSIMULACRA2 (``python -m bench.encoder_curves``): at
    1024 px SVT 9, 8, 7 and 6 take 35, 58, 88 and 188 CPU ms an image for 1.09, 1.05, 1.01 and 0.99
    of the bytes of aom 8, which takes 140 and is what sharp has at effort 1; at 2048 px SVT 7, 6
    and 5 take 0.4, 0.9 and 1.7 s for 1.10, 1.07 and 1.05 of those of aom 5 in 4:4:4, which takes
    10 s and is sharp's default.
    """
    return _SVT_SPEEDS[avif_speed]


def aom_speed(avif_speed: int) -> int:
    """Return the aom speed where aom serves in SVT's place, 2 to 9."""
    return min(9, avif_speed + 2)


def svt_quality(quality: int) -> int:
    """Return SVT's quality for one on the guide's (aom's) scale, 1 to 100."""
    table = SVT_QUALITY_OF_AOM
    index = bisect.bisect_left(table, (quality, 0))
    if table[index][0] == quality:
        return table[index][1]
    (low, low_svt), (high, high_svt) = table[index - 1], table[index]
    return round(low_svt + (high_svt - low_svt) * (quality - low) / (high - low))


@dataclass(frozen=True, slots=True)
class EncodePolicy:
    """What encoding needs of a preset and a plan; the same for every image of a run.

    Attributes:
        avif_speed: 0 to 10.
        avif_threads: Threads of encoders whose bytes do not depend on them (SVT).
        webp_method: 0 to 6.
        background: Colour under transparency where a format carries none, ``#rrggbb``.
        codecs: Versions by codec; what is not a key is missing.
        graphics: Encode what is no photograph as such.
        jpeg_coding: One of `JPEG_CODINGS`.
    """

    avif_speed: int
    avif_threads: int
    webp_method: int
    background: str
    codecs: Mapping[str, str]
    graphics: bool = True
    jpeg_coding: str = "progressive"


def svt_threads(size: tuple[int, int], policy: EncodePolicy) -> int:
    """Return the threads with which SVT is to encode; its bytes do not depend on them."""
    return policy.avif_threads if min(size) >= SVT_THREADS_MIN_SIDE_PX else 1


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to make a rendition.

    Attributes:
        encoder: ``svt``, ``aom``, ``libwebp``, ``libjpeg_turbo`` or ``libjxl``.
        native_quality: On the encoder's own scale; 100 where it is lossless.
        speed: The encoder's own speed, method or effort; 0 where it has none.
        pillow_format: Pillow's name of the format.
        options: Arguments of Pillow's save.
        lossless: Every pixel stays as it is.
    """

    encoder: str
    native_quality: int
    speed: int
    pillow_format: str
    options: Mapping[str, Any]
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a rendition is to be.

    Attributes:
        size: Width and height, pixels.
        quality: 1 to 100 on the guide's scale.
        content: ``photograph`` or ``graphic``, as
            `image_assets.engine.pixels.content` tells them apart.
        policy: The run's.
    """

    size: tuple[int, int]
    quality: int
    content: str
    policy: EncodePolicy

    @property
    def is_graphic(self) -> bool:
        """Whether it is to be encoded as a graphic."""
        return self.content == GRAPHIC and self.policy.graphics


Ways = Callable[[Request], tuple[Encoding, ...]]
"""The ways to make a rendition: the first stands; each further one, smaller or it is not kept."""


def avif_ways(request: Request) -> tuple[Encoding, ...]:
    """SVT-AV1 for photographs; aom where SVT cannot, at high quality, and for graphics.

    31 graphics at 1024 px, quality 80 (``bench/graphics.py``): aom 4:4:4 takes 0.76 of SVT's bytes
    and scores 90.1 SSIMULACRA2 where SVT scores 83.8, for 2.7 times the CPU; aom's own 4:2:0 takes
    0.94 of 4:4:4's bytes and scores 1 to 12 less. Lossless AVIF took 2.5 to 5 times the bytes of
    4:4:4 and more than lossless WebP wherever that pays: it is never tried.
    """
    width, height = request.size
    quality, policy = request.quality, request.policy
    fits = (
        min(request.size) >= SVT_MIN_SIDE_PX
        and width <= SVT_MAX_WIDTH_PX
        and height <= SVT_MAX_HEIGHT_PX
    )
    full_colour = quality >= AOM_FROM_QUALITY or request.is_graphic
    is_small = max(request.size) <= AOM_UP_TO_PX
    aom_is_better = (full_colour or is_small) and "aom" in policy.codecs
    if "svt" in policy.codecs and fits and not aom_is_better:
        native, speed = svt_quality(quality), svt_speed(policy.avif_speed)
        options: dict[str, Any] = {
            "codec": "svt",
            "quality": native,
            "speed": speed,
            "subsampling": "4:2:0",  # the only one that SVT has; greyscale's default is another
            "max_threads": svt_threads(request.size, policy),
            "advanced": {"tune": _SVT_TUNE_FAST if speed == _SVT_FASTEST else _SVT_TUNE_IQ},
        }
        return (Encoding("svt", native, speed, "AVIF", options),)
    speed = aom_speed(policy.avif_speed)
    if is_small and not full_colour:
        speed = _AOM_FASTEST
    options = {
        "codec": "aom",
        "quality": quality,
        "speed": speed,
        "subsampling": "4:4:4" if full_colour else "4:2:0",
        "max_threads": 1,  # aom's bytes depend on its threads
        "autotiling": False,
    }
    return (Encoding("aom", quality, speed, "AVIF", options),)


def webp_ways(request: Request) -> tuple[Encoding, ...]:
    """Lossy, and for graphics lossless beside it: WebP has no 4:4:4 between the two.

    Pillow offers no near-lossless WebP. Effort 50 of 100 with method 4 comes within 1 % of 80
    (libwebp's own) for half its CPU; the quick look before it (method 0, 5 to 20 ms) tells most
    of those that cannot win: strong effort takes 0.60 to 0.85 of its bytes.
    """
    method = request.policy.webp_method
    lossy = Encoding(
        "libwebp",
        request.quality,
        method,
        "WEBP",
        {"quality": request.quality, "method": method},
    )
    if request.quality >= AOM_FROM_QUALITY and max(request.size) <= WEBP_TINY_PX:
        return (_webp_lossless(4, 50),)
    if not request.is_graphic:
        return (lossy,)
    return lossy, _webp_lossless(0, 20), _webp_lossless(4, 50)


def _webp_lossless(method: int, effort: int) -> Encoding:
    options = {"lossless": True, "quality": effort, "method": method}
    return Encoding("libwebp", 100, method, "WEBP", options, lossless=True)


def jpeg_ways(request: Request) -> tuple[Encoding, ...]:
    """As the policy says: progressive and optimized have tables of their own.

    Progressive takes 0.95 of the bytes and 13 ms at 1024 px where baseline takes 2.4; baseline with
    tables of its own takes 0.99 and 5.2 ms (``python -m bench.encoder_curves``).

    Graphics keep all of their colour (4:4:4): 31 of them take 1.20 times the bytes and score 83.8
    SSIMULACRA2 where they scored 78.5. At equal scores the bytes are about equal, and coloured
    text has no fringes.
    """
    coding = request.policy.jpeg_coding
    options: dict[str, Any] = {
        "quality": request.quality,
        "progressive": coding == "progressive",
        "optimize": coding != "baseline",
    }
    if request.is_graphic or request.quality >= AOM_FROM_QUALITY:
        options["subsampling"] = "4:4:4"
    return (Encoding("libjpeg_turbo", request.quality, 0, "JPEG", options),)


def jxl_ways(request: Request) -> tuple[Encoding, ...]:
    """Lossy (VarDCT), and for graphics lossless beside it, after a quick look as for WebP."""
    lossy = _jxl(JXL_EFFORT, {"quality": request.quality}, request.quality)
    if not request.is_graphic:
        return (lossy,)
    return lossy, _jxl(1, {"lossless": True}, 100), _jxl(JXL_EFFORT, {"lossless": True}, 100)


def _jxl(effort: int, options: dict[str, Any], native_quality: int) -> Encoding:
    # Bytes are the same at any number of threads (tried: 0, 1, 2, all).
    options = {**options, "effort": effort, "num_threads": 1}
    lossless = bool(options.get("lossless"))
    return Encoding("libjxl", native_quality, effort, "JXL", options, lossless=lossless)


def master_ways(_request: Request) -> tuple[Encoding, ...]:
    """Lossless WebP, to the colour under transparency.

    Effort 20 of 100: libwebp's lossless default of 80 takes several times as long.
    """
    options = {"lossless": True, "quality": 20, "method": 2, "exact": True}
    return (Encoding("libwebp", 100, 2, "WEBP", options, lossless=True),)
