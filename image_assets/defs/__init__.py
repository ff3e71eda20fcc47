"""The Dagster side: thin, one file per concept; the work is in `image_assets.engine`."""
