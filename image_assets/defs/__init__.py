"""The Dagster side: one file per Dagster concept, each thin; the work is in `image_assets.engine`."""
