"""The tables below ``<output>/tables``: their schemas, and reading and writing them whole."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from image_assets.engine.errors import RunError
from image_assets.engine.storage.store import LocalStore

SCHEMA_VERSION: Final = 2
"""Of all tables; raised with every change of a column, together with a migration in `read`."""

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def _schema(columns: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


CATALOGUE: Final = _schema(
    [
        ("source_key", _TEXT),
        ("size_bytes", _INT),
        ("mtime_ns", _INT),
        ("status", _TEXT),
        ("reason", _TEXT),
        ("message", _TEXT),
        ("source_format", _TEXT),
        ("sha256", _TEXT),
    ]
)

_RENDITION_COLUMNS: Final[list[tuple[str, pa.DataType]]] = [
    ("source_key", _TEXT),
    ("variant", _TEXT),
    ("format", _TEXT),
    ("status", _TEXT),
    ("reason", _TEXT),
    ("message", _TEXT),
    ("source_bytes", _INT),
    ("source_sha256", _TEXT),
    ("source_mtime_ns", _INT),
    ("source_width_px", _INT),
    ("source_height_px", _INT),
    ("source_frames", _INT),
    ("recipe_digest", _TEXT),
    ("size_bytes", _INT),
    ("sha256", _TEXT),
    ("width_px", _INT),
    ("height_px", _INT),
    ("encoder", _TEXT),
    ("quality", _INT),
    ("native_quality", _INT),
    ("speed", _INT),
    ("lossless", _BOOL),
    ("frames", _INT),
    ("content", _TEXT),
    ("colour_note", _TEXT),
    ("note", _TEXT),
    ("attempts", _INT),
    ("failing_since_run", _TEXT),
    ("larger_than_source", _BOOL),
    ("placeholder", _TEXT),
    ("colour", _TEXT),
]

LEDGER: Final = _schema(_RENDITION_COLUMNS)

STAGES: Final = ("read", "decode", "colour", "resize", "encode", "write")
"""The stages of one image, in order."""

OUTCOMES: Final = _schema(
    [
        *_RENDITION_COLUMNS,
        ("resize_ms", _FLOAT),
        ("encode_ms", _FLOAT),
        ("encode_cpu_ms", _FLOAT),
        ("write_ms", _FLOAT),
        ("write_cpu_ms", _FLOAT),
    ]
)
"""One row per rendition of a run."""

SOURCES: Final = _schema(
    [
        ("source_key", _TEXT),
        ("source_bytes", _INT),
        ("source_format", _TEXT),
        ("source_mode", _TEXT),
        ("source_frames", _INT),
        ("source_width_px", _INT),
        ("source_height_px", _INT),
        ("orientation", _INT),
        ("content", _TEXT),
        ("colour_note", _TEXT),
        ("note", _TEXT),
        ("cost_bytes", _INT),
        *((f"{stage}{kind}", _FLOAT) for stage in STAGES for kind in ("_ms", "_cpu_ms")),
        ("processing_ms", _FLOAT),
        ("worker_id", _INT),
        ("worker_peak_bytes", _INT),
    ]
)
"""One timing row per source that a worker had in a run."""

VARIANTS: Final = _schema(
    [
        ("source_key", _TEXT),
        ("variant", _TEXT),
        ("width_px", _INT),
        ("height_px", _INT),
        ("resize_ms", _FLOAT),
        ("placeholder", _TEXT),
        ("colour", _TEXT),
    ]
)


class DamagedError(RunError):
    """A table cannot be read; its message names the file."""


class NewerSchemaError(RunError):
    """A newer version of this project wrote the table; nothing of it is touched."""


def to_table(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; a key that a row lacks is null, one that no column has is dropped.

    It goes through JSON because ``pa.array()`` imports pandas, where that is installed, to ask
    whether its argument is a Series: 40 MB and up to a second that no run needs.
    """
    data = "\n".join(map(json.dumps, rows)).encode()
    if not data:
        return pa.Table.from_batches([], schema=schema)
    table = pj.read_json(
        io.BytesIO(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    return table.select(schema.names).replace_schema_metadata(schema.metadata)


def write(store: LocalStore, path: str, table: pa.Table) -> None:
    """Write a table to one parquet file, whole or not at all.

    Raises:
        RunError: The machine refuses; the path is named.
    """
    with store.publishing(path) as temporary:
        # With checksums, so that flipped bits are damage and not another value.
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read one parquet file of this project.

    Args:
        path: The file.
        schema: Columns to return, in order; a column that an older version did not write is null.

    Raises:
        NewerSchemaError: A newer version wrote it.
        DamagedError: The file is damaged.
    """
    try:
        # Not read_table(): that imports pyarrow.dataset and with it pandas, a second of start-up.
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
            if not _counts_agree(file.metadata):
                raise ValueError("numbers of rows that differ")
        version = int((table.schema.metadata or {}).get(b"schema_version", b"0"))
    except (OSError, pa.ArrowException, ValueError) as error:  # ValueError: names are no text
        raise DamagedError(f"Expected a whole parquet file, received {error} ({path}).") from error
    if version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"Expected schema_version of at most {SCHEMA_VERSION}, received {version} ({path}); "
            "a newer image_assets wrote it."
        )
    if schema is None:
        return table
    lacking = [name for name in schema.names if name not in table.schema.names]
    if version == SCHEMA_VERSION and lacking:
        # The pages have checksums, the names of the columns have none.
        raise DamagedError(f"Expected a column {lacking[0]!r}, received none ({path}).")
    try:
        return _migrated(table, schema)
    except (pa.ArrowException, TypeError) as error:
        raise DamagedError(
            f"Expected the columns of this table, received {error} ({path})."
        ) from error


def _counts_agree(metadata: pq.FileMetaData) -> bool:
    """Whether all that a file says of its number of rows is the same: no checksum covers that."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    return metadata.num_rows == sum(group.num_rows for group in groups) and all(
        group.column(index).num_values == group.num_rows
        for group in groups
        for index in range(group.num_columns)
    )


def _migrated(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Versions differ by added columns only, so far."""
    columns = [
        table.column(field.name)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
