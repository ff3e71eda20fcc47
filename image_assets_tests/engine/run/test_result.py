import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from image_assets.engine.errors import RunError
from image_assets.engine.run.result import latest_run, load_result, read_rows
from image_assets.engine.run.statistics import ALL, COLUMNS
from image_assets.engine.storage import tables
from image_assets_tests.libraries import DAY, FILES, Library, first_row
from image_assets_tests.photographs import encode_photograph


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def _fill_mixed(library: Library) -> list[str]:
    keys = library.fill(4, (120, 80))
    good = encode_photograph((120, 80))
    (library.source / "cut.jpg").write_bytes(good[: len(good) // 2])
    (library.source / "empty.jpg").write_bytes(b"")
    return keys


def _variants(library: Library) -> dict[tuple[str, str], dict[str, Any]]:
    table = tables.read(library.output / f"tables/variants/{DAY}.parquet")
    return {(row["source_key"], row["variant"]): row for row in table.to_pylist()}


def test_links_and_pipes_are_rows_but_no_lost_images(library: Library) -> None:
    _fill_mixed(library)
    (library.source / "link.jpg").symlink_to("00.jpg")
    os.mkfifo(library.source / "pipe.jpg")

    result = library.compress()

    assert (result.counts.images, result.counts.rejected) == (8, 4)
    assert result.rejected_share == pytest.approx(2 / 6)


def test_failed_sources_are_expected_and_listed_first_by_name(library: Library) -> None:
    _fill_mixed(library)
    # A folder, which no file can replace, in the place of each rendition.
    for name in FILES:
        (library.folder_of("03.jpg") / name / "orphan").mkdir(parents=True)

    result = library.compress()

    assert [(bad.status, bad.source_key) for bad in result.not_compressed] == [
        ("failed", "03.jpg"),
        ("rejected", "cut.jpg"),
        ("rejected", "empty.jpg"),
    ]
    assert (result.renditions, result.renditions_expected) == (18, 24)


def test_a_rendition_that_failed_alone_is_missed_beside_those_that_are_there(
    library: Library,
) -> None:
    keys = library.fill(2)
    # An orphan in the place of one rendition: a folder, which no file can replace.
    (library.folder_of(keys[0]) / "full.webp" / "orphan").mkdir(parents=True)

    result = library.compress()

    assert (result.counts.failed, result.renditions) == (1, 11)
    assert result.renditions_expected == 12


def test_counts_sizes_and_paths_agree_with_what_is_on_the_disk(library: Library) -> None:
    keys = _fill_mixed(library)

    result = library.compress()

    on_disk = sum(path.stat().st_size for path in library.rendition_paths().values())
    sources = sum((library.source / key).stat().st_size for key in keys)
    assert asdict(result.counts) == {
        "images": 6,
        "written": 24,
        "skipped": 0,
        "rejected": 2,
        "failed": 0,
        "quarantined": 0,
    }
    assert (result.output_bytes, result.source_bytes) == (on_disk, sources)
    assert result.saved_bytes == sources - on_disk
    assert result.saved_pct == pytest.approx(100 * (1 - on_disk / sources))
    assert result.renditions == result.renditions_expected == 24
    assert result.rejected_share == pytest.approx(2 / 6)
    assert Path(result.renditions_path) == library.output / "renditions" / DAY
    assert sorted(path.name for path in Path(result.outcomes_path).iterdir()) == [
        "renditions-0000.parquet",
        "sources-0000.parquet",
    ]


def test_measurements_of_a_run_are_there_and_plausible(library: Library) -> None:
    library.fill(8)

    result = library.compress({"max_workers": 1})

    assert 0 < result.cpu_s < 60
    assert result.elapsed_s > 0
    assert result.images_per_s == pytest.approx(8 / result.elapsed_s)
    assert result.peak_memory_bytes >= result.base_memory_bytes > 20_000_000
    assert result.growth_memory_bytes >= 0
    assert result.open_files > 3
    assert result.workers == 1
    assert result.cpu_utilisation_pct is not None
    assert 0 < result.cpu_utilisation_pct <= 110
    assert result.read_mb_per_s is not None
    assert result.write_mb_per_s is not None
    assert result.stages_s["encode_cpu_s"] > 0
    assert result.verdict.sentence


def test_the_table_adds_up(library: Library) -> None:
    _fill_mixed(library)

    result = library.compress()

    table = result.table
    assert [set(row) for row in table] == [set(COLUMNS)] * len(table)
    assert [(row["format"], row["variant"]) for row in table] == [
        (format_name, variant)
        for format_name in ("avif", "jpeg", "webp")
        for variant in ("full", "thumbnail", ALL)
    ] + [(ALL, ALL)]
    total = first_row(table, format=ALL)
    for name in ("written", "skipped", "output_bytes", "larger_than_source"):
        single = sum(row[name] for row in table if row["variant"] != ALL)
        per_format = sum(
            row[name] for row in table if row["variant"] == ALL and row["format"] != ALL
        )
        assert single == per_format == total[name], name
    assert sum(row["renditions_pct"] for row in table if row["variant"] != ALL) == pytest.approx(
        100
    )
    for row in table:
        assert (row["images"], row["rejected"]) == (4, 2), "sources, not renditions"
        assert row["source_bytes"] == result.source_bytes
        assert row["saved_bytes"] == row["source_bytes"] - row["output_bytes"]
        paths = library.rendition_paths().values()
        ending = {"avif": ".avif", "jpeg": ".jpg", "webp": ".webp", ALL: ""}[row["format"]]
        stem = "" if row["variant"] == ALL else row["variant"]
        chosen = [p for p in paths if p.name.startswith(stem) and p.name.endswith(ending)]
        assert row["output_bytes"] == sum(path.stat().st_size for path in chosen)


def test_a_result_is_read_back_as_it_was(library: Library) -> None:
    _fill_mixed(library)
    result = library.compress()

    loaded = load_result(library.output, DAY, result.run_id)

    assert loaded == result


def test_a_result_is_plain_json(library: Library) -> None:
    _fill_mixed(library)

    document = json.loads(json.dumps(asdict(library.compress())))

    assert document["counts"]["rejected"] == 2
    assert {bad["source_key"] for bad in document["not_compressed"]} == {"cut.jpg", "empty.jpg"}


def test_every_run_keeps_its_rows_and_the_newest_is_known(library: Library) -> None:
    library.fill(2)
    first = library.compress()
    second = library.compress()

    assert latest_run(library.output, DAY) == second.run_id
    assert load_result(library.output, DAY, first.run_id).counts.written == 12
    assert read_rows(library.output, DAY, first.run_id).sources.num_rows == 2
    rows = read_rows(library.output, DAY, second.run_id)
    assert rows.renditions.column("status").to_pylist() == ["skipped"] * 12
    assert rows.sources.num_rows == 0
    assert latest_run(library.output, "2015-06-02") is None


def test_rows_that_are_not_there_are_no_rows(library: Library) -> None:
    rows = read_rows(library.output, DAY, "never-run")

    assert rows.renditions.num_rows == rows.sources.num_rows == 0
    assert rows.renditions.schema.names == tables.OUTCOMES.names


def test_a_run_that_is_not_known_is_named(library: Library) -> None:
    with pytest.raises(RunError, match="never-run"):
        load_result(library.output, DAY, "never-run")


def test_a_damaged_performance_table_is_named(library: Library) -> None:
    library.fill(1)
    result = library.compress()
    path = library.output / f"tables/performance/{DAY}/{result.run_id}.parquet"
    os.truncate(path, 100)

    with pytest.raises(RunError, match=result.run_id):
        load_result(library.output, DAY, result.run_id)


def test_full_rows_hold_every_rendition_with_its_measurements(library: Library) -> None:
    _fill_mixed(library)

    rows = library.rows(library.compress())

    assert rows.renditions.num_rows == 6 * 6
    assert rows.sources.num_rows == 5, "the empty one was given to no worker"
    for row in rows.renditions.to_pylist():
        if row["status"] == "written":
            assert row["encode_ms"] > 0
            assert row["placeholder"]
            assert row["reason"] is None
        else:
            assert row["reason"] in ("truncated", "empty")
            assert row["size_bytes"] is None
    good = [row for row in rows.sources.to_pylist() if row["source_key"] != "cut.jpg"]
    assert all(row["processing_ms"] > 0 and row["worker_peak_bytes"] > 0 for row in good)


def test_the_table_of_variants_has_one_row_per_source_and_size(library: Library) -> None:
    keys = _fill_mixed(library)
    library.compress({"thumbnail_px": 60})
    first = _variants(library)

    assert set(first) == {(key, variant) for key in keys for variant in ("full", "thumbnail")}
    for (_, variant), row in first.items():
        assert (row["width_px"], row["height_px"]) == {"full": (120, 80)}.get(variant, (60, 40))
        assert row["placeholder"]
    # A run that skips everything knows the same, but for how long it once took.
    library.compress({"thumbnail_px": 60})
    assert _variants(library) == {key: {**row, "resize_ms": None} for key, row in first.items()}


def test_the_table_of_variants_keeps_what_a_subset_run_leaves_alone(library: Library) -> None:
    library.fill(2, (120, 80))
    library.compress({"thumbnail_px": 60})
    first = _variants(library)

    library.compress({"thumbnail_px": 30}, variants=("thumbnail",), formats=("jpeg",))

    second = _variants(library)
    assert set(second) == set(first)
    assert {row["width_px"] for (_, name), row in second.items() if name == "thumbnail"} == {30}
    assert {key: row for key, row in second.items() if key[1] == "full"} == {
        key: row for key, row in first.items() if key[1] == "full"
    }


def test_a_partition_of_bad_images_only_has_a_result(library: Library) -> None:
    (library.source / "bad.jpg").write_bytes(b"no image")

    result = library.compress()

    assert (result.counts.images, result.counts.rejected, result.counts.written) == (1, 1, 0)
    assert (result.renditions_expected, result.output_bytes) == (0, 0)
    assert result.saved_pct is None
    assert result.rejected_share == 1.0
    assert load_result(library.output, DAY, result.run_id) == result
