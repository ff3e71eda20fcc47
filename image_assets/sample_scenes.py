"""Pictures that look like photographs, drawn from numbers.

This module knows how scenes look; files, metadata and colour profiles are in
`image_assets.samples`. It needs numpy: import it only when a picture is wanted.

A scene is drawn at `DRAWN_SHARE` of its size and enlarged, then given grain at full size: that is
what a camera does (one colour per photosite, interpolated), and it costs a third of the time.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.floating[Any]]  # height × width, 0 to 1
Picture = NDArray[np.floating[Any]]  # height × width × 3, 0 to 1, in the coding of the file
Colour = tuple[float, float, float]
_Choice = TypeVar("_Choice")

DRAWN_SHARE: Final = 0.6
GRAIN: Final = 0.011  # standard deviation; about ISO 400 on a small sensor


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where a scene is drawn: its size and the coordinates of its pixels.

    Attributes:
        x: Column coordinate, 0 at the left, `aspect` at the right (1 × width).
        y: Row coordinate, 0 at the top, 1 at the bottom (height × 1).
    """

    width_px: int
    height_px: int
    x: Plane
    y: Plane

    @classmethod
    def of(cls, width_px: int, height_px: int) -> "Canvas":
        """A canvas of this size."""
        x = ((np.arange(width_px, dtype=np.float32) + 0.5) / np.float32(height_px))[None, :]
        y = ((np.arange(height_px, dtype=np.float32) + 0.5) / np.float32(height_px))[:, None]
        return cls(width_px, height_px, x, y)

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width_px / self.height_px

    @property
    def pixel(self) -> float:
        """One pixel in coordinate units: the width of a soft edge."""
        return 1.0 / self.height_px


Scene = Callable[[Canvas, np.random.Generator, int], Picture]


def render(scene: str, width_px: int, height_px: int, *, seed: int, look: int = 0) -> Image.Image:
    """A finished RGB picture of a scene: enlarged, with grain and a vignette.

    Args:
        scene: A name in `SCENES`.
        width_px: Width of the picture.
        height_px: Height of the picture.
        seed: The same seed gives the same pixels.
        look: Which of the scene's lights or colours, counted round.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas.of(round(width_px * DRAWN_SHARE), round(height_px * DRAWN_SHARE))
    picture = SCENES[scene](canvas, rng, look)
    _vignette(canvas, picture, strength=0.22)
    small = Image.fromarray(_to_bytes(picture))
    del picture
    full = np.array(small.resize((width_px, height_px), Image.Resampling.BICUBIC))
    _add_grain(full, rng)
    return Image.fromarray(full)


def cut_out(width_px: int, height_px: int, *, seed: int) -> Image.Image:
    """A single fruit on a transparent ground, with a soft shadow (RGBA)."""
    rng = np.random.default_rng(seed)
    canvas = Canvas.of(round(width_px * DRAWN_SHARE), round(height_px * DRAWN_SHARE))
    picture = np.zeros((canvas.height_px, canvas.width_px, 3), np.float32)
    centre_x, radius = canvas.aspect / 2, 0.34 * min(1.0, canvas.aspect)
    shadow = _ellipse(canvas, centre_x + 0.05, 0.86, radius * 0.95, radius * 0.22)
    alpha = 0.55 * np.clip(1.2 - shadow, 0, 1) ** 1.5
    body = _fruit(canvas, rng, picture, centre_x, 0.5, radius, (0.46, 0.12, 0.34), bloom=0.5)
    alpha = np.maximum(alpha, body)
    rgba = np.concatenate([_to_bytes(picture), _to_bytes(alpha)[..., None]], axis=2)
    return Image.fromarray(rgba).resize((width_px, height_px), Image.Resampling.BICUBIC)


# ------------------------------------------------------------------------------- scenes


def _mountains(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Ridges that fade into haze under a clear sky with clouds."""
    top, horizon = _pick(
        look,
        [
            ((0.16, 0.36, 0.66), (0.86, 0.89, 0.92)),
            ((0.24, 0.34, 0.56), (0.98, 0.83, 0.68)),
            ((0.30, 0.50, 0.74), (0.93, 0.94, 0.90)),
        ],
    )
    picture = _sky(canvas, rng, top, horizon, horizon_y=0.62)
    near: Colour = (0.07, 0.13, 0.09)
    count = 6
    for layer in range(count):
        depth = layer / (count - 1)  # 0 far, 1 near
        base = 0.40 + 0.46 * depth**1.25
        ridge = base - (0.20 - 0.07 * depth) * _ridge(canvas, rng, 3 + 2 * depth, 0.52)
        if depth > 0.6:  # trees on the nearer slopes
            ridge -= 0.020 * depth * np.abs(_ridge(canvas, rng, 90, 0.75))
        below = canvas.y - ridge
        haze = (1 - depth) ** 0.8 * 0.92
        slope = _noise(canvas, rng, 10 + 26 * depth, 6, 0.62, stretch_y=1.8)
        snow = np.clip((0.10 - below) * 16 + slope * 3 - 0.6, 0, 1) * (0.75 - depth)
        rock = _blend((0.23, 0.25, 0.24), near, min(1.0, depth * 1.3))
        shade = (0.72 + 0.62 * slope)[..., None] * np.asarray(rock, np.float32)
        shade = shade + np.clip(snow, 0, 1)[..., None] * 0.62
        mist = np.clip(below / 0.32, 0, 1)[..., None] * (1 - depth) * 0.5
        fog = np.asarray(horizon, np.float32)
        shade = shade * (1 - haze) + fog * haze * 0.94
        shade = shade * (1 - mist) + fog * mist
        _paint(picture, np.clip(below / canvas.pixel + 0.5, 0, 1), shade)
    return picture


def _lake(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Mountains above their reflection, broken by ripples."""
    shore = 0.56
    land = Canvas.of(canvas.width_px, round(canvas.height_px * shore / 0.86))
    scenery = _mountains(land, rng, look)[: round(canvas.height_px * shore)]
    rows = canvas.height_px - scenery.shape[0]
    picture = np.empty((canvas.height_px, canvas.width_px, 3), np.float32)
    picture[: scenery.shape[0]] = scenery
    depth = np.linspace(0.02, 1, rows, dtype=np.float32)[:, None]
    ripple = _noise(canvas, rng, 7, 7, 0.72, stretch_y=14)[-rows:]
    lift = np.arange(rows, dtype=np.float32)[:, None] + ripple * depth * rows * 0.20
    source = np.clip(scenery.shape[0] - 2 - lift, 0, scenery.shape[0] - 1).astype(np.intp)
    mirrored = scenery[source, np.arange(canvas.width_px)[None, :]]
    tint = np.asarray((0.05, 0.15, 0.18), np.float32)
    clear = (0.80 - 0.42 * depth + 0.10 * ripple)[..., None]
    picture[-rows:] = mirrored * clear + tint * (1 - clear)
    return picture


def _sea(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """A low sun over open water."""
    top, glow = _pick(
        look,
        [
            ((0.17, 0.22, 0.42), (0.99, 0.62, 0.30)),
            ((0.30, 0.44, 0.62), (0.99, 0.86, 0.66)),
            ((0.26, 0.30, 0.37), (0.72, 0.72, 0.72)),
        ],
    )
    horizon_y = float(rng.uniform(0.50, 0.60))
    sun_x = canvas.aspect * float(rng.uniform(0.3, 0.7))
    sun_y = horizon_y - 0.10
    picture = _sky(canvas, rng, top, glow, horizon_y, cloud=0.9)
    distance = np.hypot(canvas.x - sun_x, (canvas.y - sun_y) * 1.1)
    halo = (0.75 * np.exp(-distance * 5.5) + 0.9 * np.exp(-((distance / 0.045) ** 4)))[..., None]
    picture += halo * np.asarray((1.0, 0.78, 0.48), np.float32)

    rows = canvas.height_px - int(horizon_y * canvas.height_px)
    near = np.linspace(0.0, 1, rows, dtype=np.float32)[:, None]
    waves = _perspective_waves(canvas, rng, rows)
    water = np.asarray(_blend(top, (0.02, 0.10, 0.14), 0.72), np.float32)
    shine = np.asarray(glow, np.float32)
    facing = np.clip(0.42 + 0.36 * waves - 0.22 * near, 0, 1)[..., None]
    sea = water * (1 - facing) + shine * facing * (0.86 - 0.3 * near[..., None])
    path = np.exp(-(((canvas.x - sun_x) / (0.05 + 0.30 * near)) ** 2))
    glitter = (np.clip(waves * 1.6 - 0.15, 0, 1) ** 1.5 * path * 1.6)[..., None]
    sea = sea + glitter * np.asarray((1.0, 0.86, 0.62), np.float32)
    picture[-rows:] = sea
    return picture


def _lights(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Street lights far out of focus."""
    colours: list[Colour] = [
        (1.0, 0.62, 0.22),
        (1.0, 0.80, 0.48),
        (0.98, 0.30, 0.22),
        (0.36, 0.62, 1.0),
        (0.40, 0.92, 0.70),
        (1.0, 0.92, 0.82),
    ]
    ground = _noise(canvas, rng, 2, 3, 0.5)
    night = _pick(look, [(0.035, 0.045, 0.085), (0.03, 0.07, 0.17), (0.08, 0.05, 0.05)])
    base = np.asarray(night, np.float32)
    picture: Picture = base * (1.2 + ground[..., None])
    picture += (0.06 * canvas.y**2)[..., None] * np.asarray((0.9, 0.6, 0.4), np.float32)
    for _ in range(round(100 * canvas.aspect)):
        size = float(rng.uniform(0.018, 0.075))
        x = float(rng.uniform(0, canvas.aspect))
        y = float(np.clip(rng.normal(0.50, 0.20), 0.02, 0.98))
        colour = np.asarray(colours[int(rng.integers(len(colours)))], np.float32)
        rows, columns = _window(canvas, x, y, size * 1.15)
        away = np.hypot(canvas.x[:, columns] - x, canvas.y[rows] - y) / size
        disc = np.clip((1 - away) / 0.06, 0, 1)
        rim = 0.72 + 0.28 * np.clip(away, 0, 1) ** 4
        strength = float(rng.uniform(0.14, 0.62)) * (0.03 / size) ** 0.5
        picture[rows, columns] += (disc * rim * strength)[..., None] * colour
    return picture


def _fruit_bowl(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Fruit on a wooden table before a soft background."""
    skins = _pick(
        look,
        [
            [(0.74, 0.10, 0.08), (0.80, 0.24, 0.10), (0.62, 0.70, 0.16)],
            [(0.96, 0.52, 0.06), (0.98, 0.60, 0.10), (0.94, 0.44, 0.05)],
            [(0.96, 0.82, 0.14), (0.90, 0.86, 0.26), (0.52, 0.68, 0.16)],
        ],
    )
    wall = _noise(canvas, rng, 1.6, 3, 0.5)
    tone = np.asarray(_pick(look, [(0.42, 0.46, 0.44), (0.52, 0.46, 0.38)]), np.float32)
    picture = tone * (1.05 - 0.5 * canvas.y + 0.22 * wall)[..., None]

    edge = 0.46
    grain = _noise(canvas, rng, 5, 7, 0.62, stretch_y=0.10)
    plank = 0.06 * np.sin((canvas.y - edge) * 60 + grain * 5)
    wood = np.asarray((0.46, 0.29, 0.17), np.float32) * (0.86 + 0.42 * grain + plank)[..., None]
    wood *= (0.72 + 0.6 * (canvas.y - edge))[..., None] + 0.1
    _paint(picture, np.clip((canvas.y - edge) / 0.012 + 0.5, 0, 1) * np.ones_like(grain), wood)

    spread = min(canvas.aspect, 1.9)
    behind = 5 if canvas.aspect > 1 else 3
    room = spread * 0.95 / behind
    places = []
    for row, (count, base) in enumerate(((behind, 0.57), (behind - 1, 0.76))):
        for index in range(count):
            size = float(rng.uniform(0.90, 1.10)) * (1 + row * 0.22)
            x = canvas.aspect / 2 + (index - (count - 1) / 2) * room * (1 + 0.25 * row)
            nudge_x, nudge_y = rng.normal(0, 0.014, size=2)
            places.append((x + float(nudge_x), base + float(nudge_y), 0.41 * room * size))
    for x, y, radius in places:
        shadow = _ellipse(canvas, x + radius * 0.5, y + radius * 0.86, radius * 1.5, radius * 0.42)
        picture *= (1 - 0.62 * np.clip(1.25 - shadow, 0, 1) ** 1.4)[..., None]
        skin = skins[int(rng.integers(len(skins)))]
        _fruit(canvas, rng, picture, x, y, radius, skin, bloom=0.2)
    return picture


def _forest(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Trunks that stand one behind the other in mist."""
    fog, leaf = _pick(
        look,
        [
            ((0.84, 0.88, 0.86), (0.16, 0.24, 0.12)),
            ((0.94, 0.84, 0.66), (0.40, 0.22, 0.06)),
            ((0.86, 0.90, 0.94), (0.18, 0.22, 0.24)),
        ],
    )
    light = np.asarray(fog, np.float32)
    glow = np.exp(-(((canvas.x - canvas.aspect * 0.55) / 0.6) ** 2) - ((canvas.y - 0.3) / 0.5) ** 2)
    picture = light * (0.74 + 0.30 * glow)[..., None]
    layers = 6
    for layer in range(layers):
        depth = (layer + 1) / layers
        dark = np.asarray(_blend(fog, (0.055, 0.05, 0.04), 0.18 + 0.72 * depth**1.3), np.float32)
        green = np.asarray(_blend(fog, leaf, 0.22 + 0.70 * depth), np.float32)
        ground = 0.66 + 0.26 * depth - 0.03 * _ridge(canvas, rng, 5, 0.6)
        cover = np.zeros((canvas.height_px, canvas.width_px), np.float32)
        light_side = np.zeros_like(cover)
        for _ in range(round((15 - 9 * depth) * canvas.aspect)):
            half = 0.0055 + 0.030 * depth**2 * float(rng.uniform(0.7, 1.3))
            x = float(rng.uniform(-0.05, canvas.aspect + 0.05))
            lean = float(rng.normal(0, 0.025))
            centre = x + lean * (1 - canvas.y) + 0.006 * np.sin(canvas.y * 9 + x * 40)
            width = half * (0.72 + 0.32 * canvas.y + 0.5 * np.clip(canvas.y - 0.82, 0, 1))
            left, right = (x - half * 2 - 0.09, x + half * 2 + 0.09)
            columns = slice(
                *(int(np.clip(v, 0, canvas.aspect) / canvas.pixel) for v in (left, right))
            )
            away = (canvas.x[:, columns] - centre) / width
            trunk = np.clip((1 - np.abs(away)) * width / canvas.pixel + 0.5, 0, 1)
            trunk *= canvas.y < ground[:, columns] + 0.02
            cover[:, columns] = np.maximum(cover[:, columns], trunk)
            light_side[:, columns] = np.where(trunk > 0, away, light_side[:, columns])
        bark = _noise(canvas, rng, 60, 4, 0.7, stretch_y=0.2)
        tone = (0.95 + 0.34 * light_side + 0.35 * depth * bark)[..., None] * dark
        _paint(picture, cover, tone)
        crown = _noise(canvas, rng, 7 + 8 * (1 - depth), 7, 0.68)
        hang = crown * 1.9 + (0.34 - canvas.y) * 3.6 - 0.9 + 0.5 * depth
        leaves = np.clip(hang * 9, 0, 1) * (0.35 + 0.5 * depth)
        _paint(picture, leaves, green * (0.95 + 0.75 * crown)[..., None])
        fern = _noise(canvas, rng, 26 - 12 * depth, 6, 0.7)
        floor = np.clip((canvas.y - ground + 0.02 * fern) / 0.012, 0, 1)
        _paint(picture, floor, green * (0.72 + 0.8 * fern)[..., None])
        if layer < layers - 1:
            _paint(picture, np.full_like(cover, 0.16), light * (0.8 + 0.25 * glow)[..., None])
    return picture


def _from_above(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """Land and water from a great height, lit from the side."""
    deep, shallow, low, high = _pick(
        look,
        [
            ((0.03, 0.14, 0.24), (0.16, 0.50, 0.54), (0.30, 0.36, 0.18), (0.55, 0.48, 0.36)),
            ((0.30, 0.15, 0.08), (0.50, 0.28, 0.15), (0.76, 0.50, 0.30), (0.94, 0.78, 0.58)),
            ((0.02, 0.20, 0.34), (0.22, 0.68, 0.66), (0.86, 0.78, 0.58), (0.20, 0.34, 0.14)),
        ],
    )
    height = _noise(canvas, rng, 2.4, 9, 0.50) + 0.12 * np.abs(_noise(canvas, rng, 6, 7, 0.55))
    slope_y, slope_x = np.gradient(height, canvas.pixel)
    light = np.clip(1.0 + 0.055 * (slope_x * 0.8 + slope_y * 0.6), 0.45, 1.6)[..., None]
    level = np.clip((height + 0.02) / 0.9, 0, 1)[..., None] ** 0.8
    land = np.asarray(low, np.float32) * (1 - level) + np.asarray(high, np.float32) * level
    land = land * (0.86 + 0.30 * _noise(canvas, rng, 40, 5, 0.7))[..., None]
    depth = np.clip(-(height + 0.02) / 0.45, 0, 1)[..., None] ** 0.6
    water = np.asarray(shallow, np.float32) * (1 - depth) + np.asarray(deep, np.float32) * depth
    wet = np.clip(-(height + 0.02) / 0.006 + 0.5, 0, 1)
    picture: Picture = land * light
    _paint(picture, wet, water * (1 + 0.12 * (light - 1)))
    foam = np.exp(-(((height + 0.022) / 0.008) ** 2)) * 0.35
    _paint(picture, foam, np.full_like(picture, 0.92))
    return picture


def _stars(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """A clear night with the Milky Way above a ridge."""
    picture = np.empty((canvas.height_px, canvas.width_px, 3), np.float32)
    fade = canvas.y[..., None]
    zenith, low = _pick(
        look, [((0.02, 0.03, 0.08), (0.10, 0.13, 0.20)), ((0.02, 0.05, 0.07), (0.16, 0.15, 0.12))]
    )
    picture[:] = np.asarray(zenith, np.float32) * (1 - fade) + fade * np.asarray(low, np.float32)
    band = canvas.x * 0.55 + canvas.y * 0.83 - canvas.aspect * 0.40 - 0.12
    dust = _noise(canvas, rng, 5, 7, 0.62)
    milky = np.exp(-((band / 0.17) ** 2)) * np.clip(0.62 + 1.1 * dust, 0, 1.4)
    milky *= 1 - 0.75 * np.exp(-(((band - 0.03 * dust) / 0.035) ** 2)) * np.clip(dust + 0.6, 0, 1)
    picture += milky[..., None] * np.asarray((0.30, 0.27, 0.34), np.float32)
    chance = 0.0011 * (1 + 3.0 * np.clip(milky, 0, 1))
    seen = rng.random((canvas.height_px, canvas.width_px), dtype=np.float32) < chance
    bright = np.clip(rng.pareto(1.8, size=int(seen.sum())).astype(np.float32) * 0.22 + 0.12, 0, 1.3)
    stars = np.zeros((canvas.height_px, canvas.width_px), np.float32)
    stars[seen] = bright
    spread = stars.copy()
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        spread += 0.38 * np.roll(stars, shift, axis)
    picture += spread[..., None] * np.asarray((0.94, 0.96, 1.0), np.float32)
    ridge = 0.84 - 0.10 * _ridge(canvas, rng, 3, 0.55) - 0.02 * np.abs(_ridge(canvas, rng, 70, 0.8))
    land = np.clip((canvas.y - ridge) / canvas.pixel + 0.5, 0, 1)
    _paint(picture, land, np.full_like(picture, 0.018))
    return picture


def _dahlia(canvas: Canvas, rng: np.random.Generator, look: int) -> Picture:
    """One flower, filling the frame, before out-of-focus green."""
    blur = _noise(canvas, rng, 2.2, 3, 0.55)
    picture = np.asarray((0.13, 0.24, 0.10), np.float32) * (1.0 + 1.1 * blur)[..., None]
    tip, heart = _pick(
        look, [((0.90, 0.22, 0.40), (0.55, 0.03, 0.16)), ((0.98, 0.66, 0.30), (0.74, 0.20, 0.10))]
    )
    x, y = canvas.x - canvas.aspect / 2, canvas.y - 0.5
    away, angle = np.hypot(x, y), np.arctan2(y, x)
    rings = 9
    for ring in range(rings):
        inner = ring / (rings - 1)  # 0 outermost
        reach = 0.47 * (1 - inner) + 0.05
        petals = 16 if inner < 0.7 else 10
        turn = ring * np.pi / petals + float(rng.normal(0, 0.05))
        wobble = 1 + 0.05 * np.sin(angle * 3 + ring * 2.1)
        across = np.abs((angle * petals / (2 * np.pi) + turn) % 1 - 0.5) * 2  # 0 at a petal's spine
        edge = reach * wobble * (1 - 0.30 * across**2.4)
        cover = np.clip((edge - away) / (canvas.pixel * 1.5), 0, 1)
        along = np.clip(away / edge, 0, 1)
        tone = np.asarray(_blend(tip, heart, inner * 0.75), np.float32)
        shade = 0.30 + 0.80 * along**1.4 - 0.42 * across**2 + 0.05 * np.sin(across * 40) * along
        shade *= 1.06 - 0.10 * np.sin(angle + 0.9)
        dark = np.clip((edge + 0.022 - away) / 0.03, 0, 1)  # its shadow on the ring below
        picture *= (1 - 0.42 * dark)[..., None]
        petal = tone * np.clip(shade, 0.06, 1.25)[..., None]
        petal = petal + (np.clip(along - 0.86, 0, 1) * 1.1)[..., None]
        _paint(picture, cover, petal)
    return picture


SCENES: Final[Mapping[str, Scene]] = {
    "dahlia": _dahlia,
    "forest": _forest,
    "from_above": _from_above,
    "fruit_bowl": _fruit_bowl,
    "lake": _lake,
    "lights": _lights,
    "mountains": _mountains,
    "sea": _sea,
    "stars": _stars,
}

# ------------------------------------------------------------------------------- what scenes share


def _noise(
    canvas: Canvas,
    rng: np.random.Generator,
    cells: float,
    octaves: int,
    keep: float,
    stretch_y: float = 1.0,
) -> Plane:
    """Clouds of noise, about -1 to 1: `cells` per height, each octave twice as fine.

    Built from coarse to fine at growing size, so that all octaves cost little more than the last.
    """
    columns, rows = max(2.0, cells * canvas.aspect), max(2.0, cells * stretch_y)
    total: Plane = np.zeros((2, 2), np.float32)
    weight, sum_squares = 1.0, 0.0
    for _ in range(octaves):
        shape = (
            min(canvas.height_px, round(rows) + 1),
            min(canvas.width_px, round(columns) + 1),
        )
        grid = rng.standard_normal(shape, dtype=np.float32) * np.float32(weight)
        total = _enlarge(total, shape) + grid
        sum_squares += weight**2
        if shape == (canvas.height_px, canvas.width_px):
            break
        rows, columns, weight = rows * 2, columns * 2, weight * keep
    return _enlarge(total, (canvas.height_px, canvas.width_px)) / np.float32(2 * sum_squares**0.5)


def _enlarge(plane: Plane, shape: tuple[int, int]) -> Plane:
    """The plane at another size, smoothly."""
    image = Image.fromarray(plane).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def _ridge(canvas: Canvas, rng: np.random.Generator, cells: float, keep: float) -> Plane:
    """A jagged line across the picture, about -1 to 1 (1 × width)."""
    line = np.zeros(canvas.width_px, np.float32)
    position = canvas.x[0]
    weight = 1.0
    while weight > 0.02 and cells < canvas.width_px:
        knots = rng.uniform(-1, 1, size=int(cells * canvas.aspect) + 4).astype(np.float32)
        line += (
            np.interp(position * cells, np.arange(knots.size), knots).astype(np.float32) * weight
        )
        cells, weight = cells * 2, weight * keep
    return line[None, :]


def _sky(
    canvas: Canvas,
    rng: np.random.Generator,
    top: Colour,
    horizon: Colour,
    horizon_y: float,
    cloud: float = 0.7,
) -> Picture:
    """A sky that lightens to the horizon, with clouds lit from above."""
    low = np.clip(canvas.y / horizon_y, 0, 1)[..., None] ** 1.3
    clear = np.asarray(top, np.float32) * (1 - low) + np.asarray(horizon, np.float32) * low
    picture = np.broadcast_to(clear, (canvas.height_px, canvas.width_px, 3)).copy()
    puffs = _noise(canvas, rng, 2.2, 8, 0.54, stretch_y=2.4)
    cover = np.clip(puffs * 2.2 - 0.25, 0, 1) * cloud
    step = canvas.height_px // 40
    above = np.concatenate([np.repeat(puffs[:1], step, axis=0), puffs[:-step]]) if step else puffs
    under = np.clip(above - puffs, -0.4, 0.4)
    white = np.asarray(_blend((0.97, 0.97, 0.98), horizon, 0.35), np.float32)
    _paint(picture, cover, white * (0.94 + 0.7 * under)[..., None])
    return picture


def _perspective_waves(canvas: Canvas, rng: np.random.Generator, rows: int) -> Plane:
    """Waves that grow and spread towards the viewer (rows × width)."""
    flat = _noise(canvas, rng, 26, 5, 0.72, stretch_y=3.2)
    distance = 1.0 / (np.linspace(0.035, 1.0, rows, dtype=np.float32) ** 0.9)
    row = ((distance - distance.min()) / (distance.max() - distance.min())) ** 0.42
    source_row = np.clip((1 - row) * (canvas.height_px - 1), 0, canvas.height_px - 1)
    middle = canvas.width_px / 2
    scale = (0.30 + 0.70 * row)[:, None]
    columns = (np.arange(canvas.width_px, dtype=np.float32)[None, :] - middle) * scale + middle
    waves: Plane = flat[source_row.astype(np.intp)[:, None], columns.astype(np.intp)]
    return waves


def _fruit(
    canvas: Canvas,
    rng: np.random.Generator,
    picture: Picture,
    x: float,
    y: float,
    radius: float,
    skin: Colour,
    bloom: float,
) -> Plane:
    """Paint a lit ball with a mottled skin; its coverage, for a cut-out."""
    cover = np.zeros(picture.shape[:2], np.float32)
    rows, columns = _window(canvas, x, y, radius * 1.05)
    u = (canvas.x[:, columns] - x) / radius
    v = (canvas.y[rows] - y) / (radius * 0.94)
    dimple = 0.05 * np.exp(-((u / 0.35) ** 2)) * np.clip(-v, 0, 1)
    squared = u**2 + (v - dimple) ** 2
    body = np.clip((1 - np.sqrt(squared)) * radius / canvas.pixel + 0.5, 0, 1)
    facing = np.sqrt(np.clip(1 - squared, 0, 1))
    lit = np.clip(-0.55 * u - 0.62 * v + 0.56 * facing, 0, 1)
    mottle = _noise(canvas, rng, 9, 6, 0.65)[rows, columns]
    freckle = np.clip(_noise(canvas, rng, 150, 2, 0.7)[rows, columns] - 0.62, 0, 1)
    bounce = 0.14 * np.clip(v, 0, 1) * (1 - facing)
    colour = np.asarray(skin, np.float32)
    shade = (0.13 + 0.98 * lit + bounce + 0.12 * mottle * lit)[..., None] * colour
    shade += (freckle * lit * 0.9)[..., None] * np.asarray((0.5, 0.45, 0.3), np.float32)
    half_way = np.clip(-0.34 * u - 0.40 * v + 0.85 * facing, 0, 1)
    shade += (0.62 * half_way**42 + bloom * 0.22 * half_way**5)[..., None]
    stalk = np.clip(1 - np.hypot(u / 0.10, (v + 0.80) / 0.07), 0, 1)
    shade *= (1 - 0.85 * np.clip(stalk * 3, 0, 1))[..., None]
    _paint(picture[rows, columns], body, shade)
    cover[rows, columns] = body
    return cover


def _ellipse(canvas: Canvas, x: float, y: float, radius_x: float, radius_y: float) -> Plane:
    """Distance from a centre, 1 on the ellipse."""
    distance: Plane = np.hypot((canvas.x - x) / radius_x, (canvas.y - y) / radius_y)
    return distance


def _window(canvas: Canvas, x: float, y: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns within `reach` of a point: the rest of the picture need not be touched."""
    scale = canvas.height_px
    rows = slice(max(0, int((y - reach) * scale)), max(1, int((y + reach) * scale) + 1))
    columns = slice(max(0, int((x - reach) * scale)), max(1, int((x + reach) * scale) + 1))
    return rows, columns


def _paint(picture: Picture, cover: Plane, colour: Picture) -> None:
    """Lay a colour over the picture where `cover` says so."""
    weight = cover[..., None]
    picture += (colour - picture) * weight


def _vignette(canvas: Canvas, picture: Picture, strength: float) -> None:
    """Darken the corners."""
    squared = ((canvas.x - canvas.aspect / 2) / canvas.aspect) ** 2 + (canvas.y - 0.5) ** 2
    picture *= (1 - strength * 2 * squared)[..., None]


def _add_grain(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Roughen a picture as a sensor does, a band at a time: it is large, the caches are not."""
    for top in range(0, pixels.shape[0], 64):
        band = pixels[top : top + 64]
        noise = rng.standard_normal(band.shape[:2], dtype=np.float32)
        # Neighbours share a little noise, as after demosaicing; white noise would look like sand.
        noise[:, 1:] += 0.6 * noise[:, :-1]
        noise[1:] += 0.6 * noise[:-1]
        noise *= np.float32(255 * GRAIN / 1.36)
        band[:] = np.clip(band + noise[..., None] + 0.5, 0, 255).astype(np.uint8)


def _to_bytes(plane: Plane | Picture) -> NDArray[np.uint8]:
    """0..1 to 0..255."""
    pixels: NDArray[np.uint8] = np.clip(plane * 255 + 0.5, 0, 255).astype(np.uint8)
    return pixels


def _blend(first: Colour, second: Colour, share: float) -> Colour:
    """The first colour with a share of the second."""
    mixed = [a * (1 - share) + b * share for a, b in zip(first, second, strict=True)]
    return (mixed[0], mixed[1], mixed[2])


def _pick(look: int, choices: Sequence[_Choice]) -> _Choice:
    """One of a scene's choices of light and colour."""
    return choices[look % len(choices)]
