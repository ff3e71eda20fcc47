"""The tables below ``<output>/tables``: their schemas, and reading and writing them.

Small ones are read and written whole. What grows with the number of images goes row group by row
group, so that memory does not grow with it: `TableWriter`, `TableFile`.
"""

import contextlib
import io
import json
import os
import struct
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq

from image_assets.engine.errors import RunError
from image_assets.engine.storage.store import LocalStore

SCHEMA_VERSION: Final = 2
"""Of all tables; raised with every change of a column, together with a migration in `read`."""

ROWS_PER_GROUP: Final = 5_000
"""Rows of a row group at most: 2 MB of outcome rows in memory, and 2 ms to read one."""

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

STATUS: Final = _schema([("status", _TEXT)])
"""One column of the same, on its way there."""

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

_WRITE: Final[dict[str, Any]] = {
    "compression": "zstd",
    # So that flipped bits are damage and not another value.
    "write_page_checksum": True,
}
# Rows are turned into a table so many at once: a hundred dictionaries cost 0.2 MB.
_ROWS_AT_ONCE: Final = 1_000

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
    data = "\n".join(map(_encode_row, rows)).encode()
    if not data:
        return pa.Table.from_batches([], schema=schema)
    table = pj.read_json(
        io.BytesIO(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
    return table.select(schema.names).replace_schema_metadata(schema.metadata)


def take(table: pa.Table, places: Sequence[int]) -> pa.Table:
    """Return some rows of a table, in the order given; without pandas, as `to_table`."""
    data = pa.py_buffer(array("q", places))
    return table.take(pa.Array.from_buffers(pa.int64(), len(places), [None, data]))


_encode_row = json.JSONEncoder().encode


def write(store: LocalStore, path: str, table: pa.Table) -> None:
    """Write a table to one parquet file, whole or not at all.

    Raises:
        RunError: The machine refuses; the path is named.
    """
    with store.publishing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROWS_PER_GROUP, **_WRITE)
        _seal(temporary)


class TableWriter:
    """Writes rows to one parquet file as they come; it appears whole, when it is closed.

    Holds at most a row group in memory, and makes no file before there is one.

    Args:
        store: Where.
        path: The file below it.
        schema: Of the table.

    Raises:
        RunError: From every method: the machine refuses; the path is named.
    """

    def __init__(self, store: LocalStore, path: str, schema: pa.Schema) -> None:
        self._store, self._path, self._schema = store, path, schema
        self._held: list[pa.Table] = []
        self._rows: list[dict[str, Any]] = []
        self._count = 0
        self._writer: pq.ParquetWriter | None = None
        self._file = contextlib.ExitStack()
        self._over = False

    def add_row(self, row: dict[str, Any]) -> None:
        """Append a row, as `to_table` takes it."""
        self._rows.append(row)
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._take_rows()

    def add(self, table: pa.Table) -> None:
        """Append a table of the same schema."""
        self._take_rows()
        self._append(table)

    def _take_rows(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._append(to_table(rows, self._schema))

    def _append(self, table: pa.Table) -> None:
        self._held.append(table)
        self._count += table.num_rows
        if self._count >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._over:  # a part of its rows is gone: none of it is wanted
            return
        try:
            if self._writer is None:
                self._temporary = self._file.enter_context(self._store.publishing(self._path))
                self._writer = pq.ParquetWriter(self._temporary, self._schema, **_WRITE)
            if self._count:
                whole = pa.concat_tables(self._held)
                self._writer.write_table(whole, row_group_size=ROWS_PER_GROUP)
            self._held, self._count = [], 0
        except BaseException as error:
            self._drop(error)
            raise

    def close(self) -> None:
        """Write what is held and let the file appear."""
        self._take_rows()
        self._flush()
        if self._over or self._writer is None:
            return
        try:
            self._writer.close()
            _seal(self._temporary)
        except BaseException as error:
            self._drop(error)
            raise
        self._over = True
        self._file.close()

    def discard(self) -> None:
        """Leave no file; nothing happens after `close`."""
        self._drop(GeneratorExit())

    def _drop(self, error: BaseException) -> None:
        """Let go of the file, which words an error of the machine."""
        self._over = True
        if self._writer is not None:
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._writer = None
        self._held, self._rows, self._count = [], [], 0
        self._file.__exit__(type(error), error, error.__traceback__)


# Parquet checks its pages and not its footer, which says where they are and how many rows there
# should be; pyarrow aborts the process where it looks at some damaged ones. So ours have a checksum
# before the footer, where other readers do not look.
_SEAL: Final = struct.Struct("<8sI")
_SEAL_NAME: Final = b"IAfooter"
_FOOTER_END: Final = struct.Struct("<I4s")


def _seal(path: str) -> None:
    """Put a checksum of its footer into a parquet file."""
    with open(path, "r+b") as file:
        begin, footer = _footer(file)
        file.seek(begin)
        file.write(_SEAL.pack(_SEAL_NAME, zlib.crc32(footer)) + footer)


def _is_sealed(path: Path) -> bool:
    """Tell whether a parquet file has a checksum of its footer.

    Raises:
        OSError: It cannot be read.
        ValueError: It has another footer than it was written with.
    """
    with open(path, "rb") as file:
        try:
            begin, footer = _footer(file)
            file.seek(begin - _SEAL.size)
            name, checksum = _SEAL.unpack(file.read(_SEAL.size))
        except (OSError, struct.error):
            return False  # no parquet file, or not ours; whoever reads all of it says so
    if name == _SEAL_NAME and checksum != zlib.crc32(footer):
        raise ValueError("another footer than was written")
    return bool(name == _SEAL_NAME)


def _footer(file: BinaryIO) -> tuple[int, bytes]:
    """Return where the footer of a parquet file begins, and its bytes to the end."""
    file.seek(-_FOOTER_END.size, os.SEEK_END)
    length, _ = _FOOTER_END.unpack(file.read(_FOOTER_END.size))
    begin = file.seek(-_FOOTER_END.size - length, os.SEEK_END)
    return begin, file.read()


def read(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read one parquet file of this project.

    Args:
        path: The file.
        schema: Columns to return, in order; a column that an older version did not write is null.

    Raises:
        NewerSchemaError: A newer version wrote it.
        DamagedError: The file is damaged.
    """
    with TableFile(path, schema) as file:
        return file.read()


class TableFile:
    """One parquet file of this project, to be read in part; a context manager.

    Args:
        path: The file.
        schema: Columns to return, in order; a column that an older version did not write is null.

    Raises:
        NewerSchemaError: A newer version wrote it.
        DamagedError: The file is damaged; of its rows only what is read is looked at.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self.path = path
        with self._damage():
            sealed = _is_sealed(path)
            # Not read_table(): that imports pyarrow.dataset and with it pandas, a second of
            # start-up.
            file = self._open(path)
        try:
            with self._damage():
                if not sealed:
                    file.read()  # an older file: what it says of itself is tried first
                self.metadata = file.metadata
                self.names = file.schema_arrow.names
                version = int((file.schema_arrow.metadata or {}).get(b"schema_version", b"0"))
                if not sealed and not _counts_agree(self.metadata):
                    raise ValueError("numbers of rows that differ")
            if version > SCHEMA_VERSION:
                raise NewerSchemaError(
                    f"Expected schema_version of at most {SCHEMA_VERSION}, received {version} "
                    f"({path}); a newer image_assets wrote it."
                )
            lacking = [n for n in schema.names if n not in self.names] if schema else []
            if version == SCHEMA_VERSION and lacking:
                # The pages have checksums, the names of the columns have none.
                raise DamagedError(f"Expected a column {lacking[0]!r}, received none ({path}).")
        except BaseException:
            file.close()
            raise
        self._schema = schema
        self._file: pq.ParquetFile | None = file

    def __enter__(self) -> "TableFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; reading opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def num_rows(self) -> int:
        """Rows of the whole file."""
        return int(self.metadata.num_rows)

    def read(
        self, groups: Sequence[int] | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return rows of some row groups, or of all; columns in the schema's order.

        Raises:
            DamagedError: They are damaged.
        """
        with self._damage():
            if self._file is None:
                self._file = self._open(self.path, self.metadata)
            names = None if columns is None else [n for n in columns if n in self.names]
            if groups is None:
                table = self._file.read(names)
            else:
                table = self._file.read_row_groups(groups, names)
        if self._schema is None:
            return table
        wanted = self._schema
        if columns is not None:
            wanted = pa.schema([wanted.field(n) for n in columns], metadata=wanted.metadata)
        try:
            return widen(table, wanted)
        except (pa.ArrowException, TypeError) as error:
            raise DamagedError(
                f"Expected the columns of this table, received {error} ({self.path})."
            ) from error

    def groups(self, start: int, stop: int) -> tuple[list[int], int]:
        """Return the row groups that hold rows ``start`` to ``stop``, and the row they begin at."""
        found: list[int] = []
        first = begin = 0
        for index in range(self.metadata.num_row_groups):
            end = begin + self.metadata.row_group(index).num_rows
            if begin < stop and end > start:
                first = first if found else begin
                found.append(index)
            begin = end
        return found, first

    def ranges(self, column: str) -> list[tuple[str, str] | None]:
        """Return the smallest and largest text of a column by row group, None where not known."""
        if column not in self.names:
            return [None] * self.metadata.num_row_groups
        place = self.names.index(column)
        return [
            (str(s.min), str(s.max)) if s is not None and s.has_min_max else None
            for s in (
                self.metadata.row_group(index).column(place).statistics
                for index in range(self.metadata.num_row_groups)
            )
        ]

    @staticmethod
    def _open(path: Path, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        return pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException, ValueError) as error:  # ValueError: names are no text
            raise DamagedError(
                f"Expected a whole parquet file, received {error} ({self.path})."
            ) from error


def _counts_agree(metadata: pq.FileMetaData) -> bool:
    """Whether all that a file says of its number of rows is the same: no checksum covers that."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    return metadata.num_rows == sum(group.num_rows for group in groups) and all(
        group.column(index).num_values == group.num_rows
        for group in groups
        for index in range(group.num_columns)
    )


def widen(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema, null where it lacks them.

    Versions differ by added columns only, so far.
    """
    columns = [
        table.column(field.name)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
