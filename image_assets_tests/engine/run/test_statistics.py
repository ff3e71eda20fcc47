from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.run.statistics import (
    ALL,
    COLUMNS,
    percentile,
    performance_table,
    stage_totals_s,
)
from image_assets.engine.storage import tables

SOURCE_BYTES = {"a": 1_000, "b": 3_000}


def outcome(
    source_key: str, variant: str, format_name: str, status: str = "written", **values: Any
) -> dict[str, Any]:
    row = {
        "source_key": source_key,
        "variant": variant,
        "format": format_name,
        "status": status,
        "source_bytes": SOURCE_BYTES.get(source_key, 500),
    }
    if status in ("written", "skipped"):
        row["size_bytes"] = 100
    if status == "written":
        row |= {"encode_ms": 30.0, "write_ms": 10.0, "encode_cpu_ms": 20.0}
    return {**row, **values}


def table(
    outcomes: list[dict[str, Any]],
    sources: list[dict[str, Any]] | None = None,
    *,
    workers: int = 2,
    elapsed_s: float = 4.0,
) -> dict[tuple[str, str], dict[str, Any]]:
    rows = performance_table(
        tables.to_table(outcomes, tables.OUTCOMES),
        tables.to_table(sources or [], tables.SOURCES),
        workers,
        elapsed_s,
    )
    return {(row["format"], row["variant"]): row for row in rows}


EVERYTHING = [
    outcome(source_key, variant, format_name)
    for source_key in SOURCE_BYTES
    for variant in ("full", "thumbnail")
    for format_name in ("avif", "webp")
]


def test_rows_are_format_by_variant_then_per_format_then_all() -> None:
    assert list(table(EVERYTHING)) == [
        ("avif", "full"),
        ("avif", "thumbnail"),
        ("avif", ALL),
        ("webp", "full"),
        ("webp", "thumbnail"),
        ("webp", ALL),
        (ALL, ALL),
    ]


def test_every_row_has_the_described_columns_in_their_order() -> None:
    for row in table(EVERYTHING).values():
        assert list(row) == list(COLUMNS)


def test_a_run_without_rows_has_no_table() -> None:
    assert table([]) == {}


def test_a_source_counts_once_however_many_renditions_it_has() -> None:
    rows = table(EVERYTHING)
    for key, renditions in ((("avif", "full"), 2), (("avif", ALL), 4), ((ALL, ALL), 8)):
        row = rows[key]
        assert (row["images"], row["written"]) == (2, renditions)
        assert row["source_bytes"] == 4_000
        assert row["output_bytes"] == 100 * renditions
        assert row["saved_bytes"] == 4_000 - 100 * renditions
        assert row["saved_pct"] == pytest.approx(100 - 2.5 * renditions)
        assert row["compression_ratio"] == pytest.approx(0.025 * renditions)
        assert row["encode_cpu_s"] == pytest.approx(0.02 * renditions)


def test_the_distribution_of_formats_adds_up() -> None:
    rows = table([*EVERYTHING, outcome("c", "full", "avif")])
    assert rows["avif", ALL]["renditions_pct"] == pytest.approx(100 * 5 / 9)
    assert rows["webp", ALL]["renditions_pct"] == pytest.approx(100 * 4 / 9)
    assert rows[ALL, ALL]["renditions_pct"] == pytest.approx(100)


def test_skipped_renditions_count_as_there_but_not_as_time_spent() -> None:
    rows = table([outcome("a", "full", "avif", "skipped"), outcome("b", "full", "avif")])
    row = rows["avif", "full"]
    assert (row["images"], row["written"], row["skipped"]) == (2, 1, 1)
    assert row["output_bytes"] == 200
    assert row["mean_processing_ms"] == 40.0


def test_rejected_and_failed_sources_are_counted_once_and_have_no_bytes() -> None:
    bad = [outcome("c", v, f, "rejected") for v in ("full", "thumbnail") for f in ("avif", "webp")]
    bad += [outcome("d", "full", "avif", "failed")]
    rows = table([*EVERYTHING, *bad])
    assert (rows[ALL, ALL]["rejected"], rows[ALL, ALL]["failed"]) == (1, 1)
    assert (rows["avif", ALL]["rejected"], rows["webp", ALL]["failed"]) == (1, 0)
    assert rows[ALL, ALL]["images"] == 2
    assert rows[ALL, ALL]["source_bytes"] == 4_000


def test_renditions_larger_than_their_source_are_counted() -> None:
    rows = table([*EVERYTHING, outcome("c", "full", "webp", larger_than_source=True)])
    assert rows["webp", "full"]["larger_than_source"] == 1
    assert rows["avif", ALL]["larger_than_source"] == 0
    assert rows[ALL, ALL]["larger_than_source"] == 1


def test_rates_are_of_the_run_in_all_and_of_encoding_per_format() -> None:
    sources = [{"source_key": key, "processing_ms": ms} for key, ms in (("a", 100.0), ("b", 300.0))]
    rows = table(EVERYTHING, sources, workers=2, elapsed_s=4.0)
    assert rows[ALL, ALL]["images_per_s"] == 0.5  # 2 images in 4 s
    assert rows[ALL, ALL]["mean_processing_ms"] == 200.0
    assert rows[ALL, ALL]["p95_processing_ms"] == 300.0
    # 2 renditions of 40 ms on 2 workers; of both sizes together half as many images
    assert rows["avif", "full"]["images_per_s"] == pytest.approx(50.0)
    assert rows["avif", ALL]["images_per_s"] == pytest.approx(25.0)


def test_where_nothing_was_made_rates_and_times_are_unknown_not_zero() -> None:
    row = table([outcome("a", "full", "avif", "skipped")])[ALL, ALL]
    assert row["images_per_s"] is None
    assert row["mean_processing_ms"] is None
    assert row["p95_processing_ms"] is None


def test_ratios_of_sources_without_bytes_are_unknown() -> None:
    row = table([outcome("a", "full", "avif", "rejected")])[ALL, ALL]
    assert row["saved_pct"] is None
    assert row["compression_ratio"] is None


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(1, 100))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(
    values: list[float], share_pct: float
) -> None:
    found = percentile(values, share_pct)
    assert found in values
    assert sum(value <= found for value in values) >= share_pct / 100 * len(values) - 1e-9
    assert sum(value < found for value in values) < share_pct / 100 * len(values)


def test_percentiles_by_hand() -> None:
    values = [float(number) for number in range(1, 101)]
    assert percentile(values, 95.0) == 95.0
    assert percentile(values, 100.0) == 100.0
    assert percentile([], 95.0) is None


def test_stage_totals_are_seconds_over_all_images() -> None:
    rows = [{"decode_ms": 1_500.0, "decode_cpu_ms": 1_000.0}, {"decode_ms": 500.0}]
    totals = stage_totals_s(tables.to_table(rows, tables.SOURCES))
    assert totals["decode_s"] == 2.0
    assert totals["decode_cpu_s"] == 1.0
    assert totals["encode_s"] == 0.0
    assert len(totals) == 2 * len(tables.STAGES)
