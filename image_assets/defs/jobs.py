"""Jobs: what is launched by name."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import dagster as dg

NightlyJob: TypeAlias = Any  # Dagster's name for it, UnresolvedAssetJobDefinition, is private


def nightly_job(keys: Sequence[dg.AssetKey]) -> NightlyJob:
    """All assets of one day, and the checks on them."""
    return dg.define_asset_job(
        "nightly_compression",
        selection=dg.AssetSelection.assets(*keys),
        description=(
            "Makes everything for one day: catalogue, renditions, statistics, checks. Only what "
            "is missing, failed or was made with other settings is made. Run config to paste: "
            "ops: {compress: {config: {preset: quality}}}"
        ),
        # A step costs 0.07 s here, 2 to 4 s in a process of its own; the engine's workers are
        # processes already.
        executor_def=dg.in_process_executor,
    )
