from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from image_assets.defs.checks import NOTHING_MEASURED, Check, all_checks
from image_assets.engine.planning.settings import load_settings
from image_assets.engine.run.result import Counts, NotCompressed, PartitionResult
from image_assets.engine.run.verdict import Verdict
from image_assets_tests.defs.library import DAY, DayLibrary

CHECKS = {
    f"{check.asset.to_user_string()}: {check.name}": check for check in all_checks(load_settings())
}
NAMES = [
    "performance_statistics: complete",
    "performance_statistics: rejected_share",
    "performance_statistics: base_memory",
    "performance_statistics: peak_memory",
    "performance_statistics: growth_memory",
    "compressed/avif: speed",
    "compressed/avif: size_reduction",
    "compressed/webp: speed",
    "compressed/webp: size_reduction",
    "compressed/jpeg: speed",
    "compressed/jpeg: size_reduction",
]


def _line(name: str, images_per_s: float | None, saved_pct: float | None) -> dict[str, Any]:
    return {
        "format": name,
        "variant": "all",
        "images_per_s": images_per_s,
        "saved_pct": saved_pct,
    }


GOOD = PartitionResult(
    partition_key=DAY,
    run_id="run",
    preset="balanced",
    machine="Linux-x86_64-2c-23g",
    counts=Counts(images=10, written=60),
    renditions=60,
    renditions_expected=60,
    source_bytes=1000,
    output_bytes=400,
    elapsed_s=1.0,
    cpu_s=1.0,
    images_per_s=10.0,
    peak_memory_bytes=400_000_000,
    base_memory_bytes=200_000_000,
    growth_memory_bytes=10_000_000,
    open_files=10,
    workers=2,
    cpu_utilisation_pct=90.0,
    read_mb_per_s=100.0,
    write_mb_per_s=10.0,
    stages_s={},
    table=[_line("avif", 3.0, 60.0), _line("webp", 7.0, 40.0), _line("jpeg", 15.0, 30.0)],
    verdict=Verdict("cpu", "Busy.", ""),
    not_compressed=[],
    orphans=[],
    messages=[],
    rejected_share=0.0,
    rejected_share_max=0.05,
    plan={},
    outcomes_path="/outcomes",
    renditions_path="/renditions",
)
BAD = replace(
    GOOD,
    counts=Counts(images=10, written=50, rejected=1, failed=1),
    renditions=47,
    renditions_expected=48,
    peak_memory_bytes=1_000_000_000,
    base_memory_bytes=500_000_000,
    growth_memory_bytes=50_000_000,
    table=[_line("avif", 1.9, 49.9), _line("webp", 4.9, 29.9), _line("jpeg", 9.9, -5.0)],
    rejected_share=0.2,
)


def test_the_checks_are_these() -> None:
    assert list(CHECKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_good_run_passes_and_says_target_value_and_machine(name: str) -> None:
    result = CHECKS[name].evaluate(GOOD)

    assert result.passed
    assert set(result.metadata) == {"target", "measured", "machine"}
    assert result.metadata["machine"].value == "Linux-x86_64-2c-23g, 2 workers, preset balanced"


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_run_misses_each(name: str) -> None:
    result = CHECKS[name].evaluate(BAD)

    assert not result.passed
    errors = ("performance_statistics: complete", "performance_statistics: rejected_share")
    wanted = dg.AssetCheckSeverity.ERROR if name in errors else dg.AssetCheckSeverity.WARN
    assert result.severity == wanted


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "compressed/avif: speed",
            "1.9 images/s, all sizes, encoding and writing avif alone on "
            "2 workers (target: 2 to 5).",
        ),
        (
            "compressed/avif: size_reduction",
            "49.9 % smaller than the sources, all sizes of avif together (target: 50 to 80 %).",
        ),
        ("performance_statistics: peak_memory", "1000 MB at its peak (target: below 1000 MB)."),
        (
            "performance_statistics: complete",
            "47 of 48 renditions are there; 1 sources rejected, 1 failed.",
        ),
        (
            "performance_statistics: rejected_share",
            "2 of 10 sources rejected or failed, 20.0 % (at most 5.0 %, rejected_share_max).",
        ),
    ],
)
def test_the_sentence_has_the_figures(name: str, sentence: str) -> None:
    assert CHECKS[name].evaluate(BAD).description == sentence


def test_links_are_left_out_of_the_rejected_share_and_of_its_figures() -> None:
    link = NotCompressed("link.jpg", "rejected", "link", "It is a link to a.jpg.")
    empty = NotCompressed("empty.jpg", "rejected", "empty", "The file is empty.")
    result = replace(
        GOOD,
        counts=Counts(images=6, rejected=2),
        not_compressed=[empty, link],
        rejected_share=1 / 5,
    )

    assert CHECKS["performance_statistics: rejected_share"].evaluate(result).description == (
        "1 of 5 sources rejected or failed, 20.0 % (at most 5.0 %, rejected_share_max; 1 links, "
        "pipes or devices are not counted)."
    )


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(("_memory", "speed"))])
def test_where_nothing_was_made_nothing_is_missed(name: str) -> None:
    idle = replace(
        BAD,
        counts=Counts(images=10, skipped=60),
        table=[_line(name, None, 60.0) for name in ("avif", "webp", "jpeg")],
        verdict=Verdict("nothing_to_do", "Nothing needed doing.", ""),
    )

    result = CHECKS[name].evaluate(idle)

    assert result.passed
    assert result.description == NOTHING_MEASURED
    assert "measured" not in result.metadata


def test_a_failed_source_is_not_complete_even_if_all_else_is_there() -> None:
    check: Check = CHECKS["performance_statistics: complete"]

    assert not check.evaluate(replace(GOOD, counts=Counts(images=10, failed=1))).passed


def test_the_job_evaluates_them_all(library: DayLibrary) -> None:
    library.add_images(2)

    evaluations = library.run().get_asset_check_evaluations()

    assert [f"{e.asset_key.to_user_string()}: {e.check_name}" for e in evaluations] == NAMES


def test_a_selected_format_brings_its_own_checks_only(library: DayLibrary) -> None:
    library.add_images(1)

    evaluations = library.run(selection=[["compressed", "avif"]]).get_asset_check_evaluations()

    assert [(e.asset_key.path[-1], e.check_name) for e in evaluations] == [
        ("avif", "speed"),
        ("avif", "size_reduction"),
    ]


def test_too_many_rejected_is_an_error_and_the_run_goes_on(library: DayLibrary) -> None:
    library.add_images(1)
    (library.source / DAY / "notes.jpg").write_text("not an image")

    result = library.run({"rejected_share_max": 0.4})

    assert result.success
    (missed,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "rejected_share"
    ]
    assert not missed.passed
    assert missed.severity == dg.AssetCheckSeverity.ERROR
