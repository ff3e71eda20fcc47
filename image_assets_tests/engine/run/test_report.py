import dataclasses
from typing import Any

from image_assets.engine.run.report import summary_lines
from image_assets.engine.run.result import Counts, NotCompressed, PartitionResult
from image_assets.engine.run.statistics import COLUMNS
from image_assets.engine.run.verdict import Verdict


def table_row(format_name: str, variant: str, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS, 0)
    return {**row, "format": format_name, "variant": variant, **values}


RESULT = PartitionResult(
    partition_key="2015-01-02",
    run_id="run",
    preset="throughput",
    machine="Linux-x86_64-2c-8g",
    counts=Counts(images=12, written=60, skipped=6, rejected=1, failed=0),
    renditions=66,
    renditions_expected=66,
    source_bytes=48_000_000,
    output_bytes=12_000_000,
    elapsed_s=4.0,
    cpu_s=7.5,
    images_per_s=2.75,
    peak_memory_bytes=321_000_000,
    base_memory_bytes=1,
    growth_memory_bytes=1,
    open_files=30,
    workers=2,
    cpu_utilisation_pct=93.0,
    read_mb_per_s=None,
    write_mb_per_s=None,
    stages_s={},
    table=[
        table_row(
            "avif",
            "full",
            images=11,
            output_bytes=1_234_567,
            saved_pct=61.25,
            images_per_s=None,
            p95_processing_ms=1234.56,
        ),
        table_row("all", "all", images=11, output_bytes=12_000_000, saved_pct=75.0),
    ],
    verdict=Verdict("cpu", "Workers used 93 % of 2 cores.", "avif_speed up"),
    not_compressed=[
        NotCompressed("bad/b.jpg", "rejected", "truncated", "The file ends too early.")
    ],
    orphans=[],
    messages=[],
    rejected_share=1 / 12,
    rejected_share_max=0.05,
    plan={},
    outcomes_path="/out/tables/outcomes/2015-01-02/run",
    renditions_path="/out/renditions/2015-01-02",
)


def text(**changes: Any) -> str:
    return "\n".join(summary_lines(dataclasses.replace(RESULT, **changes)))


def test_a_summary_says_what_was_made_saved_and_where_it_is() -> None:
    summary = text()
    for sentence in (
        "12 images: 60 renditions written, 6 skipped, 1 images rejected, 0 failed.",
        "48.0 MB in, 12.0 MB out (75.0 % saved).",
        "4.0 s, 2.8 images/s, 7.5 CPU s, peak memory 321.0 MB, preset throughput, 2 workers.",
        "Bottleneck: cpu. Workers used 93 % of 2 cores. To change: avif_speed up.",
        "  rejected bad/b.jpg: truncated: The file ends too early.",
        "Renditions: /out/renditions/2015-01-02",
        "Rows of this run: /out/tables/outcomes/2015-01-02/run",
    ):
        assert sentence in summary.splitlines()


def test_the_table_has_a_line_for_every_row_in_one_width() -> None:
    lines = list(summary_lines(RESULT))
    heading = next(line for line in lines if line.lstrip().startswith("format"))
    assert all(name in heading for name in ("variant", "output MB", "saved %", "p95 ms"))
    (row,) = (line for line in lines if line.lstrip().startswith("avif"))
    assert row.split() == [
        "avif",
        "full",
        "11",
        "0",
        "0",
        "1.23",
        "61.2",
        "-",
        "0.0",
        "1234.6",
        "0.00",
    ]
    assert any(line.split()[:2] == ["all", "all"] for line in lines)
    assert max(map(len, lines[: lines.index(row)])) <= 118


def test_a_run_that_had_nothing_to_do_says_so_and_blames_nothing() -> None:
    summary = text(
        counts=Counts(images=12, written=0, skipped=66, rejected=1),
        images_per_s=None,
        verdict=Verdict("nothing_to_do", "Nothing needed doing.", ""),
    )
    assert "nothing needed doing; all 66 renditions of 11 images are current." in summary
    assert "Bottleneck" not in summary
    assert "images/s," not in summary


def test_a_partition_without_images_is_one_line() -> None:
    assert text(counts=Counts()) == "Partition 2015-01-02: no images found; nothing to do."


def test_a_verdict_without_a_setting_gives_no_advice() -> None:
    assert "To change" not in text(verdict=Verdict("balanced", "All is well.", ""))


def test_many_bad_images_are_listed_up_to_twenty() -> None:
    bad = [
        NotCompressed(f"{number}.jpg", "failed", "time_limit", "Too slow.") for number in range(23)
    ]
    summary = text(not_compressed=bad)
    assert summary.count("  failed ") == 20
    assert "  and 3 more, in the rows of this run" in summary


def test_warnings_and_orphans_are_named() -> None:
    summary = text(messages=["Ledger part x is damaged."], orphans=["a.jpg", "b.jpg"])
    assert "Warning: Ledger part x is damaged." in summary
    assert "2 sources are gone but have renditions" in summary
    assert "a.jpg, b.jpg" in summary
    assert "prune=true" in summary


def test_without_source_bytes_nothing_is_said_of_savings() -> None:
    assert "0.0 MB in, 0.0 MB out." in text(source_bytes=0, output_bytes=0).splitlines()
