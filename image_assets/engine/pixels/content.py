"""Tell photographs from graphics: drawings, screenshots, charts, text, line art."""

from typing import Final

from PIL import Image, ImageChops

from image_assets.engine.pixels.choice import GRAPHIC, PHOTOGRAPH

# A fixed number of blocks, evenly spread, whatever the picture's size: 1 to 3 ms. Blocks of
# neighbouring pixels, because a reduced picture has no flat parts and no hard edges left.
_TILE_PX: Final = 16
_BLOCK_WIDTH_PX: Final = 256
_BLOCKS_ACROSS: Final = 4
_BLOCKS_DOWN: Final = 16

_FEW_COLOURS: Final = 64
_FEW_GREYS: Final = 16
"""A picture of no more is a graphic, dithered or not. A photograph of fog has 50 greys."""

_FLAT_MIN: Final = 0.65
_VERY_FLAT_MIN: Final = 0.8
"""Share of neighbouring pixels that are the same to the bit. Of 34 photographs none has more than
0.52; of 34 graphics all but a 48 px icon and a shaded logo have 0.84 and more, 0.65 after JPEG at
quality 75. Between them lie photographs on white, with black bars, and over- or underexposed ones:
what is not flat in them decides."""

_HARD_STEP: Final = 32
_HARD_MIN: Final = 0.25
"""Share of large steps (of 32 and more of 255) among all steps between unequal neighbours: 0.3 to
0.97 in graphics that keep their size, below 0.25 in photographs on a flat ground."""

_RICH_COLOURS: Final = 64
_PLAIN_COLOURS: Final = 4
_RICH_SHARE_MAX: Final = 0.4
_RICH_SHARE_WITH_PICTURES_MAX: Final = 0.6
_HARD_WITH_PICTURES_MIN: Final = 0.12
"""Share of tiles of more than 64 colours among those of more than 4: 0 to 0.3 in graphics, up to
0.6 after JPEG or with pictures in them; 0.55 to 1 in photographs on a flat ground, whose edges are
softer than those of a diagram with pictures."""


def classify(image: Image.Image) -> str:
    """Tell whether a picture is a ``photograph`` or a ``graphic``.

    The same pixels always give the same answer. A wrong one costs no picture: a photograph taken
    for a graphic is a fifth larger as JPEG, at a better score, and takes twice the CPU as AVIF.

    Args:
        image: As decoded and in its colour space, before it is made smaller: mode L, RGB or RGBA.
            Transparent parts count as white.
    """
    sample = _sample(image)
    if sample.getcolors(_FEW_COLOURS if sample.mode == "RGB" else _FEW_GREYS) is not None:
        return GRAPHIC
    flat, hard = _steps(sample)
    if flat < _FLAT_MIN:
        return PHOTOGRAPH
    if hard >= _HARD_MIN:
        return GRAPHIC
    holds_pictures = flat >= _VERY_FLAT_MIN and hard >= _HARD_WITH_PICTURES_MIN
    limit = _RICH_SHARE_WITH_PICTURES_MAX if holds_pictures else _RICH_SHARE_MAX
    return GRAPHIC if _rich_share(sample) <= limit else PHOTOGRAPH


def _sample(image: Image.Image) -> Image.Image:
    """Return up to 4 x 16 blocks of 256 x 16 px as one picture of mode L or RGB."""
    width, height = min(_BLOCK_WIDTH_PX, image.width), min(_TILE_PX, image.height)
    across = min(_BLOCKS_ACROSS, image.width // width)
    down = min(_BLOCKS_DOWN, image.height // height)
    mode = "L" if image.mode == "L" else "RGB"
    sample = Image.new(mode, (across * width, down * height), "#ffffff")
    for row in range(down):
        top = (image.height - height) * row // max(1, down - 1)
        for column in range(across):
            left = (image.width - width) * column // max(1, across - 1)
            block = image.crop((left, top, left + width, top + height))
            place = (column * width, row * height)
            if block.mode == mode:
                sample.paste(block, place)
            else:
                sample.paste(block.convert(mode), place, block.getchannel("A"))
    return sample


def _steps(sample: Image.Image) -> tuple[float, float]:
    """Return the share of equal neighbours, and of large steps among the unequal ones."""
    width, height = sample.size
    if width < 2:
        return 1.0, 0.0
    left = sample.crop((0, 0, width - 1, height))
    difference = ImageChops.difference(left, sample.crop((1, 0, width, height)))
    if difference.mode == "RGB":
        red, green, blue = difference.split()
        difference = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    counts = difference.histogram()
    unequal = sum(counts[1:])
    return counts[0] / sum(counts), sum(counts[_HARD_STEP:]) / unequal if unequal else 0.0


def _rich_share(sample: Image.Image) -> float:
    """Return the share of tiles of many colours among those that are not plain; of every fourth."""
    plain = rich = tiles = 0
    for row in range(max(1, sample.height // _TILE_PX)):
        across = max(1, sample.width // _TILE_PX)
        for column in range(row % min(4, across), across, 4):
            left, top = column * _TILE_PX, row * _TILE_PX
            tile = sample.crop(
                (left, top, min(left + _TILE_PX, sample.width), min(top + _TILE_PX, sample.height))
            )
            colours = tile.getcolors(_RICH_COLOURS)
            tiles += 1
            if colours is None:
                rich += 1
            elif len(colours) <= _PLAIN_COLOURS:
                plain += 1
    return rich / (tiles - plain) if tiles > plain else 0.0
