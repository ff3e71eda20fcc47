"""Run config: one flat form, generated from the settings that the engine knows."""

from collections.abc import Mapping
from typing import Any, Final

import dagster as dg

from image_assets.engine.planning.presets import (
    DEFAULT_PRESET,
    PRESET_NAMES,
    OverrideField,
    ResolvedPreset,
    override_fields,
    preset_description,
    resolve_preset,
)
from image_assets.engine.planning.settings import Settings

# The graph's name, so where its config lies: ops.compress.config.
COMPRESS: Final = "compress"

_DAGSTER_TYPES: Final = {"int": dg.Int, "float": dg.Float, "bool": dg.Bool, "str": dg.String}


def preset_enum() -> dg.Enum:
    """The presets as an enum: another word is refused when the run is launched."""
    return dg.Enum(
        "Preset",
        [dg.EnumValue(name, description=preset_description(name)) for name in PRESET_NAMES],
    )


def config_fields(settings: Settings) -> dict[str, dg.Field]:
    """Every field of ``ops.compress.config``; each has a default, so none need be written."""
    presets = "; ".join(f"{name}: {preset_description(name)}" for name in PRESET_NAMES)
    fields = {
        "preset": dg.Field(
            preset_enum(),
            default_value=DEFAULT_PRESET,
            is_required=False,
            description=f"Named starting values. One of {presets}.",
        )
    }
    for override in override_fields(settings):
        fields[override.name] = dg.Field(
            dg.Noneable(_field_type(override)),
            default_value=None,
            is_required=False,
            description=_field_description(override),
        )
    return fields


def compress_config(settings: Settings) -> dg.ConfigMapping:
    """The mapping from the flat form to the op that reads it."""

    def to_resolve_plan(config: Mapping[str, Any]) -> dict[str, Any]:
        return {"resolve_plan": {"config": dict(config)}}

    return dg.ConfigMapping(config_schema=config_fields(settings), config_fn=to_resolve_plan)


def resolve_config(config: Mapping[str, Any], settings: Settings) -> ResolvedPreset:
    """Turn the flat form into a checked preset.

    Raises:
        SettingError: A value is outside its range.
    """
    overrides = {key: value for key, value in config.items() if key != "preset"}
    return resolve_preset(config.get("preset", DEFAULT_PRESET), settings, overrides)


def resolve_run_config(run_config: Mapping[str, Any], settings: Settings) -> ResolvedPreset:
    """The checked preset of a whole run, for steps that have no config of their own."""
    compress = run_config.get("ops", {}).get(COMPRESS, {})
    return resolve_config(compress.get("config", {}), settings)


def _field_type(override: OverrideField) -> Any:
    if override.choices is not None:
        name = "".join(word.capitalize() for word in override.name.split("_"))
        return dg.Enum(name, [dg.EnumValue(choice) for choice in override.choices])
    return _DAGSTER_TYPES[override.type]


def _field_description(override: OverrideField) -> str:
    text = override.description
    if override.choices is not None:
        text += f" One of {', '.join(override.choices)}."
    if override.default is not None:
        shown = str(override.default).lower() if override.type == "bool" else override.default
        text += f" Default: {shown}."
    return text
