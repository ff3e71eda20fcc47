"""The assets around the compression: the catalogue before it, the statistics after it."""

import dagster as dg
from dagster import AssetExecutionContext

from image_assets.defs.config import resolve_run_config
from image_assets.defs.failures import told_in_one_sentence
from image_assets.defs.keys import (
    OWNERS,
    PERFORMANCE_STATISTICS,
    RAW_IMAGES,
    format_key,
)
from image_assets.defs.metadata import (
    CATALOGUE_COLUMNS,
    catalogue_metadata,
    performance_metadata,
    schema_metadata,
)
from image_assets.defs.partitions import BACKFILL_POLICY
from image_assets.defs.resources import LibraryResource
from image_assets.engine.library.catalogue import build_catalogue
from image_assets.engine.library.prune import refuse_missing_source
from image_assets.engine.library.quarantine import suspects_of
from image_assets.engine.planning.settings import Settings
from image_assets.engine.run.result import PartitionResult, latest_run, load_result
from image_assets.engine.run.statistics import COLUMNS

# `multi_asset` with one spec, because the `asset` decorator's backfill_policy is beta and warns
# each time a code location loads.


def raw_images_asset(
    settings: Settings, partitions_def: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """The catalogue of a day's sources."""
    spec = dg.AssetSpec(
        RAW_IMAGES,
        description=(
            "The day's photographs as they were found: one row per file with size, date and what "
            "its first bytes announce. A file that is no image is here too, with the reason. The "
            "originals are only read."
        ),
        group_name="sources",
        owners=OWNERS,
        kinds={"file", "parquet"},
        metadata=schema_metadata(CATALOGUE_COLUMNS),
    )

    @dg.multi_asset(
        name="raw_images",
        specs=[spec],
        partitions_def=partitions_def,
        backfill_policy=BACKFILL_POLICY,
    )
    def raw_images(
        context: AssetExecutionContext, library: LibraryResource
    ) -> dg.MaterializeResult[None]:
        with told_in_one_sentence():
            # All of it: a wrong number for a later step ends the run before anything is read.
            preset = resolve_run_config(context.run.run_config, settings)
            opened = library.open_library()
            root = opened.layout.partition_root(opened.source, context.partition_key)
            if preset.prune:
                refuse_missing_source(
                    opened.source, opened.output, opened.layout, context.partition_key, root
                )
            rows = build_catalogue(
                root,
                opened.output,
                context.partition_key,
                follow_links=preset.follow_links,
            )
            suspects = suspects_of(opened.output, context.partition_key, preset.quarantine_attempts)
        if root is None:
            context.log.info(f"{context.partition_key}: {opened.source} has nothing of this day.")
        path = opened.output / "tables" / "catalogue" / f"{context.partition_key}.parquet"
        return dg.MaterializeResult(metadata=catalogue_metadata(rows, root, path, suspects))

    return raw_images


def performance_statistics_asset(
    settings: Settings, partitions_def: dg.DailyPartitionsDefinition
) -> dg.AssetsDefinition:
    """The measurements of the run that last compressed a day."""
    spec = dg.AssetSpec(
        PERFORMANCE_STATISTICS,
        deps=[format_key(name) for name in settings.formats],
        description=(
            "What the run made, saved and cost: a table of format x variant and totals, the "
            "bottleneck with the setting to change, and what could not be compressed. The numbers "
            "beside the table are plotted over the days."
        ),
        group_name="statistics",
        owners=OWNERS,
        kinds={"pandas", "parquet"},
        metadata=schema_metadata(COLUMNS),
    )

    @dg.multi_asset(
        name="performance_statistics",
        specs=[spec],
        partitions_def=partitions_def,
        backfill_policy=BACKFILL_POLICY,
    )
    def performance_statistics(
        context: AssetExecutionContext, library: LibraryResource
    ) -> dg.MaterializeResult[None]:
        import pandas as pd  # here: it is a quarter of the time that loading the definitions takes

        with told_in_one_sentence():
            result = find_result(library, context.partition_key, context.run.run_id)
            preset = resolve_run_config(context.run.run_config, settings)
            suspects = suspects_of(
                library.output_path, result.partition_key, preset.quarantine_attempts
            )
        output = library.output_path
        path = output / "tables" / "performance" / result.partition_key / f"{result.run_id}.parquet"
        context.log.info(f"{result.verdict.name}: {result.verdict.sentence}")
        statistics = pd.DataFrame(result.table, columns=list(COLUMNS))
        return dg.MaterializeResult(
            metadata=performance_metadata(result, statistics, path, suspects)
        )

    return performance_statistics


def find_result(library: LibraryResource, partition_key: str, run_id: str) -> PartitionResult:
    """What this run came to; where it compressed nothing itself, what the last one did.

    Raises:
        RunError: Nothing has been compressed of this partition.
    """
    output = library.output_path
    own = output / "tables" / "performance" / partition_key / f"{run_id}.parquet"
    found = run_id if own.is_file() else latest_run(output, partition_key)
    return load_result(output, partition_key, found or run_id)
