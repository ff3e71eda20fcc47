import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from image_assets.engine.pixels.choice import GRAPHIC, PHOTOGRAPH
from image_assets.engine.pixels.content import classify
from image_assets_tests.photographs import drawing, picture
from image_assets_tests.processes import REPOSITORY

PICTURES = REPOSITORY.parent / "shared" / "corpus" / "photos"
# A screenshot of a web page that lies among the photographs.
SCREENSHOTS_AMONG_PHOTOGRAPHS = {"clic_4cd6910a.png"}


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert(image.mode)


def on_white(image: Image.Image) -> Image.Image:
    """As a shop shows its goods: an object on pure white."""
    mask = Image.new("L", image.size)
    width, height = image.size
    ImageDraw.Draw(mask).ellipse((width // 4, height // 5, 3 * width // 4, 4 * height // 5), 255)
    white = Image.new(image.mode, image.size, "#ffffff")
    white.paste(image, mask=mask.filter(ImageFilter.GaussianBlur(3)))
    return white


def between_bars(image: Image.Image) -> Image.Image:
    """As a film is shown on another screen."""
    framed = Image.new(image.mode, image.size)
    framed.paste(image.resize((image.width, image.height // 3)), (0, image.height // 3))
    return framed


@pytest.mark.parametrize("size", [(40, 30), (240, 160), (1500, 1000)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_drawing_is_a_graphic_and_a_photograph_is_not(size: tuple[int, int], mode: str) -> None:
    assert classify(drawing(size, mode=mode)) == GRAPHIC
    assert classify(picture(size, mode=mode)) == PHOTOGRAPH


@pytest.mark.parametrize("seed", range(4))
def test_a_photograph_on_white_or_between_bars_is_a_photograph(seed: int) -> None:
    image = picture((800, 600), seed=seed)
    for made in (on_white(image), between_bars(image), as_jpeg(on_white(image), 80)):
        assert classify(made) == PHOTOGRAPH


def test_an_overexposed_photograph_is_a_photograph() -> None:
    image = picture((800, 600)).point(lambda value: min(255, 2 * value))
    assert image.histogram()[255] > 0.3 * 800 * 600
    assert classify(image) == PHOTOGRAPH


@pytest.mark.parametrize("quality", [75, 90])
def test_a_page_of_text_is_a_graphic_as_jpeg_too(quality: int) -> None:
    page = Image.new("RGB", (400, 300), "#ffffff")
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, 400, 20), fill="#1060d0")
    for line in range(1, 10):
        pen.text((20, 30 * line), f"Line {line} of a page of a screenshot", "#202020")
    assert classify(as_jpeg(page.resize((1600, 1200)), quality)) == GRAPHIC


def test_a_drawing_made_smaller_is_still_told() -> None:
    large = drawing((800, 600)).resize((1600, 1200), Image.Resampling.NEAREST)
    image = large.resize((1024, 768), Image.Resampling.LANCZOS)
    assert classify(image) == GRAPHIC


def test_few_colours_make_a_graphic_dithered_or_not() -> None:
    image = picture((300, 200)).quantize(16).convert("RGB")
    assert classify(image) == GRAPHIC
    assert classify(picture((300, 200)).convert("1").convert("L")) == GRAPHIC


@pytest.mark.parametrize(("mode", "few"), [("RGB", 64), ("L", 16)])
def test_what_few_colours_are_is_counted(mode: str, few: int) -> None:
    # Noise: nothing but their number makes it a graphic.
    for count, expected in ((few, GRAPHIC), (few + 1, PHOTOGRAPH)):
        index = np.random.default_rng(1).integers(0, count, (200, 300)).astype(np.uint8)
        channels = (index, 255 - 2 * index, 3 * index)[: len(mode)]
        image = Image.merge(mode, [Image.fromarray(channel) for channel in channels])
        assert classify(image) == expected, count


def test_a_foggy_grey_photograph_is_a_photograph() -> None:
    noise = np.random.default_rng(1).normal(180, 6, (300, 400))
    assert classify(Image.fromarray(noise.clip(0, 255).astype(np.uint8))) == PHOTOGRAPH


def test_colour_under_transparency_does_not_count() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (300, 400, 4), np.uint8))
    noise.putalpha(0)
    noise.paste(drawing((200, 150), mode="RGBA"), (10, 10))
    assert classify(noise) == GRAPHIC


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 3), (17, 5), (65, 17)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_any_size_gets_an_answer_always_the_same(size: tuple[int, int], mode: str) -> None:
    image = picture(size, mode=mode)
    first = classify(image)
    assert first in (GRAPHIC, PHOTOGRAPH)
    assert classify(image.copy()) == first


@pytest.mark.parametrize("make", [picture, drawing])
def test_it_takes_milliseconds_whatever_the_size(make: type) -> None:
    for size in ((512, 384), (4000, 3000)):
        image = make(size)
        spent_s = []
        for _ in range(5):
            started_s = time.process_time()
            classify(image)
            spent_s.append(time.process_time() - started_s)
        assert min(spent_s) < 0.03, size


@pytest.mark.skipif(not PICTURES.is_dir(), reason=f"no pictures at {PICTURES}")
@pytest.mark.parametrize("label", ["photo", "graphic"])
def test_real_pictures_are_what_their_folder_says(label: str) -> None:
    expected = PHOTOGRAPH if label == "photo" else GRAPHIC
    otherwise = {path.name for path in _pictures(label) if _classified(path) != expected}
    assert otherwise == (SCREENSHOTS_AMONG_PHOTOGRAPHS if label == "photo" else set())


def _pictures(label: str) -> list[Path]:
    return sorted((PICTURES / label).iterdir())


def _classified(path: Path) -> str:
    with Image.open(path) as image:
        image.draft(None, (1024, 1024))
        has_alpha = image.mode in ("RGBA", "LA", "P")
        return classify(image.convert("RGBA" if has_alpha else "RGB"))
