"""Metadata: how the engine's rows become tables and plots in the UI."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.library.quarantine import Suspect
from image_assets.engine.run.partition import PartitionJob
from image_assets.engine.run.result import PartitionResult, first_rows
from image_assets.engine.run.statistics import ALL, COLUMNS
from image_assets.engine.source_key import printable
from image_assets.engine.storage import tables

if TYPE_CHECKING:
    import pandas as pd

# 10,000 rows make a run 1.8 s longer and put 1.3 MB into the event log; all rows are in parquet.
MAX_TABLE_ROWS: Final = 200
MAX_TABLE_BYTES: Final = 100_000

# Every quantity has one name in code, tables and UI, so one description serves every table.
_TYPES_AND_DESCRIPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    **COLUMNS,
    "source_key": ("string", "Path of the source below its partition."),
    "status": (
        "string",
        "found, rejected or failed; of renditions written, skipped, rejected or failed.",
    ),
    "reason": ("string", "Why it was rejected or failed, from a closed list."),
    "message": ("string", "The same in one sentence."),
    "attempts": ("int", "Runs in a row that tried it in vain."),
    "since_run": ("string", "The first of those runs."),
    "mtime_ns": ("int", "Modification time of the source, nanoseconds since 1970."),
    "source_format": ("string", "Format that the first bytes of the source announce."),
    "size_bytes": ("int", "Size of the file, bytes."),
    "width_px": ("int", "Width, upright, pixels."),
    "height_px": ("int", "Height, upright, pixels."),
    "encoder": ("string", "Encoder that made it."),
    "quality": ("int", "Quality as asked for, 1 to 100."),
    "native_quality": ("int", "Quality on the encoder's own scale."),
    "placeholder": ("string", "BlurHash to show until the picture has loaded."),
    "colour": ("string", "Mean colour, #rrggbb."),
    "resize_ms": ("float", "Resizing, milliseconds; empty where it was current already."),
    "encode_ms": ("float", "Encoding, milliseconds; empty where it was current already."),
}

CATALOGUE_COLUMNS: Final = (
    "source_key",
    "size_bytes",
    "mtime_ns",
    "status",
    "source_format",
    "reason",
    "message",
)
VARIANT_COLUMNS: Final = (
    "source_key",
    "width_px",
    "height_px",
    "resize_ms",
    "placeholder",
    "colour",
)
RENDITION_COLUMNS: Final = (
    "source_key",
    "variant",
    "status",
    "size_bytes",
    "width_px",
    "height_px",
    "encoder",
    "quality",
    "native_quality",
    "encode_ms",
)
REJECTED_COLUMNS: Final = ("source_key", "status", "reason", "message")
QUARANTINE_COLUMNS: Final = ("source_key", "reason", "attempts", "since_run", "message")


def table_column(name: str) -> dg.TableColumn:
    """The column of a quantity, with its type and unit."""
    column_type, description = _TYPES_AND_DESCRIPTIONS[name]
    return dg.TableColumn(name, column_type, description)


def table_schema(names: Iterable[str]) -> dg.TableSchema:
    """The schema of a table of these columns."""
    return dg.TableSchema([table_column(name) for name in names])


def schema_metadata(names: Iterable[str]) -> dict[str, Any]:
    """The definition metadata of an asset that holds a table of these columns."""
    return {"dagster/column_schema": table_schema(names)}


def table_metadata(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dg.TableMetadataValue:
    """Rows as table metadata with a schema, cut to `MAX_TABLE_ROWS` and `MAX_TABLE_BYTES`."""
    records: list[dg.TableRecord] = []
    room = MAX_TABLE_BYTES
    for row in rows[:MAX_TABLE_ROWS]:
        cells = {name: _cell(row.get(name)) for name in names}
        room -= len(json.dumps(cells))
        if room < 0:
            break
        records.append(dg.TableRecord(cells))
    return dg.MetadataValue.table(records, table_schema(names))


def catalogue_metadata(
    rows: Sequence[CatalogueRow], root: Path | None, path: Path, quarantined: Sequence[Suspect]
) -> dict[str, Any]:
    """What the catalogue asset shows: bad sources first, for they are what somebody looks for."""
    bad = [row for row in rows if row.status != "found"]
    good = (row for row in rows if row.status == "found")
    shown = [asdict(row) for row in islice(chain(bad, good), MAX_TABLE_ROWS)]
    return {
        "dagster/row_count": len(rows),
        "sources": table_metadata(shown, CATALOGUE_COLUMNS),
        "source_bytes": sum(row.size_bytes for row in rows),
        "rejected": sum(1 for row in bad if row.status == "rejected"),
        "failed": sum(1 for row in bad if row.status == "failed"),
        "quarantine": quarantine_metadata(quarantined),
        "source_folder": _path_or_none(root),
        "table": dg.MetadataValue.path(path),
    }


def quarantine_metadata(suspects: Sequence[Suspect]) -> dg.TableMetadataValue:
    """Who is held in quarantine, and why."""
    held = [asdict(suspect) for suspect in suspects if suspect.held]
    return table_metadata(held, QUARANTINE_COLUMNS)


def variant_metadata(job: PartitionJob, variant: str) -> dict[str, Any]:
    """What a size's asset shows."""
    path = job.output / "tables" / "variants" / f"{job.partition_key}.parquet"
    table = tables.read(path)
    names = table.column("variant").to_pylist()
    places = [place for place, name in enumerate(names) if name == variant]
    shown = tables.take(table, places[:MAX_TABLE_ROWS]).to_pylist()
    return {
        "dagster/row_count": len(places),
        "variants": table_metadata(shown, VARIANT_COLUMNS),
        "longest_side_px": job.preset.variant(variant).px,
        "table": dg.MetadataValue.path(path),
    }


def format_metadata(job: PartitionJob, result: PartitionResult, name: str) -> dict[str, Any]:
    """What a format's asset shows: its line of the performance table, its renditions, its files."""
    count, shown = first_rows(
        job.output, job.partition_key, job.run_id, name, RENDITION_COLUMNS, MAX_TABLE_ROWS
    )
    return {
        "dagster/row_count": count,
        "renditions": table_metadata(shown, RENDITION_COLUMNS),
        **_scalars(format_row(result, name)),
        "files": dg.MetadataValue.path(result.renditions_path),
        "table": dg.MetadataValue.path(result.outcomes_path),
    }


def performance_metadata(
    result: PartitionResult,
    statistics: "pd.DataFrame",
    path: Path,
    quarantined: Sequence[Suspect],
) -> dict[str, Any]:
    """What ``performance_statistics`` shows; Dagster plots its numbers over partitions."""
    table: list[dict[str, Any]] = [
        {str(name): value for name, value in row.items()}
        for row in statistics.to_dict(orient="records")
    ]
    bad = [asdict(source) for source in result.not_compressed]
    scalars = {
        **asdict(result.counts),
        "renditions": result.renditions,
        "source_bytes": result.source_bytes,
        "output_bytes": result.output_bytes,
        "saved_bytes": result.saved_bytes,
        "saved_pct": result.saved_pct,
        "elapsed_s": result.elapsed_s,
        "cpu_s": result.cpu_s,
        "images_per_s": result.images_per_s,
        "peak_memory_bytes": result.peak_memory_bytes,
        "base_memory_bytes": result.base_memory_bytes,
        "growth_memory_bytes": result.growth_memory_bytes,
        "cpu_utilisation_pct": result.cpu_utilisation_pct,
        "read_mb_per_s": result.read_mb_per_s,
        "write_mb_per_s": result.write_mb_per_s,
        "open_files": result.open_files,
        "workers": result.workers,
        "rejected_share": result.rejected_share,
    }
    verdict = result.verdict
    change = f" To change it: {verdict.setting}." if verdict.setting else ""
    return {
        "performance": table_metadata(table, tuple(COLUMNS)),
        "verdict": f"{verdict.name}: {verdict.sentence}{change}",
        "not_compressed": table_metadata(bad, REJECTED_COLUMNS),
        "quarantine": quarantine_metadata(quarantined),
        **_scalars(scalars),
        "orphans": len(result.orphans),
        "preset": result.preset,
        "machine": result.machine,
        "plan": dg.MetadataValue.json(result.plan),
        "stages_s": dg.MetadataValue.json(result.stages_s),
        "dagster/row_count": len(table),
        "table": dg.MetadataValue.path(path),
        "rows": dg.MetadataValue.path(result.outcomes_path),
        "files": dg.MetadataValue.path(result.renditions_path),
    }


def format_row(result: PartitionResult, name: str) -> dict[str, Any]:
    """A format's line of the performance table, over all sizes; empty where it has none."""
    return next(
        (row for row in result.table if row["format"] == name and row["variant"] == ALL), {}
    )


def _scalars(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that Dagster can plot; what was not measured is left out, for it plots no gaps."""
    cells = ((name, _cell(value)) for name, value in values.items())
    return {
        name: cell
        for name, cell in cells
        if isinstance(cell, int | float) and not isinstance(cell, bool)
    }


def _path_or_none(path: Path | None) -> Any:
    return dg.MetadataValue.null() if path is None else dg.MetadataValue.path(path)


def _cell(value: object) -> str | int | float | bool | None:
    if isinstance(value, str):
        return printable(value)  # a name turns nothing around in a browser either
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # NaN is no JSON; a tenth of a millisecond is finer than anything measured here.
        return None if value != value else round(value, 4)
    return str(value)
