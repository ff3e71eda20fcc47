import dataclasses
import tomllib
from pathlib import Path

import pytest

from image_assets.engine.pixels.choice import EncodePolicy, Request
from image_assets.engine.pixels.codecs import CODECS_OF_FORMAT, codec_versions
from image_assets.engine.pixels.formats import (
    OUTPUT_FORMATS,
    OutputFormat,
    missing_codec,
    ways_to_make,
)
from image_assets.engine.planning.presets import override_fields, resolve_preset
from image_assets.engine.planning.recipe import make_recipe
from image_assets.engine.planning.settings import Settings, VariantSetting, load_settings
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets.engine.storage.naming import rendition_path

POLICY = EncodePolicy(8, 1, 3, "#ffffff", codec_versions())


def request(width: int = 100, height: int = 80) -> Request:
    return Request((width, height), 75, "photograph", POLICY)


@pytest.mark.parametrize("entry", OUTPUT_FORMATS.values(), ids=list(OUTPUT_FORMATS))
def test_a_registered_format_is_known_everywhere(entry: OutputFormat, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f'formats = ["{entry.name}"]\n[variants.full]\n{entry.name}_quality = 71\n')
    assert tomllib.loads(path.read_text())
    settings = load_settings(path)
    assert settings.formats == (entry.name,)
    names = {field.name for field in override_fields(settings)}
    assert f"full_{entry.name}_quality" in names
    preset = resolve_preset("balanced", settings)
    assert preset.variant("full").quality == {entry.name: 71}
    recipe = make_recipe(preset, "full", entry.name, codec_versions())
    assert set(recipe["codecs"]) == set(entry.codecs) == set(CODECS_OF_FORMAT[entry.name])
    assert set(entry.takes) <= set(recipe)
    assert rendition_path("2015-06-01", "a.jpg", "full", entry.name).endswith(entry.extension)
    assert ways_to_make(entry.name, request())
    assert set(entry.encoders) & set(codec_versions()), "the development setup has all"
    assert missing_codec(entry.name, codec_versions()) is None


@pytest.mark.parametrize("preset", ["balanced", "throughput", "quality", "memory_efficient"])
@pytest.mark.parametrize("priority", [None, "speed", "quality"])
def test_jpeg_xl_means_by_its_quality_what_jpeg_does(preset: str, priority: str | None) -> None:
    settings = Settings((VariantSetting("thumbnail"), VariantSetting("full")), ("jpeg", "jxl"))
    overrides = None if priority is None else {"priority": priority}
    for variant in resolve_preset(preset, settings, overrides).variants:
        assert variant.quality["jxl"] == variant.quality["jpeg"]


@pytest.mark.parametrize("entry", OUTPUT_FORMATS.values(), ids=list(OUTPUT_FORMATS))
def test_without_its_encoders_a_format_names_what_to_install(entry: OutputFormat) -> None:
    others = {name for name in codec_versions() if name not in entry.encoders}
    missing = missing_codec(entry.name, others)
    assert missing is not None
    assert (missing.status, missing.reason) == ("failed", Reason.CODEC_MISSING)
    assert f"pip install '{entry.extra}'" in missing.message
    for enough in entry.encoders:
        assert missing_codec(entry.name, {enough}) is None


@pytest.mark.parametrize("entry", OUTPUT_FORMATS.values(), ids=list(OUTPUT_FORMATS))
def test_a_side_that_a_format_cannot_carry_is_a_row(entry: OutputFormat) -> None:
    assert ways_to_make(entry.name, request(entry.max_side_px, 4))
    for size in ((entry.max_side_px + 1, 4), (4, entry.max_side_px + 1)):
        with pytest.raises(NotCompressedError, match="sides of at most") as caught:
            ways_to_make(entry.name, request(*size))
        assert caught.value.reason == Reason.UNSUPPORTED_PIXELS


def test_a_variant_is_never_larger_than_any_format_carries() -> None:
    settings = Settings((VariantSetting("full"),), tuple(OUTPUT_FORMATS))
    px = next(field for field in override_fields(settings) if field.name == "full_px")
    assert px.maximum == min(entry.max_side_px for entry in OUTPUT_FORMATS.values())


def test_an_unregistered_format_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="'gif'"):
        ways_to_make("gif", request())


def test_a_master_is_lossless_whatever_the_quality() -> None:
    (way,) = ways_to_make("master", dataclasses.replace(request(), quality=1))
    assert way.lossless
    assert missing_codec("master", {"libwebp"}) is None
