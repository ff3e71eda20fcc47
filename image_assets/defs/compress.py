"""The compression: one graph of three ops behind many assets.

``resolve_plan`` decides, ``compress_shard`` works, ``publish`` records. Every size and format of an
image comes from one decode, which is why these assets are made together; any subset of them can
be selected, and nothing else is then written.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import dagster as dg
from dagster import OpExecutionContext

from image_assets.defs import partitions
from image_assets.defs.config import COMPRESS, compress_config, config_fields, resolve_config
from image_assets.defs.failures import told_in_one_sentence
from image_assets.defs.metadata import (
    RENDITION_COLUMNS,
    VARIANT_COLUMNS,
    table_metadata,
    table_schema,
)
from image_assets.defs.progress import log_progress
from image_assets.defs.resources import LibraryResource
from image_assets.engine.codecs import CODECS_OF_FORMAT, codec_versions
from image_assets.engine.formats import OUTPUT_FORMATS
from image_assets.engine.recipe import PIPELINE_VERSION
from image_assets.engine.settings import Settings

RAW_IMAGES: Final = dg.AssetKey("raw_images")
OWNERS: Final = ["team:media"]


def variant_key(variant: str) -> dg.AssetKey:
    """The asset of a variant."""
    return dg.AssetKey(["size_variants", variant])


def format_key(format_name: str) -> dg.AssetKey:
    """The asset of a format."""
    return dg.AssetKey(["compressed", format_name])


def output_name(key: dg.AssetKey) -> str:
    """The op output of an asset; Dagster allows no slash there."""
    return "__".join(key.path)
