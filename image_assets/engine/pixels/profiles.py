"""ICC profiles made in memory: for what an image states without one, and for what is kept.

LittleCMS does the colour maths; here are only the numbers it is given, all published ones.
"""

import functools
import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

Chromaticities = tuple[float, ...]
"""White x, y, red x, y, green x, y, blue x, y: the order of PNG's cHRM."""

Curve = Callable[[float], float]
"""From an encoded value to light, both 0 to 1."""

D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)
_DCI: Final = (0.314, 0.351)

SRGB_PRIMARIES: Final = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3_PRIMARIES: Final = (*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)

CICP_PRIMARIES: Final[dict[int, tuple[str, Chromaticities]]] = {
    1: ("bt709", SRGB_PRIMARIES),
    4: ("bt470m", (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("bt470bg", (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06)),
    6: ("bt601", (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    7: ("bt601", (*D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)),
    8: ("film", (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("bt2020", (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)),
    11: ("dci_p3", (*_DCI, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)),
    12: ("p3", P3_PRIMARIES),
    22: ("ebu3213", (*D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077)),
}
"""ITU-T H.273, table 2, by code. What is not here (unspecified, reserved) is read as 1."""

REFERENCE_WHITE_NITS: Final = 203.0
"""Luminance of a white page in PQ and HLG pictures (ITU-R BT.2408-7, section 2.2)."""

_KNEE: Final = 0.75
_PQ_PEAK_NITS: Final = 10_000.0
_HLG_PEAK_NITS: Final = 1_000.0
_HLG_GAMMA: Final = 1.2  # system gamma at 1,000 nits (BT.2100-2, table 5)


def srgb_curve(value: float) -> float:
    """The curve of sRGB and Display P3 (IEC 61966-2-1)."""
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


@functools.lru_cache(maxsize=64)
def gamma_curve(gamma: float) -> Curve:
    """A plain power, the same object for the same exponent: 1.0 is linear light."""
    return lambda value: float(value**gamma)


def pq_curve(value: float) -> float:
    """PQ (SMPTE ST 2084) brought to SDR: reference white is 0.91, the peak of 10,000 nits 1."""
    power = value ** (1 / 78.84375)
    light = max(power - 0.8359375, 0.0) / (18.8515625 - 18.6875 * power)
    return _roll_off(_PQ_PEAK_NITS * float(light ** (1 / 0.1593017578125)))


def hlg_curve(value: float) -> float:
    """HLG (ARIB STD-B67) as on a display of 1,000 nits, brought to SDR; per channel."""
    if value <= 0.5:
        scene = value * value / 3
    else:
        scene = (math.exp((value - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return _roll_off(_HLG_PEAK_NITS * min(1.0, scene) ** _HLG_GAMMA)


def _roll_off(nits: float) -> float:
    """Light up to three quarters of reference white as it is; what is brighter bends towards 1."""
    light = nits / REFERENCE_WHITE_NITS
    if light <= _KNEE:
        return light
    return 1 - (1 - _KNEE) * math.exp((_KNEE - light) / (1 - _KNEE))


CICP_TRANSFERS: Final[dict[int, tuple[str, Curve]]] = {
    4: ("gamma2.2", gamma_curve(2.2)),
    5: ("gamma2.8", gamma_curve(2.8)),
    8: ("linear", gamma_curve(1.0)),
    13: ("srgb", srgb_curve),
    16: ("pq", pq_curve),
    17: ("gamma2.6", gamma_curve(2.6)),
    18: ("hlg", hlg_curve),
}
"""ITU-T H.273, table 3, by code. What is not here is read as sRGB's: unspecified, and the camera
curve of BT.709 (1, 6, 14, 15), for pictures so labelled were made and judged on sRGB screens."""

# ------------------------------------------------------------------------------ profiles

_D50: Final = (0.96420288, 1.0, 0.82490540)
_BRADFORD: Final = (
    (0.8951, 0.2664, -0.1614),
    (-0.7502, 1.7135, 0.0367),
    (0.0389, -0.0685, 1.0296),
)
# Nodes of a curve's table: those of all 8-bit values fall on one.
_CURVE_NODES: Final = 4 * 255 + 1

_Matrix = tuple[tuple[float, float, float], ...]


def rgb_profile(name: str, primaries: Chromaticities, curve: Curve) -> bytes:
    """Return an ICC profile (version 4, matrix and curve) of an RGB space.

    Args:
        name: Its description.
        primaries: White and primaries, xy.
        curve: Of all three channels.

    Raises:
        ValueError: The primaries span no triangle, or a y is 0.
    """
    columns = _adapted_columns(primaries)
    trc = _curve_tag(curve)
    tags = {b"rTRC": trc, b"gTRC": trc, b"bTRC": trc}
    for letter, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags[letter + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(*column)
    return _profile(name, b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(name: str, curve: Curve) -> bytes:
    """Return an ICC profile of greys on a curve."""
    return _profile(name, b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _curve_tag(curve)})


@functools.cache
def display_p3_profile() -> bytes:
    """The profile of what is kept as Display P3: its own primaries, the curve of sRGB."""
    return rgb_profile("Display P3", P3_PRIMARIES, srgb_curve)


def _adapted_columns(primaries: Chromaticities) -> list[tuple[float, float, float]]:
    """XYZ of red, green and blue, adapted from the space's white to D50 (Bradford)."""
    values = tuple(float(value) for value in primaries)
    if len(values) != 8 or not all(math.isfinite(value) for value in values):
        raise ValueError(f"expected 8 chromaticities, received {primaries!r}")
    white, *corners = (_xyz(x, y) for x, y in zip(values[::2], values[1::2], strict=True))
    stored = _transposed(corners)
    amounts = _times(_inverse(stored), white)
    cone = _times(_BRADFORD, white)
    scales = [new / old for new, old in zip(_times(_BRADFORD, _D50), cone, strict=True)]
    back = _inverse(_BRADFORD)
    columns = []
    for corner, amount in zip(corners, amounts, strict=True):
        response = _times(_BRADFORD, tuple(amount * part for part in corner))
        scaled = tuple(part * scale for part, scale in zip(response, scales, strict=True))
        columns.append(_times(back, scaled))
    return columns


def _xyz(x: float, y: float) -> tuple[float, float, float]:
    if y <= 0:
        raise ValueError(f"expected a chromaticity with y above 0, received {y}")
    return x / y, 1.0, (1 - x - y) / y


def _times(matrix: _Matrix, vector: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return x, y, z


def _transposed(rows: Sequence[tuple[float, float, float]]) -> _Matrix:
    return tuple((row[0], row[1], row[2]) for row in zip(*rows, strict=True))


def _inverse(matrix: _Matrix) -> _Matrix:
    (a, b, c), (d, e, f), (g, h, i) = matrix
    minors = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    determinant = a * minors[0][0] + b * minors[1][0] + c * minors[2][0]
    if abs(determinant) < 1e-9:
        raise ValueError("the primaries lie on one line")
    return tuple((x / determinant, y / determinant, z / determinant) for x, y, z in minors)


def _curve_tag(curve: Curve) -> bytes:
    if curve is srgb_curve:
        numbers = _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + numbers
    last = _CURVE_NODES - 1
    nodes = [round(65_535 * min(1.0, max(0.0, curve(node / last)))) for node in range(last + 1)]
    return b"curv" + bytes(4) + struct.pack(f">I{len(nodes)}H", len(nodes), *nodes)


def _fixed(*numbers: float) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(round(number * 65_536) for number in numbers))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return (
        b"mluc"
        + bytes(4)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28)
        + (encoded)
    )


def _profile(name: str, kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Lay out a profile; tags with the same content are stored once."""
    white = b"XYZ " + bytes(4) + _fixed(*_D50)
    tags = {b"desc": _text(name), b"cprt": _text("CC0"), b"wtpt": white, **tags}
    start = 128 + 4 + 12 * len(tags)
    table, data, places = struct.pack(">I", len(tags)), b"", dict[bytes, int]()
    for signature, content in tags.items():
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += signature + struct.pack(">II", places[content], len(content))
    header = struct.pack(">I4xI", start + len(data), 0x04300000) + kind + space + pcs
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*_D50)
    return header.ljust(128, b"\0") + table + data


# ------------------------------------------------------------------------------ press inks

# fmt: off
_PRESS_LAB: Final = (
    (100, 0, 0), (57, 0, 0), (15, 4, -4), (97, -5, 56), (57, -2, 23),
    (14, 1, 0), (95, -4, 101), (56, -4, 53), (15, 3, 0),
    (71, 44, -5), (45, 22, -4), (14, 7, -5), (69, 41, 30), (44, 20, 14),
    (12, 6, -4), (68, 40, 68), (43, 19, 37), (13, 6, -3),
    (52, 78, -3), (32, 47, -8), (11, 10, -7), (51, 75, 21), (32, 45, 6),
    (10, 10, -7), (51, 72, 49), (32, 43, 22), (12, 10, -5),
    (74, -20, -32), (47, -11, -16), (14, 0, -6), (70, -31, 14), (45, -16, 7),
    (13, 0, -4), (68, -34, 58), (44, -19, 34), (14, 0, -3),
    (53, 14, -28), (36, 7, -16), (12, 3, -6), (51, 7, 3), (35, 4, 1),
    (12, 3, -5), (49, 4, 38), (34, 1, 22), (11, 3, -6),
    (35, 50, -28), (23, 33, -20), (9, 6, -7), (34, 45, -8), (23, 29, -7),
    (10, 6, -8), (34, 41, 18), (22, 27, 7), (10, 5, -8),
    (57, -37, -53), (36, -26, -30), (11, -1, -9), (53, -59, -12), (34, -35, -10),
    (11, -1, -8), (50, -70, 29), (32, -43, 15), (9, 0, -7),
    (39, -12, -46), (26, -9, -30), (10, 1, -9), (37, -26, -20), (25, -16, -14),
    (10, 2, -7), (34, -38, 12), (23, -21, 4), (10, 3, -8),
    (20, 27, -49), (15, 16, -32), (9, 3, -9), (18, 17, -31), (13, 10, -21),
    (12, 1, -6), (17, 7, -9), (15, 4, -8), (13, 2, -7),
)
# fmt: on
"""CMYK without a profile is read as coated print, as libvips reads it (and so sharp, imgproxy and
others show it): CIELAB relative to paper of none, half and all of each ink, black varying fastest.

Taken from libvips 8.18 by `bench/press_inks.py`: mean CIEDE2000 of 0.4 to 1.4 to its whole profile
on the corpus's CMYK files and on photographs separated three ways. The plain 255 minus ink of
Pillow and browsers is 5 to 13 away, and neon.
"""


@functools.cache
def press_profile() -> bytes:
    """Return a profile of coated print, for CMYK that comes without one."""
    rows: list[Any] = [tuple(map(float, lab)) for lab in _PRESS_LAB]
    for _ in range(3):  # black, yellow, magenta; the cyan axis is the list itself
        rows = [rows[start : start + 3] for start in range(0, len(rows), 3)]
    # LittleCMS cuts a table's cells into tetrahedra: in cells of half the ink, dark colours come
    # out 2 lighter than between their 16 corners.
    nodes = _doubled(_doubled(rows))
    table = b"".join(_encoded_lab(lab) for lab in _flat(nodes))
    straight = struct.pack(">2H", 0, 65_535)
    shape = struct.pack(">4B", 4, 3, len(nodes), 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    curves, out = straight * 4, straight * 3
    lut = b"mft2" + bytes(4) + shape + struct.pack(">2H", 2, 2) + curves + table + out
    return _profile("Coated print", b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def _doubled(nodes: list[Any]) -> list[Any]:
    """A table, one list in the other for each ink, with a node between each two of each ink."""
    nodes = [_doubled(node) if isinstance(node, list) else node for node in nodes]
    between = [_middle(one, other) for one, other in itertools.pairwise(nodes)]
    return [*itertools.chain.from_iterable(zip(nodes, between, strict=False)), nodes[-1]]


def _middle(one: Any, other: Any) -> Any:
    if isinstance(one, list):
        return [_middle(a, b) for a, b in zip(one, other, strict=True)]
    return tuple((a + b) / 2 for a, b in zip(one, other, strict=True))


def _flat(nodes: list[Any]) -> Iterator[tuple[float, float, float]]:
    for node in nodes:
        if isinstance(node, list):
            yield from _flat(node)
        else:
            yield node


def _encoded_lab(lab: tuple[float, float, float]) -> bytes:
    """In the 16 bits of a table: 0xFF00 is L* 100, 0x8000 is a* or b* 0."""
    lightness, a, b = lab
    return struct.pack(
        ">3H", round(652.8 * lightness), round((a + 128) * 256), round((b + 128) * 256)
    )
