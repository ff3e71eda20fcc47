import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.engine.errors import RunError
from image_assets.engine.storage import tables
from image_assets.engine.storage.store import LocalStore

REPOSITORY = Path(__file__).parents[3]
SCHEMAS = {
    name: getattr(tables, name)
    for name in ("CATALOGUE", "LEDGER", "OUTCOMES", "SOURCES", "VARIANTS")
}


def values_of(type_: pa.DataType) -> st.SearchStrategy[Any]:
    if type_ == pa.string():
        return st.text()
    if type_ == pa.int64():
        return st.integers(-(2**63), 2**63 - 1)
    if type_ == pa.float64():
        return st.floats(allow_nan=False, allow_infinity=False)
    assert type_ == pa.bool_()
    return st.booleans()


def rows_of(schema: pa.Schema) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = st.fixed_dictionaries(
        {}, optional={field.name: st.none() | values_of(field.type) for field in schema}
    )
    return st.lists(row, max_size=4)


@settings(max_examples=25)  # every table is written and flushed to the disk
@given(st.data(), st.sampled_from(sorted(SCHEMAS)))
def test_rows_come_back_whatever_they_hold(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str
) -> None:
    schema = SCHEMAS[name]
    rows = data.draw(rows_of(schema))
    folder = tmp_path_factory.mktemp("tables")
    tables.write(LocalStore(folder), "a/table.parquet", tables.to_table(rows, schema))
    read = tables.read(folder / "a/table.parquet")
    assert read.schema.equals(schema, check_metadata=True)
    assert read.to_pylist() == [
        {column: row.get(column) for column in schema.names} for row in rows
    ]


def test_what_no_column_has_is_dropped() -> None:
    table = tables.to_table([{"source_key": "a", "pixels": [[1]], "x": {}}], tables.CATALOGUE)
    assert table.schema.names == tables.CATALOGUE.names
    assert table.column("source_key").to_pylist() == ["a"]


def test_a_value_of_another_type_is_an_error_not_a_null() -> None:
    with pytest.raises(pa.ArrowInvalid):
        tables.to_table([{"size_bytes": "many"}], tables.CATALOGUE)


def test_text_that_looks_like_a_date_stays_text() -> None:
    table = tables.to_table([{"source_key": "2015-01-02 00:00:00"}], tables.CATALOGUE)
    assert table.column("source_key").to_pylist() == ["2015-01-02 00:00:00"]


def test_many_rows_are_one_table() -> None:
    table = tables.to_table(({"source_key": str(n)} for n in range(5_000)), tables.CATALOGUE)
    assert table.column("source_key").to_pylist() == [str(n) for n in range(5_000)]


def test_every_table_carries_its_schema_version() -> None:
    for schema in SCHEMAS.values():
        version = tables.to_table([], schema).schema.metadata[b"schema_version"]
        assert int(version) == tables.SCHEMA_VERSION


def test_a_table_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = tables.CATALOGUE.with_metadata({"schema_version": str(tables.SCHEMA_VERSION + 1)})
    path = tmp_path / "table.parquet"
    tables.write(LocalStore(tmp_path), path.name, tables.to_table([], newer))
    with pytest.raises(RunError, match="a newer image_assets wrote it") as caught:
        tables.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all, but long enough to look at"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(data)
    with pytest.raises(RunError, match="Expected a whole parquet file") as caught:
        tables.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"missing\.parquet"):
        tables.read(tmp_path / "missing.parquet")


def test_neither_writing_nor_reading_imports_pandas(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from image_assets.engine.storage import tables
from image_assets.engine.storage.store import LocalStore
folder = Path(sys.argv[1])
row = {"source_key": "a", "size_bytes": 1}
tables.write(LocalStore(folder), "table.parquet", tables.to_table([row], tables.CATALOGUE))
assert tables.read(folder / "table.parquet").to_pylist()[0]["source_key"] == "a"
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=REPOSITORY, check=True)


def test_a_flipped_bit_is_damage_and_never_another_value(tmp_path: Path) -> None:
    rows = [
        {"source_key": f"{n}.jpg", "variant": "full", "format": "avif", "status": "written",
         "size_bytes": n, "sha256": f"{n:064x}", "source_mtime_ns": n * 10**15}
        for n in range(40)
    ]  # fmt: skip
    tables.write(LocalStore(tmp_path), "a.parquet", tables.to_table(rows, tables.LEDGER))
    path = tmp_path / "a.parquet"
    data, before = path.read_bytes(), tables.read(path, tables.LEDGER)
    moment = random.Random(1)  # noqa: S311 - positions, no secrets
    damaged = 0
    for _ in range(400):
        position, bit = moment.randrange(len(data)), moment.randrange(8)
        path.write_bytes(
            data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :]
        )
        try:
            assert tables.read(path, tables.LEDGER).equals(before)  # bits that mean nothing
        except tables.DamagedError:
            damaged += 1
    assert damaged > 200
