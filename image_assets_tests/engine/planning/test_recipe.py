import pytest

from image_assets.engine.planning import recipe as recipe_module
from image_assets.engine.planning.presets import ResolvedPreset, resolve_preset
from image_assets.engine.planning.recipe import make_recipe, recipe_digest, refusal_digest
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings

SETTINGS = load_settings(DEFAULT_SETTINGS_PATH)
CODECS = {
    "libavif": "1.4",
    "svt": "4.1",
    "aom": "3.14",
    "libwebp": "1.6",
    "libjpeg_turbo": "3.1",
    "pillow": "13.0",
}
FORMATS = ("avif", "webp", "jpeg", "master")
PAIRS = frozenset((variant, name) for variant in ("thumbnail", "full") for name in FORMATS)


def preset(**overrides: object) -> ResolvedPreset:
    return resolve_preset("balanced", SETTINGS, overrides)


def digests(
    resolved: ResolvedPreset, codecs: dict[str, str] = CODECS
) -> dict[tuple[str, str], str]:
    return {pair: recipe_digest(make_recipe(resolved, *pair, codecs)) for pair in PAIRS}


def redone(after: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """The pairs whose digest is another than that of the preset as it is."""
    before = digests(preset())
    return {pair for pair in PAIRS if before[pair] != after[pair]}


def of_format(*names: str) -> set[tuple[str, str]]:
    return {pair for pair in PAIRS if pair[1] in names}


def of_variant(name: str) -> set[tuple[str, str]]:
    return {pair for pair in PAIRS if pair[0] == name}


def test_no_two_renditions_of_a_source_share_a_digest() -> None:
    assert len(set(digests(preset()).values())) == len(PAIRS)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"full_avif_quality": 51}, {("full", "avif")}),
        ({"thumbnail_jpeg_quality": 51}, {("thumbnail", "jpeg")}),
        ({"avif_speed": 9}, of_format("avif")),
        ({"webp_method": 0}, of_format("webp")),
        ({"background": "#000000"}, of_format("jpeg")),
        ({"draft_margin": 2.0}, set(PAIRS)),
        ({"thumbnail_px": 151}, of_variant("thumbnail")),
        # thumbnails are made from the full size, so they are other pictures too
        ({"full_px": 1000}, set(PAIRS)),
    ],
)
def test_a_changed_setting_redoes_what_it_changes_and_nothing_else(
    overrides: dict[str, object], expected: set[tuple[str, str]]
) -> None:
    assert redone(digests(preset(**overrides))) == expected


def test_nothing_is_redone_for_what_does_not_decide_bytes() -> None:
    harmless = preset(
        max_workers=7,
        chunk_size=3,
        chunk_bytes=1,
        avif_threads=9,
        memory_budget_bytes=10**12,
        image_time_limit_s=1.0,
        max_pixels=5,
        verify=True,
        prune=True,
        keep_masters=True,
    )
    assert redone(digests(harmless)) == set()


@pytest.mark.parametrize(
    ("codec", "formats"),
    [
        ("svt", ("avif",)),
        ("aom", ("avif",)),
        ("libavif", ("avif",)),
        ("libwebp", ("webp", "master")),
        ("libjpeg_turbo", ("jpeg",)),
        ("pillow", ()),
    ],
)
def test_another_codec_redoes_the_formats_that_it_may_serve(
    codec: str, formats: tuple[str, ...]
) -> None:
    newer = digests(preset(), {**CODECS, codec: "99"})
    missing = digests(preset(), {name: CODECS[name] for name in CODECS if name != codec})
    assert redone(newer) == of_format(*formats)
    assert redone(missing) == of_format(*formats)


def test_a_new_pipeline_version_redoes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "PIPELINE_VERSION", recipe_module.PIPELINE_VERSION + 1)
    changed = digests(preset())
    monkeypatch.undo()
    assert redone(changed) == PAIRS


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    recipe = make_recipe(preset(), "full", "avif", CODECS)
    assert recipe_digest(dict(reversed(recipe.items()))) == recipe_digest(recipe)


def test_a_refusal_is_remembered_until_recipe_or_limits_change() -> None:
    digest = refusal_digest("abc", preset())
    assert digest == refusal_digest("abc", preset(max_workers=3))
    others = {
        refusal_digest("abd", preset()),
        refusal_digest("abc", preset(max_pixels=5)),
        refusal_digest("abc", preset(max_source_bytes=5)),
        "abc",
        digest,
    }
    assert len(others) == 5
