import dataclasses
import json
import math

from image_assets.defs.metadata import (
    MAX_TABLE_BYTES,
    MAX_TABLE_ROWS,
    quarantine_metadata,
    table_metadata,
)
from image_assets.engine.library.quarantine import Suspect


def test_a_table_carries_names_types_and_units() -> None:
    table = table_metadata(
        [{"format": "avif", "saved_bytes": 12, "encode_ms": 0.12345678}],
        ["format", "saved_bytes", "encode_ms"],
    )

    assert [record.data for record in table.records] == [
        {"format": "avif", "saved_bytes": 12, "encode_ms": 0.1235}
    ]
    described = {column.name: (column.type, column.description) for column in table.schema.columns}
    assert described["saved_bytes"] == ("int", "source_bytes less output_bytes.")
    assert described["encode_ms"][0] == "float"


def test_long_tables_are_cut_by_rows() -> None:
    rows = [{"source_key": f"{index}.jpg"} for index in range(MAX_TABLE_ROWS + 5)]

    assert len(table_metadata(rows, list(rows[0])).records) == MAX_TABLE_ROWS


def test_wide_tables_are_cut_by_bytes() -> None:
    rows = [{"message": "x" * 10_000} for _ in range(50)]

    table = table_metadata(rows, list(rows[0]))

    assert sum(len(json.dumps(record.data)) for record in table.records) <= MAX_TABLE_BYTES
    assert len(table.records) == 9


def test_no_rows_still_have_columns() -> None:
    table = table_metadata([], ["source_key", "reason"])

    assert [column.name for column in table.schema.columns] == ["source_key", "reason"]


def test_not_a_number_is_no_json() -> None:
    (record,) = table_metadata([{"images_per_s": math.nan}], ["images_per_s"]).records

    assert record.data == {"images_per_s": None}


def test_a_name_turns_nothing_around_in_a_table() -> None:
    (record,) = table_metadata([{"source_key": "invoice\u202egpj.exe"}], ["source_key"]).records

    assert record.data == {"source_key": "invoice\\u202egpj.exe"}


def test_who_is_held_in_quarantine_is_shown_and_why() -> None:
    renditions = ("full/avif",)
    held = Suspect(
        "2015-06-01", "<b>a</b>.jpg", "worker_died", "It died.", 3, True, "r1", renditions
    )
    tried = dataclasses.replace(held, source_key="b.jpg", attempts=1, held=False)

    [record] = quarantine_metadata([held, tried]).records

    assert record.data == {
        "source_key": "<b>a</b>.jpg",
        "reason": "worker_died",
        "attempts": 3,
        "since_run": "r1",
        "message": "It died.",
    }
