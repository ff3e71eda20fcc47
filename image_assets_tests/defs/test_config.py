import dagster as dg
import pytest

from image_assets.defs.config import config_fields, resolve_config, resolve_run_config
from image_assets.engine.errors import SettingError
from image_assets.engine.planning.presets import PRESET_NAMES, override_fields, preset_description
from image_assets.engine.planning.settings import load_settings

SETTINGS = load_settings()


def test_every_field_has_a_default_and_a_description() -> None:
    for name, field in config_fields(SETTINGS).items():
        assert not field.is_required, name
        assert field.default_provided, name
        assert field.description, name


def test_there_is_a_field_for_every_override() -> None:
    assert set(config_fields(SETTINGS)) == {
        "preset",
        *(field.name for field in override_fields(SETTINGS)),
    }


def test_the_presets_are_described_where_a_person_reads() -> None:
    # The UI shows enum values on Ctrl+Space only.
    description = config_fields(SETTINGS)["preset"].description or ""

    for name in PRESET_NAMES:
        assert name in description
        assert preset_description(name) in description


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_the_defaults_are_the_preset_itself(preset: str) -> None:
    defaults = {name: field.default_value for name, field in config_fields(SETTINGS).items()}

    written_out = resolve_config({**defaults, "preset": preset}, SETTINGS)

    assert written_out == resolve_config({"preset": preset}, SETTINGS)


def test_a_value_out_of_range_is_one_sentence() -> None:
    with pytest.raises(SettingError) as caught:
        resolve_config({"preset": "quality", "full_avif_quality": 140}, SETTINGS)

    assert str(caught.value) == (
        "Expected quality between 1 and 100, received 140 (preset 'quality', full_avif_quality)."
    )


def test_steps_without_config_read_it_from_the_run() -> None:
    run_config = {"ops": {"compress": {"config": {"rejected_share_max": 0.5}}}}

    assert resolve_run_config(run_config, SETTINGS).rejected_share_max == 0.5
    assert resolve_run_config({}, SETTINGS).rejected_share_max == 0.05


def test_an_unknown_word_or_type_never_reaches_the_op() -> None:
    @dg.op(config_schema=config_fields(SETTINGS))
    def show(context: dg.OpExecutionContext) -> None: ...

    @dg.job
    def job() -> None:
        show()

    for wrong in ({"preset": "qualty"}, {"full_pixels": 1}, {"full_px": "wide"}):
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"ops": {"show": {"config": wrong}}})
