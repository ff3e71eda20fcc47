"""Recipes: all that decides a rendition's bytes, as asked for, and the digest of it.

A recipe never holds a choice made from pixels, because the skip rule must need no decode.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from image_assets.engine.pixels.codecs import CODECS_OF_FORMAT, optional_decoders
from image_assets.engine.pixels.formats import OUTPUT_FORMATS
from image_assets.engine.planning.presets import ResolvedPreset

PIPELINE_VERSION: Final = 3
"""Raised by every change that alters the pixels or bytes of a rendition."""


def make_recipe(
    preset: ResolvedPreset, variant: str, format_name: str, codecs: Mapping[str, str]
) -> dict[str, Any]:
    """Return the recipe of one variant as one format.

    Smaller variants are resized from the larger ones, so the sizes above a variant are part of
    its recipe.

    Args:
        preset: Numbers and policy.
        variant: Name of the variant.
        format_name: Name of the format, or ``master``.
        codecs: Versions by codec, as `codec_versions` gives them.
    """
    numbers = preset.variant(variant)
    chain = sorted({v.px for v in preset.variants if v.px > numbers.px}, reverse=True)
    recipe: dict[str, Any] = {
        "pipeline_version": PIPELINE_VERSION,
        "variant": variant,
        "px": numbers.px,
        "resized_through_px": chain,
        "draft_margin": preset.draft_margin,
        "resize_filter": preset.resize_filter,
        "accept_truncated": preset.accept_truncated,
        "metadata": preset.metadata,
        "format": format_name,
        "codecs": {name: codecs.get(name) for name in CODECS_OF_FORMAT[format_name]},
    }
    if format_name != "master":
        recipe["quality"] = numbers.quality[format_name]
        recipe["graphics"] = preset.graphics
    output_format = OUTPUT_FORMATS.get(format_name)
    if output_format is None or output_format.carries_display_p3:
        recipe["keep_display_p3"] = preset.keep_display_p3
    if output_format is not None and output_format.carries_animation:
        recipe["animation"] = numbers.animation
    if output_format is not None and not output_format.carries_alpha:
        recipe["background"] = preset.background
    if output_format is not None:
        recipe.update({name: getattr(preset, name) for name in output_format.takes})
    return recipe


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """Return the first 16 hex digits of the sha256 of a recipe's canonical JSON."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def refusal_digest(digest: str, preset: ResolvedPreset) -> str:
    """Return the digest under which a rejection is remembered: recipe, limits and decoders.

    A raised limit, another recipe or a newly installed decoder makes the source worth another look.
    """
    limits = {
        "recipe": digest,
        "decoders": optional_decoders(),
        "max_pixels": preset.max_pixels,
        "max_frames": preset.max_frames,
        "max_source_bytes": preset.max_source_bytes,
    }
    return recipe_digest(limits)


def attempt_digest(digest: str, preset: ResolvedPreset) -> str:
    """Return the digest under which attempts at an image that ends its worker are counted.

    Another encoder or setting, more time or more memory makes it worth another attempt.
    """
    limits = {
        "recipe": digest,
        "decoders": optional_decoders(),
        "image_time_limit_s": preset.image_time_limit_s,
        "memory_budget_bytes": preset.memory_budget_bytes,
        # No part of the recipe, for bytes do not depend on it; whether an encoder hangs may.
        "avif_threads": preset.rules["avif_threads"],
    }
    return recipe_digest(limits)
