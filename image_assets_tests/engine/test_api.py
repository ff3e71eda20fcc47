import logging
import subprocess
import sys
from datetime import date
from pathlib import Path

import pandas as pd
import pytest

import image_assets
from image_assets.engine.api import compress_folder, new_run_id
from image_assets.engine.errors import RunError, SettingError
from image_assets.engine.planning.settings import Settings, VariantSetting
from image_assets.engine.run.monitor import Progress
from image_assets.engine.run.statistics import ALL, COLUMNS
from image_assets_tests.libraries import FILES, Library, listing
from image_assets_tests.photographs import save_photograph
from image_assets_tests.processes import environment

TODAY = date(2015, 6, 1)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def test_a_folder_comes_back_as_counts_sizes_statistics_and_rows(library: Library) -> None:
    keys = library.fill(3, (120, 80), prefix="Küste/")
    (library.source / "bad.jpg").write_bytes(b"no image")

    result = compress_folder(str(library.source), str(library.output), today=TODAY)

    counts = result.counts
    assert (counts.images, counts.written, counts.rejected) == (4, 18, 1)
    files = library.rendition_paths()
    assert set(files) == {f"{key}/{name}" for key in keys for name in FILES}
    assert result.output_bytes == sum(path.stat().st_size for path in files.values())
    assert result.source_bytes == sum((library.source / key).stat().st_size for key in keys)
    assert isinstance(result.statistics, pd.DataFrame)
    assert list(result.statistics.columns) == list(COLUMNS)
    [total] = result.statistics.query(f"format == '{ALL}'").to_dict("records")
    assert (total["written"], total["output_bytes"]) == (18, result.output_bytes)
    assert len(result.rows) == 4 * 6
    assert {row["status"] for row in result.rows} == {"written", "rejected"}
    [bad] = result.not_compressed
    assert (bad.source_key, bad.reason) == ("bad.jpg", "not_an_image")
    assert result.images_per_s is not None
    assert result.images_per_s > 0
    assert result.peak_memory_bytes > 0
    assert result.elapsed_s > 0


def test_the_second_call_finds_nothing_to_do_on_another_day_too(library: Library) -> None:
    library.fill(2)
    compress_folder(library.source, library.output, today=TODAY)
    before = library.identities()

    result = compress_folder(library.source, library.output, today=date(2016, 1, 1))

    assert (result.counts.written, result.counts.skipped) == (0, 12)
    assert [partition.partition_key for partition in result.partitions] == ["2015-06-01"]
    assert library.identities() == before
    assert result.images_per_s is None


def test_the_summary_is_json_ready_and_says_what_was_asked_for(library: Library) -> None:
    library.fill(2)

    summary = compress_folder(
        library.source, library.output, preset="throughput", today=TODAY
    ).to_json_dict()

    assert {
        "images",
        "written",
        "skipped",
        "rejected",
        "failed",
        "source_bytes",
        "output_bytes",
        "elapsed_s",
        "images_per_s",
        "peak_memory_bytes",
        "preset",
        "cpu_s",
        "by_format_variant",
    } <= set(summary)
    assert summary["preset"] == "throughput"
    assert summary["partition_keys"] == ["2015-06-01"]
    assert summary["images"] == 2
    assert summary["cpu_s"] > 0


def test_overrides_win_over_the_preset(library: Library) -> None:
    library.fill(1, (200, 100))

    result = compress_folder(
        library.source,
        library.output,
        preset="quality",
        overrides={"full_px": 80, "full_jpeg_quality": "40", "max_workers": None},
    )

    row = next(r for r in result.rows if (r["variant"], r["format"]) == ("full", "jpeg"))
    assert (row["width_px"], row["height_px"], row["quality"]) == (80, 40, 40)


def test_settings_name_the_variants_and_formats(library: Library) -> None:
    library.fill(1, (100, 80))
    settings = Settings((VariantSetting("hero", {"px": 50}),), ("webp",))

    compress_folder(library.source, library.output, settings=settings, today=TODAY)

    assert set(library.rendition_paths()) == {"00.jpg/hero.webp"}


def test_a_folder_with_day_folders_is_one_partition_unless_a_day_is_named(
    library: Library, tmp_path: Path
) -> None:
    for day in ("2015-06-01", "2015-06-02"):
        save_photograph(library.source / day / "a.jpg", (48, 32))

    flat = compress_folder(library.source, library.output, today=TODAY)
    assert flat.counts.images == 2
    assert [partition.partition_key for partition in flat.partitions] == ["2015-06-01"]

    days = tmp_path / "days"
    one = compress_folder(library.source, days, partition_key="2015-06-02")
    assert one.counts.images == 1
    assert (days / "renditions/2015-06-02/a.jpg/full.avif").is_file()
    # The output keeps the layout with which it was begun: now every day is a partition.
    rest = compress_folder(library.source, days)
    assert [p.partition_key for p in rest.partitions] == ["2015-06-01", "2015-06-02"]
    assert (rest.counts.written, rest.counts.skipped) == (6, 6)
    assert len(rest.rows) == 12
    assert set(rest.statistics["partition_key"]) == {"2015-06-01", "2015-06-02"}


@pytest.mark.parametrize("partition_key", ["yesterday", "2015-13-01", "2015-06-03"])
def test_a_day_that_is_not_there_is_a_wrong_setting(library: Library, partition_key: str) -> None:
    save_photograph(library.source / "2015-06-01/a.jpg", (48, 32))

    with pytest.raises(SettingError, match=partition_key):
        compress_folder(library.source, library.output, partition_key=partition_key)

    assert [path for path in library.output.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"preset": "fastest"}, "a preset of balanced, throughput"),
        ({"overrides": {"full_avif_quality": 140}}, "quality between 1 and 100, received 140"),
        ({"overrides": {"full_px": 0}}, "full_px between 1 and 16383, received 0"),
        ({"overrides": {"sharpness": 1}}, "received 'sharpness'"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    library: Library, tmp_path: Path, arguments: dict[str, object], sentence: str
) -> None:
    library.fill(1)
    before = listing(tmp_path)

    with pytest.raises(SettingError, match=sentence):
        compress_folder(library.source, library.output, **arguments)  # type: ignore[arg-type]

    assert listing(tmp_path) == before


def test_progress_and_bad_images_are_told_while_it_runs(
    library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    library.fill(2)
    (library.source / "cut.jpg").write_bytes((library.source / "00.jpg").read_bytes()[:400])
    seen: list[Progress] = []
    logger = logging.getLogger("test.of.the.api")

    with caplog.at_level(logging.WARNING, logger.name):
        compress_folder(library.source, library.output, on_progress=seen.append, logger=logger)

    assert [progress.done for progress in seen] == [1, 2, 3]
    assert seen[-1].rejected == 1
    assert [r.name for r in caplog.records if "cut.jpg" in r.getMessage()] == [logger.name]


def test_a_damaged_record_of_the_layout_is_named(library: Library) -> None:
    library.fill(1)
    compress_folder(library.source, library.output)
    (library.output / "tables/layout.json").write_text("{")

    with pytest.raises(RunError, match=r"layout\.json"):
        compress_folder(library.source, library.output)


def test_the_package_offers_the_call_and_imports_nothing_until_it_is_used() -> None:
    assert image_assets.compress_folder is compress_folder
    assert set(image_assets.__all__) <= {*dir(image_assets), *image_assets._HOMES}
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = image_assets.no_such_name
    program = (
        "import sys, typing; before = set(sys.modules); import image_assets, image_assets.engine; "
        "print(sorted(set(sys.modules) - before))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "['image_assets', 'image_assets.engine']"


def test_run_ids_differ_and_sort_by_time() -> None:
    ids = [new_run_id() for _ in range(50)]

    assert len(set(ids)) == 50
    assert [name[:15] for name in ids] == sorted(name[:15] for name in ids)
    assert all(name.replace("-", "").isalnum() for name in ids)
