"""Presets: named starting values, and the overrides that replace single numbers of them.

The YAML files in ``image_assets/presets`` are the only source of a preset's numbers. What a
preset becomes on a machine for a set of images is `image_assets.engine.planning.plan`'s to say.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.pixels.choice import JPEG_CODINGS
from image_assets.engine.pixels.formats import OUTPUT_FORMATS
from image_assets.engine.pixels.resize import RESIZE_FILTERS
from image_assets.engine.planning.settings import ANIMATIONS, Settings, VariantSetting

PRESET_NAMES: Final = ("balanced", "throughput", "quality", "memory_efficient")
DEFAULT_PRESET: Final = "balanced"
PRIORITIES: Final = ("speed", "balanced", "quality")
METADATA_KEPT: Final = ("none", "rights", "all")
_FOLDER = Path(__file__).parents[2] / "presets"

FieldType = Literal["int", "float", "bool", "str"]


@dataclass(frozen=True, slots=True)
class OverrideField:
    """One key that run config and ``--set`` take.

    Attributes:
        name: The key.
        type: Type of its value.
        description: What it does, its unit and what holds where it is not given.
        minimum: Smallest allowed value, inclusive; None where there is no bound.
        maximum: Largest allowed value, inclusive.
        default: Value where neither preset nor person says; None: from the preset or machine.
        choices: The allowed values of a text field.
    """

    name: str
    type: FieldType
    description: str
    minimum: float | None = None
    maximum: float | None = None
    default: int | float | bool | str | None = None
    choices: tuple[str, ...] | None = None


_MB: Final = 1_000_000

_OF_PRESET: Final = (
    "avif_speed",
    "webp_method",
    "jpeg_coding",
    "draft_margin",
    "resize_filter",
)
"""Numbers that every preset states and nothing resolves further."""

# What does not depend on the variants. Defaults that are not None are the same in every preset.
_COMMON_FIELDS: Final = (
    OverrideField(
        "priority",
        "str",
        "Replace the preset's qualities and encoder speeds by the performance guide's table for "
        "speed, balanced or quality. Default: the preset's own.",
        choices=PRIORITIES,
    ),
    OverrideField(
        "max_workers",
        "int",
        "Worker processes, 1 to 256. Default: from the preset, the cores and the image count.",
        1,
        256,
    ),
    OverrideField(
        "chunk_size",
        "int",
        "Images per worker task, 1 to 10000. Default: from the preset, memory and image size.",
        1,
        10_000,
    ),
    OverrideField(
        "chunk_bytes",
        "int",
        "Source bytes per worker task at most (the guide's 100 MB buffer); a larger image is a "
        "task of its own.",
        1,
        None,
        100 * _MB,
    ),
    OverrideField(
        "images_per_shard",
        "int",
        "Images per shard, the unit that executors spread over machines.",
        1,
        None,
        2_000,
    ),
    OverrideField(
        "memory_budget_bytes",
        "int",
        "Memory of all processes of a run together, base included. Default: 80 % of what is "
        "available, container limits respected.",
        1,
    ),
    OverrideField(
        "avif_threads",
        "int",
        "Encoder threads per AVIF, 1 to 64; output bytes do not depend on it. Default: preset.",
        1,
        64,
    ),
    OverrideField(
        "avif_speed",
        "int",
        "AVIF speed, 0 (slow, small) to 10 (fast, larger). Default: from the preset.",
        0,
        10,
    ),
    OverrideField(
        "webp_method",
        "int",
        "WebP effort, 0 (fast, larger) to 6 (slow, small). Default: from the preset.",
        0,
        6,
    ),
    OverrideField(
        "jpeg_coding",
        "str",
        "JPEGs are baseline (fastest), optimized (tables of their own, 1 % smaller for twice the "
        "CPU) or progressive (5 % smaller for five times the CPU). Default: from the preset.",
        choices=JPEG_CODINGS,
    ),
    OverrideField(
        "draft_margin",
        "float",
        "A JPEG is decoded at the smallest scale at least this many times the largest variant, "
        "1 (fast) to 8 (the whole picture). Default: from the preset.",
        1,
        8,
    ),
    OverrideField(
        "resize_filter",
        "str",
        "How pictures are resized: lanczos (sharp) or bicubic (two thirds of its time, a little "
        "softer). Default: from the preset.",
        choices=RESIZE_FILTERS,
    ),
    OverrideField(
        "background",
        "str",
        "Colour under transparent pixels where the format carries no alpha (JPEG), as #rrggbb.",
        default="#ffffff",
    ),
    OverrideField(
        "keep_display_p3",
        "bool",
        "Keep Display P3 in AVIF and WebP where the source's gamut is wider than sRGB; JPEG is "
        "always sRGB.",
        default=False,
    ),
    OverrideField(
        "graphics",
        "bool",
        "Tell drawings and screenshots from photographs and encode them without chroma "
        "subsampling, WebP lossless where that is smaller.",
        default=True,
    ),
    OverrideField(
        "metadata",
        "str",
        "What a rendition keeps of its source's EXIF and XMP: none; rights (copyright and "
        "creator); all (GPS position too).",
        default="rights",
        choices=METADATA_KEPT,
    ),
    OverrideField(
        "accept_truncated",
        "bool",
        "Render what can be decoded of a truncated file, and say so in its rows, rather than "
        "reject it.",
        default=False,
    ),
    OverrideField(
        "follow_links",
        "bool",
        "Follow symbolic links below the source, loops excepted. Default: a link is a row that "
        "says so.",
        default=False,
    ),
    OverrideField(
        "quarantine_attempts",
        "int",
        "Attempts at an image that ends its worker (crash, time, memory), one a run, before it is "
        "held in quarantine, 1 to 100.",
        1,
        100,
        3,
    ),
    OverrideField(
        "image_time_limit_s",
        "float",
        "Seconds that one image may take before its worker is ended and the image fails.",
        0.1,
        86_400,
        30.0,
    ),
    OverrideField(
        "max_pixels",
        "int",
        "Pixels of a source over all frames of an animation; beyond it the source is rejected.",
        1,
        None,
        100 * _MB,
    ),
    OverrideField(
        "max_frames",
        "int",
        "Frames of an animation; beyond it the source is rejected.",
        1,
        None,
        5_000,
    ),
    OverrideField(
        "max_source_bytes",
        "int",
        "Size of a source file; beyond it the source is rejected.",
        1,
        None,
        500 * _MB,
    ),
    OverrideField(
        "keep_masters",
        "bool",
        "Also keep a lossless master (WebP) of every variant.",
        default=False,
    ),
    OverrideField(
        "verify",
        "bool",
        "Read every source again and compare its sha256, rather than trust size and date.",
        default=False,
    ),
    OverrideField(
        "prune",
        "bool",
        "Remove renditions whose source is gone. Default: list them only.",
        default=False,
    ),
    OverrideField(
        "prune_force",
        "bool",
        "Let prune remove more than 10 % of a partition's renditions.",
        default=False,
    ),
    OverrideField(
        "rejected_share_max",
        "float",
        "Share of rejected and failed sources, 0 to 1, above which the check is an error.",
        0,
        1,
        0.05,
    ),
    OverrideField(
        "lease_wait_s",
        "float",
        "Seconds to wait where another run holds the partition; 0 ends at once with a sentence.",
        0,
        86_400,
        0.0,
    ),
)


def common_default(name: str) -> int | float | bool | str | None:
    """Default of a setting that is the same in every preset; None where a preset decides."""
    return next(field.default for field in _COMMON_FIELDS if field.name == name)


def override_fields(settings: Settings) -> list[OverrideField]:
    """Every key that run config and ``--set`` take for these settings, in a stable order."""
    fields = []
    for variant in settings.variants:
        fields.append(
            OverrideField(
                f"{variant.name}_px",
                "int",
                f"Longest side of {variant.name} in pixels, 1 to 16383. Never enlarged. "
                "Default: from the preset.",
                1,
                16_383,
            )
        )
        fields.extend(
            OverrideField(
                f"{variant.name}_{format_name}_quality",
                "int",
                f"Quality of {variant.name} as {format_name}, 1 to 100. Default: from the preset.",
                1,
                100,
            )
            for format_name in settings.formats
        )
        fields.append(
            OverrideField(
                f"{variant.name}_animation",
                "str",
                f"What {variant.name} makes of a moving picture: poster (its first frame) or keep "
                "(animated WebP and AVIF). Default: the settings file's, else poster.",
                choices=ANIMATIONS,
            )
        )
    return [*fields, *_COMMON_FIELDS]


@dataclass(frozen=True, slots=True)
class VariantNumbers:
    """A variant with its numbers.

    Attributes:
        name: The variant.
        px: Longest side, pixels.
        quality: Per format, 1 to 100 on the guide's scale.
        animation: ``poster`` or ``keep``.
    """

    name: str
    px: int
    quality: Mapping[str, int]
    animation: str = "poster"


@dataclass(frozen=True, slots=True)
class ResolvedPreset:
    """A preset with overrides applied and every value checked; independent of the machine.

    ``rules`` keeps what only a machine and a set of images can resolve (max_workers, chunk_size,
    avif_threads): a number, or the mapping the preset's YAML states.
    """

    name: str
    variants: tuple[VariantNumbers, ...]
    rules: Mapping[str, Any]
    avif_speed: int
    webp_method: int
    jpeg_coding: str
    draft_margin: float
    resize_filter: str
    background: str
    keep_display_p3: bool
    graphics: bool
    metadata: str
    accept_truncated: bool
    follow_links: bool
    quarantine_attempts: int
    chunk_bytes: int
    images_per_shard: int
    memory_budget_bytes: int | None
    image_time_limit_s: float
    max_pixels: int
    max_frames: int
    max_source_bytes: int
    keep_masters: bool
    verify: bool
    prune: bool
    prune_force: bool
    rejected_share_max: float
    lease_wait_s: float

    def variant(self, name: str) -> VariantNumbers:
        """The numbers of one variant."""
        return next(variant for variant in self.variants if variant.name == name)


@cache
def _read_yaml(name: str) -> dict[str, Any]:
    document = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)  # ours, shipped with the package
    return document


def preset_description(name: str) -> str:
    """One line that says what a preset is for."""
    return str(_read_yaml(name)["description"])


def parse_set(pairs: list[str]) -> dict[str, str]:
    """Read ``key=value`` arguments.

    Raises:
        SettingError: An argument has no ``=``, or a key comes twice.
    """
    overrides: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise SettingError(expected("key=value", pair, "--set"))
        if key in overrides:
            raise SettingError(expected("each key once", key, "--set"))
        overrides[key] = value
    return overrides


def resolve_preset(
    preset: str, settings: Settings, overrides: Mapping[str, object] | None = None
) -> ResolvedPreset:
    """Apply the settings file and overrides to a preset and check every value.

    Args:
        preset: One of `PRESET_NAMES`.
        settings: Variants and formats; numbers stated there win over the preset.
        overrides: Values by key of `override_fields`; they win over both. Text is converted;
            None means "as if not given".

    Raises:
        SettingError: An unknown preset or key, or a value outside its range.
    """
    if preset not in PRESET_NAMES:
        raise SettingError(expected(f"a preset of {', '.join(PRESET_NAMES)}", preset, "preset"))
    base = _read_yaml(preset)
    given = _check_overrides(preset, settings, overrides or {})
    priority = _read_yaml("priorities")[given["priority"]] if "priority" in given else {}

    def number(key: str) -> Any:
        return given.get(key, priority.get(key, base.get(key)))

    sources = _Sources(preset, given, priority, base)
    variants = tuple(
        _resolve_variant(variant, settings.formats, sources) for variant in settings.variants
    )
    common: dict[str, Any] = {
        field.name: given.get(field.name, field.default)
        for field in _COMMON_FIELDS
        if field.name in ResolvedPreset.__dataclass_fields__ and field.name not in _OF_PRESET
    }
    return ResolvedPreset(
        name=preset,
        variants=variants,
        rules={key: number(key) for key in ("max_workers", "chunk_size", "avif_threads")},
        **{name: number(name) for name in _OF_PRESET},
        **common,
    )


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where a variant's numbers come from, the strongest first."""

    preset: str
    given: Mapping[str, Any]
    priority: Mapping[str, Any]
    base: Mapping[str, Any]


def _resolve_variant(
    variant: VariantSetting, formats: tuple[str, ...], sources: _Sources
) -> VariantNumbers:
    """A person's override wins over the settings file, that over priority, that over preset."""
    given, priority, base = sources.given, sources.priority, sources.base
    where = f"preset {sources.preset!r}, variant {variant.name!r}"
    key = f"{variant.name}_px"
    px = _first(given.get(key), variant.numbers.get("px"), base.get(key))
    if px is None:
        raise SettingError(
            expected(
                f"px for variant {variant.name!r}, which no preset knows",
                None,
                f"settings file, [variants.{variant.name}]",
            )
        )
    _check_range(OverrideField("px", "int", "", 1, 16_383), px, where)
    quality: dict[str, int] = {}
    for name in formats:
        key = f"{variant.name}_{name}_quality"
        like = OUTPUT_FORMATS[name].quality_like or name
        quality[name] = _first(
            given.get(key),
            variant.numbers.get(f"{name}_quality"),
            priority.get(f"{like}_quality"),
            base.get(f"{variant.name}_{like}_quality"),
            base.get(f"full_{like}_quality"),
            OUTPUT_FORMATS[name].default_quality,
        )
        field = OverrideField(key, "int", "", 1, 100)
        _check_range(field, quality[name], f"{where}, format {name!r}")
    animation = given.get(f"{variant.name}_animation") or variant.animation or "poster"
    return VariantNumbers(variant.name, px, quality, animation)


def _first(*candidates: Any) -> Any:
    return next((value for value in candidates if value is not None), None)


def _like(key: str, names: Iterable[str]) -> str:
    """Settings that may have been meant, as the end of a parenthesis."""
    names = list(names)
    alike = [name for name in names if name.endswith(f"_{key}")]
    alike += [name for name in get_close_matches(key, names) if name not in alike]
    return f"; alike are {', '.join(alike)}" if alike else ""


def _check_overrides(
    preset: str, settings: Settings, overrides: Mapping[str, object]
) -> dict[str, Any]:
    fields = {field.name: field for field in override_fields(settings)}
    given: dict[str, Any] = {}
    for key, raw in overrides.items():
        if key not in fields:
            raise SettingError(
                expected("a setting that `--set help` lists", key, f"override{_like(key, fields)}")
            )
        if raw is None:
            continue
        where = f"preset {preset!r}, {key}"
        value = _convert(fields[key], raw, where)
        _check_range(fields[key], value, where)
        given[key] = value
    colour = given.get("background")
    if colour is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise SettingError(
            expected("a colour as #rrggbb", colour, f"preset {preset!r}, background")
        )
    return given


def _convert(field: OverrideField, raw: object, where: str) -> int | float | bool | str:
    try:
        if field.type == "bool":
            if isinstance(raw, bool):
                return raw
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                str(raw).strip().lower()
            ]
        if field.type == "str":
            return str(raw)
        if isinstance(raw, bool):
            raise ValueError(raw)
        if field.type == "int":
            if isinstance(raw, float) and not raw.is_integer():
                raise ValueError(raw)
            return int(str(raw)) if isinstance(raw, str) else int(raw)  # type: ignore[call-overload]
        return float(raw)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError) as error:
        names = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        raise SettingError(expected(names.get(field.type, "text"), raw, where)) from error


def _check_range(field: OverrideField, value: object, where: str) -> None:
    if field.choices is not None and value not in field.choices:
        raise SettingError(expected(f"{field.name} of {', '.join(field.choices)}", value, where))
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = field.minimum, field.maximum
        inside = (low is None or value >= low) and (high is None or value <= high)
        if not inside or value != value:
            name = "quality" if field.name.endswith("_quality") else field.name
            wanted = (
                f"{name} of at least {low:g}"
                if high is None
                else f"{name} between {low:g} and {high:g}"
            )
            raise SettingError(expected(wanted, value, where))
