"""Everything that Dagster loads, put together; what the parts are is in `image_assets.defs`."""

import dagster as dg

from image_assets.defs.assets import performance_statistics_asset, raw_images_asset
from image_assets.defs.checks import performance_checks
from image_assets.defs.compress import compress_asset
from image_assets.defs.jobs import nightly_job
from image_assets.defs.loggers import console_logger
from image_assets.defs.partitions import daily_partitions
from image_assets.defs.resources import LibraryResource, shard_handover
from image_assets.defs.schedules import nightly_schedule
from image_assets.engine.planning.settings import Settings, load_settings


def build_definitions(settings: Settings, library: LibraryResource) -> dg.Definitions:
    """Put the definitions together.

    Args:
        settings: Names variants and formats, which become assets.
        library: Where originals and results are.
    """
    partitions_def = daily_partitions()
    assets = [
        raw_images_asset(settings, partitions_def),
        compress_asset(settings, partitions_def),
        performance_statistics_asset(settings, partitions_def),
    ]
    job = nightly_job([key for asset in assets for key in asset.keys])
    return dg.Definitions(
        assets=assets,
        asset_checks=[performance_checks(settings)],
        jobs=[job],
        schedules=[nightly_schedule(job)],
        resources={"library": library, "io_manager": shard_handover},
        loggers={"console": console_logger},
        # Also what "Materialize" in the UI uses; see `image_assets.defs.jobs`.
        executor=dg.in_process_executor,
    )


defs = build_definitions(load_settings(), LibraryResource.from_environment())
