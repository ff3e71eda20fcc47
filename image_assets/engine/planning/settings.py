"""The settings file: which variants and formats exist. Their names become assets."""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.pixels.formats import OUTPUT_FORMATS

DEFAULT_SETTINGS_PATH = Path(__file__).parents[2] / "image_assets.toml"
SETTINGS_VARIABLE = "IMAGE_ASSETS_SETTINGS"
OUTPUT_VARIABLE = "IMAGE_ASSETS_OUTPUT"

ANIMATIONS: Final = ("poster", "keep")
"""What becomes of a moving picture: its first frame, or an animation where the format has them."""

# Dagster op and asset names allow no more.
_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")


@dataclass(frozen=True, slots=True)
class VariantSetting:
    """A named size, with the numbers that the settings file fixes for it.

    Attributes:
        name: The variant's name.
        numbers: ``px`` and ``<format>_quality`` where the file states them.
        animation: ``poster`` or ``keep`` where the file states it.
    """

    name: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    animation: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What is made of every source."""

    variants: tuple[VariantSetting, ...]
    formats: tuple[str, ...]

    @property
    def variant_names(self) -> tuple[str, ...]:
        """The variants' names in the file's order."""
        return tuple(variant.name for variant in self.variants)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings file.

    Args:
        path: The file; default is what ``IMAGE_ASSETS_SETTINGS`` names, else the packaged one
            (thumbnail and full, as AVIF, WebP and JPEG).

    Raises:
        SettingError: The file is missing, is not TOML, or says something unknown.
    """
    named = os.environ.get(SETTINGS_VARIABLE)
    path = path or (Path(named) if named else DEFAULT_SETTINGS_PATH)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            expected("a readable settings file", str(path), error.strerror or "settings")
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(expected("valid TOML", str(error), f"settings file {path}")) from error
    return _parse(document, f"settings file {path.name}")


def _parse(document: dict[str, Any], where: str) -> Settings:
    for key in document:
        if key not in ("formats", "variants"):
            raise SettingError(expected("only 'formats' and 'variants'", key, where))
    formats = document.get("formats")
    known = ", ".join(OUTPUT_FORMATS)
    if not isinstance(formats, list) or not formats or len(set(map(str, formats))) != len(formats):
        raise SettingError(expected(f"a list of different formats of {known}", formats, where))
    for name in formats:
        if not isinstance(name, str) or name not in OUTPUT_FORMATS:
            raise SettingError(expected(f"a format of {known}", name, f"{where}, formats"))
    variants = document.get("variants")
    if not isinstance(variants, dict) or not variants:
        raise SettingError(expected("at least one [variants.<name>] table", variants, where))
    return Settings(
        variants=tuple(_parse_variant(name, table, where) for name, table in variants.items()),
        formats=tuple(formats),
    )


def _parse_variant(name: str, table: object, where: str) -> VariantSetting:
    place = f"{where}, [variants.{name}]"
    if not _NAME.match(name):
        raise SettingError(
            expected("a name of lower-case letters, digits and underscores", name, place)
        )
    if not isinstance(table, dict):
        raise SettingError(expected("a table", table, place))
    numbers: dict[str, int] = {}
    animation: str | None = None
    known = ("px", "animation", *(f"{format_name}_quality" for format_name in OUTPUT_FORMATS))
    for key, value in table.items():
        if key not in known:
            raise SettingError(expected(f"a key of {', '.join(known)}", key, place))
        if key == "animation":
            if value not in ANIMATIONS:
                choices = " or ".join(ANIMATIONS)
                raise SettingError(expected(choices, value, f"{place}, animation"))
            animation = str(value)
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise SettingError(expected("a whole number", value, f"{place}, {key}"))
        numbers[key] = value
    return VariantSetting(name, numbers, animation)
