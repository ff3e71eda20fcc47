"""Jobs for tests of the modules that ask what a run is for."""

from pathlib import Path

from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings
from image_assets.engine.run.partition import PartitionJob
from image_assets.engine.storage.layout import Layout

DAY = "2015-01-02"


def make_job(
    folder: Path,
    *,
    variants: tuple[str, ...] = ("full",),
    formats: tuple[str, ...] = ("avif", "webp"),
    **overrides: object,
) -> PartitionJob:
    """Return a job on ``<folder>/source`` and ``<folder>/output``; neither is made."""
    settings = load_settings(DEFAULT_SETTINGS_PATH)
    return PartitionJob(
        source=folder / "source",
        output=folder / "output",
        partition_key=DAY,
        layout=Layout("flat", DAY),
        settings=settings,
        preset=resolve_preset("balanced", settings, overrides),
        variants=variants,
        formats=formats,
        run_id="run",
    )
