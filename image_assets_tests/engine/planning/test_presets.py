from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import image_assets
from image_assets.engine.errors import SettingError
from image_assets.engine.planning.presets import (
    PRESET_NAMES,
    PRIORITIES,
    OverrideField,
    override_fields,
    parse_set,
    preset_description,
    resolve_preset,
)
from image_assets.engine.planning.settings import (
    DEFAULT_SETTINGS_PATH,
    Settings,
    VariantSetting,
    load_settings,
)

SETTINGS = load_settings(DEFAULT_SETTINGS_PATH)
FIELDS = {field.name: field for field in override_fields(SETTINGS)}
NUMBERS = [field for field in FIELDS.values() if field.type in ("int", "float")]


def refusal(preset: str, overrides: dict[str, object], settings: Settings = SETTINGS) -> str:
    with pytest.raises(SettingError) as caught:
        resolve_preset(preset, settings, overrides)
    return str(caught.value)


def test_every_packaged_file_is_a_preset_or_the_table_of_priorities() -> None:
    folder = Path(image_assets.__file__).parent / "presets"
    assert {path.stem for path in folder.iterdir()} == {*PRESET_NAMES, "priorities"}
    assert len({preset_description(name) for name in PRESET_NAMES}) == len(PRESET_NAMES)


@pytest.mark.parametrize(
    ("name", "avif_speed", "webp_method", "thumbnail", "full"),
    [
        # px, then jpeg, webp, avif quality: the performance guide's numbers, but that the WebP
        # methods of throughput and balanced are 2 (docs/performance.md)
        ("throughput", 8, 2, (150, 80, 75, 70), (1024, 85, 80, 75)),
        ("quality", 4, 6, (200, 85, 80, 75), (2048, 90, 85, 80)),
        ("memory_efficient", 6, 4, (150, 80, 75, 70), (1024, 85, 80, 75)),
        ("balanced", 6, 2, (150, 85, 80, 80), (1024, 85, 80, 80)),
    ],
)
def test_a_preset_has_the_guides_numbers(
    name: str,
    avif_speed: int,
    webp_method: int,
    thumbnail: tuple[int, ...],
    full: tuple[int, ...],
) -> None:
    preset = resolve_preset(name, SETTINGS)
    assert (preset.name, preset.avif_speed, preset.webp_method) == (name, avif_speed, webp_method)
    for variant, numbers in (("thumbnail", thumbnail), ("full", full)):
        found = preset.variant(variant)
        assert (found.px, *(found.quality[f] for f in ("jpeg", "webp", "avif"))) == numbers


@pytest.mark.parametrize(
    ("priority", "numbers"),
    [
        ("speed", (8, 4, 70, 75, 80)),
        ("balanced", (6, 4, 80, 80, 85)),
        ("quality", (4, 6, 90, 85, 90)),
    ],
)
def test_a_priority_replaces_qualities_and_encoder_speeds(
    priority: str, numbers: tuple[int, ...]
) -> None:
    preset = resolve_preset("throughput", SETTINGS, {"priority": priority})
    for variant in preset.variants:
        quality = [variant.quality[name] for name in ("avif", "webp", "jpeg")]
        assert (preset.avif_speed, preset.webp_method, *quality) == numbers
    assert preset.variant("full").px == 1024


def test_a_person_wins_over_settings_file_over_priority_over_preset() -> None:
    file = Settings(
        (VariantSetting("thumbnail"), VariantSetting("full", {"px": 900, "avif_quality": 61})),
        ("avif", "jpeg"),
    )
    overrides: dict[str, object] = {"priority": "speed"}
    preset = resolve_preset("quality", file, overrides)
    assert preset.variant("full").px == 900
    assert preset.variant("full").quality == {"avif": 61, "jpeg": 80}
    preset = resolve_preset("quality", file, {**overrides, "full_px": 800, "full_avif_quality": 52})
    assert preset.variant("full").px == 800
    assert preset.variant("full").quality["avif"] == 52
    assert preset.variant("thumbnail").quality["avif"] == 70
    assert (preset.avif_speed, preset.webp_method) == (8, 4)
    preset = resolve_preset("quality", file, {**overrides, "avif_speed": 3})
    assert (preset.avif_speed, preset.webp_method) == (3, 4)


def test_a_size_of_ones_own_needs_px_and_takes_the_qualities_of_full() -> None:
    hero = Settings((VariantSetting("hero", {"px": 1600, "jpeg_quality": 88}),), ("avif", "jpeg"))
    assert resolve_preset("quality", hero).variant("hero").quality == {"avif": 80, "jpeg": 88}
    without = Settings((VariantSetting("hero"),), ("avif",))
    assert "Expected px for variant 'hero'" in refusal("quality", {}, without)
    assert resolve_preset("quality", without, {"hero_px": 33}).variant("hero").px == 33


def test_text_and_typed_values_mean_the_same() -> None:
    text: dict[str, object] = {"full_px": "99", "image_time_limit_s": "2.5", "verify": "yes"}
    typed: dict[str, object] = {"full_px": 99, "image_time_limit_s": 2.5, "verify": True}
    assert resolve_preset("quality", SETTINGS, text) == resolve_preset("quality", SETTINGS, typed)


def test_none_is_as_if_not_given() -> None:
    nothing: dict[str, object] = dict.fromkeys(FIELDS)
    for name in PRESET_NAMES:
        assert resolve_preset(name, SETTINGS, nothing) == resolve_preset(name, SETTINGS)


def test_what_only_a_machine_can_resolve_stays_a_rule_until_a_person_gives_a_number() -> None:
    assert resolve_preset("memory_efficient", SETTINGS).rules["max_workers"] == {"at_most": 2}
    given_numbers: dict[str, object] = {"max_workers": 3, "chunk_size": "7", "avif_threads": 2}
    assert resolve_preset("balanced", SETTINGS, given_numbers).rules == {
        "max_workers": 3,
        "chunk_size": 7,
        "avif_threads": 2,
    }


@pytest.mark.parametrize(
    ("preset", "overrides", "sentence"),
    [
        ("fast", {}, "Expected a preset of balanced, throughput, quality, memory_efficient, "
         "received 'fast' (preset)."),
        ("quality", {"full_avif_quality": 140}, "Expected quality between 1 and 100, received 140 "
         "(preset 'quality', full_avif_quality)."),
        ("quality", {"full_avif_quality": "0"}, "Expected quality between 1 and 100, received 0 "
         "(preset 'quality', full_avif_quality)."),
        ("quality", {"full_px": 0}, "Expected full_px between 1 and 16383, received 0 "
         "(preset 'quality', full_px)."),
        ("quality", {"chunk_bytes": -1}, "Expected chunk_bytes of at least 1, received -1 "
         "(preset 'quality', chunk_bytes)."),
        ("quality", {"full_px": "75.5"}, "Expected a whole number, received '75.5' "
         "(preset 'quality', full_px)."),
        ("quality", {"full_px": 75.5}, "Expected a whole number, received 75.5 "
         "(preset 'quality', full_px)."),
        ("quality", {"full_px": True}, "Expected a whole number, received True "
         "(preset 'quality', full_px)."),
        ("quality", {"draft_margin": "wide"}, "Expected a number, received 'wide' "
         "(preset 'quality', draft_margin)."),
        ("quality", {"draft_margin": "nan"}, "Expected draft_margin between 1 and 8, received nan "
         "(preset 'quality', draft_margin)."),
        ("quality", {"verify": "perhaps"}, "Expected true or false, received 'perhaps' "
         "(preset 'quality', verify)."),
        ("quality", {"priority": "cheap"}, "Expected priority of speed, balanced, quality, "
         "received 'cheap' (preset 'quality', priority)."),
        ("quality", {"background": "red"}, "Expected a colour as #rrggbb, received 'red' "
         "(preset 'quality', background)."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_one_sentence(
    preset: str, overrides: dict[str, object], sentence: str
) -> None:
    assert refusal(preset, overrides) == sentence


def test_an_unknown_key_is_refused_with_the_known_ones() -> None:
    sentence = refusal("quality", {"full_gif_quality": 3})
    assert "received 'full_gif_quality'" in sentence
    assert "full_avif_quality" in sentence


def test_a_wrong_number_of_the_settings_file_is_refused_where_it_is() -> None:
    file = Settings((VariantSetting("full", {"avif_quality": 140}),), ("avif",))
    assert refusal("quality", {}, file) == (
        "Expected quality between 1 and 100, received 140 "
        "(preset 'quality', variant 'full', format 'avif')."
    )
    file = Settings((VariantSetting("full", {"px": 0}),), ("avif",))
    assert "received 0 (preset 'quality', variant 'full')" in refusal("quality", {}, file)


def test_every_key_is_named_once_described_and_typed() -> None:
    fields = override_fields(SETTINGS)
    assert len(FIELDS) == len(fields)
    assert all(len(field.description) > 20 for field in fields)
    expected = {f"{v}_{f}_quality" for v in SETTINGS.variant_names for f in SETTINGS.formats}
    assert expected | {"thumbnail_px", "full_px", "max_workers", "prune_force"} <= set(FIELDS)
    assert FIELDS["priority"].choices == PRIORITIES


def resolved(preset: Any, key: str) -> object:
    """Where an override arrives."""
    if key in preset.rules:
        return preset.rules[key]
    for variant in preset.variants:
        if key == f"{variant.name}_px":
            return variant.px
        for format_name, quality in variant.quality.items():
            if key == f"{variant.name}_{format_name}_quality":
                return quality
    return getattr(preset, key)


@st.composite
def number_of_field(draw: st.DrawFn) -> tuple[OverrideField, float, bool]:
    """A numeric key, a value, and whether the value is in its range."""
    field = draw(st.sampled_from(NUMBERS))
    low = field.minimum if field.minimum is not None else 0
    high = field.maximum if field.maximum is not None else 10**12
    if field.type == "int":
        value: float = draw(st.integers(int(low) - 50, int(high) + 50))
    else:
        value = draw(st.floats(low - 50, high + 50, allow_nan=False))
    inside = value >= low and (field.maximum is None or value <= field.maximum)
    return field, value, inside


@given(number_of_field(), st.sampled_from(PRESET_NAMES), st.booleans())
def test_a_number_in_its_range_arrives_and_any_other_is_refused(
    case: tuple[OverrideField, float, bool], name: str, as_text: bool
) -> None:
    field, value, inside = case
    overrides: dict[str, object] = {field.name: repr(value) if as_text else value}
    if inside:
        assert resolved(resolve_preset(name, SETTINGS, overrides), field.name) == value
    else:
        assert f"{field.name}" in refusal(name, overrides)


def test_set_arguments_are_read_in_any_order_and_keep_further_equal_signs() -> None:
    assert parse_set(["a=1", "background==x"]) == {"a": "1", "background": "=x"}
    assert parse_set(["a="]) == {"a": ""}


@pytest.mark.parametrize("pairs", [["full_px"], ["=3"], ["a=1", "a=2"]])
def test_a_set_argument_without_key_or_value_or_given_twice_is_refused(pairs: list[str]) -> None:
    with pytest.raises(SettingError, match="--set"):
        parse_set(pairs)
