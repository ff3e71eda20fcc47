"""Metadata: how the engine's rows become tables and plots in the UI."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import dagster as dg

# 10,000 rows make a run take 1.8 s longer and put 1.3 MB into the event log; the rest is in parquet.
MAX_TABLE_ROWS: Final = 200
MAX_TABLE_BYTES: Final = 100_000

# Every quantity has one name in code, tables and UI, so one description serves every table.
_TYPES_AND_DESCRIPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "source_key": ("string", "Path of the source below its partition."),
    "variant": ("string", "Named size; 'all' in totals."),
    "format": ("string", "Format of the file; 'all' in totals."),
    "status": ("string", "written, skipped (current already), rejected or failed; found in catalogues."),
    "reason": ("string", "Why it was rejected or failed, from a closed list."),
    "message": ("string", "The same in one sentence."),
    "mtime_ns": ("int", "Modification time of the source, nanoseconds since 1970."),
    "source_bytes": ("int", "Size of the source file, bytes."),
    "source_width_px": ("int", "Width of the source, upright, pixels."),
    "source_height_px": ("int", "Height of the source, upright, pixels."),
    "source_sha256": ("string", "SHA-256 of the source file."),
    "size_bytes": ("int", "Size of the file, bytes."),
    "output_bytes": ("int", "Size of all renditions in this row, bytes."),
    "width_px": ("int", "Width, pixels."),
    "height_px": ("int", "Height, pixels."),
    "encoder": ("string", "Encoder and its version."),
    "quality": ("int", "Quality as asked for, 1 to 100."),
    "native_quality": ("int", "Quality on the encoder's own scale."),
    "speed": ("int", "Speed on the encoder's own scale."),
    "larger_than_source": ("bool", "Whether the rendition is larger than its source."),
    "worker_id": ("int", "Process id of the worker."),
    "worker_peak_bytes": ("int", "Peak resident memory of the worker so far, bytes."),
    "recipe_digest": ("string", "Hash of all that decides the rendition's bytes."),
    "placeholder": ("string", "BlurHash to show until the picture has loaded."),
    "colour": ("string", "Mean colour, #rrggbb."),
    "read_ms": ("float", "Reading the source, ms."),
    "decode_ms": ("float", "Decoding, ms."),
    "colour_ms": ("float", "Conversion to sRGB, ms."),
    "resize_ms": ("float", "Resizing, ms."),
    "encode_ms": ("float", "Encoding, ms."),
    "write_ms": ("float", "Writing and syncing, ms."),
    "processing_ms": ("float", "The whole image from read to write, ms."),
    "images": ("int", "Number of source images."),
    "written": ("int", "Renditions made in this run."),
    "skipped": ("int", "Renditions that were current already."),
    "rejected": ("int", "Sources that cannot be compressed."),
    "failed": ("int", "Sources that failed by accident; the next run tries again."),
    "images_per_s": ("float", "Images per second."),
    "mean_processing_ms": ("float", "Mean time per image, ms."),
    "p95_processing_ms": ("float", "Time per image that 95 % stay below, ms."),
    "compression_ratio": ("float", "Output bytes over source bytes."),
    "saved_bytes": ("int", "Source bytes less output bytes."),
    "saved_pct": ("float", "Saved bytes in per cent of source bytes."),
    "peak_memory_bytes": ("int", "Peak memory of all processes of the run together, bytes."),
    "elapsed_s": ("float", "Wall time, s."),
    "run_id": ("string", "Dagster run that made the row."),
    "partition_key": ("string", "Day, YYYY-MM-DD."),
    "schema_version": ("int", "Version of the table's schema."),
}
_CPU_SUFFIX: Final = "_cpu_ms"

CATALOGUE_COLUMNS: Final = ("source_key", "size_bytes", "mtime_ns", "status", "format", "reason", "message")
VARIANT_COLUMNS: Final = ("source_key", "width_px", "height_px", "resize_ms", "placeholder", "colour")
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


def table_column(name: str, value: object = None) -> dg.TableColumn:
    """The column of a quantity, with its type and unit."""
    if name in _TYPES_AND_DESCRIPTIONS:
        column_type, description = _TYPES_AND_DESCRIPTIONS[name]
        return dg.TableColumn(name, column_type, description)
    if name.endswith(_CPU_SUFFIX):
        stage = name.removesuffix(_CPU_SUFFIX)
        return dg.TableColumn(name, "float", f"CPU time of {stage}, ms.")
    return dg.TableColumn(name, type(value).__name__ if value is not None else "string")


def table_schema(names: Iterable[str]) -> dg.TableSchema:
    """The schema of a table of these columns."""
    return dg.TableSchema([table_column(name) for name in names])


def table_metadata(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None
) -> dg.TableMetadataValue:
    """Rows as table metadata with a schema, cut to `MAX_TABLE_ROWS` and `MAX_TABLE_BYTES`.

    Args:
        rows: Plain rows.
        names: The columns to show, in order; default is those of the first row.
    """
    first = rows[0] if rows else {}
    names = tuple(first) if names is None else names
    records: list[dg.TableRecord] = []
    room = MAX_TABLE_BYTES
    for row in rows[:MAX_TABLE_ROWS]:
        cells = {name: _cell(row.get(name)) for name in names}
        room -= len(json.dumps(cells))
        if room < 0:
            break
        records.append(dg.TableRecord(cells))
    return dg.MetadataValue.table(
        records, dg.TableSchema([table_column(name, first.get(name)) for name in names])
    )


def _cell(value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        # NaN is no JSON; a tenth of a millisecond is finer than anything measured here.
        return None if value != value else round(value, 4)
    return str(value)
