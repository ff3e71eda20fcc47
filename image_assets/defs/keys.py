"""Asset keys, owners and tags: what assets and checks are called."""

from typing import Final

import dagster as dg

RAW_IMAGES: Final = dg.AssetKey("raw_images")
PERFORMANCE_STATISTICS: Final = dg.AssetKey("performance_statistics")
OWNERS: Final = ["team:media"]


def variant_key(variant: str) -> dg.AssetKey:
    """The asset of a variant."""
    return dg.AssetKey(["size_variants", variant])


def format_key(format_name: str) -> dg.AssetKey:
    """The asset of a format."""
    return dg.AssetKey(["compressed", format_name])


def kind_tags(*kinds: str) -> dict[str, str]:
    """The badges of an asset in the UI; `dagster.AssetSpec` has them as ``kinds``."""
    return {f"dagster/kind/{kind}": "" for kind in kinds}
