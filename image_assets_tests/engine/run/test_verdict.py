import dataclasses

import pytest

from image_assets.engine.run.verdict import Load, judge

# Four workers on four cores, busy 95 % of 100 s with work that is nearly all CPU.
BUSY = Load(
    images=1_000,
    workers=4,
    workers_wanted=4,
    cores=4,
    elapsed_s=100.0,
    start_s=0.5,
    busy_s=380.0,
    cpu_s=370.0,
    storage_s=5.0,
    deferred=0,
)


@pytest.mark.parametrize(
    ("changes", "name", "setting"),
    [
        ({"images": 0}, "nothing_to_do", ""),
        ({}, "cpu", "avif_speed"),
        ({"cores": 8}, "cpu", "max_workers"),
        ({"start_s": 31.0}, "worker_start", "more images per run"),
        ({"timed_out": 4, "time_limit_s": 30.0}, "time_limit", "image_time_limit_s"),
        ({"storage_s": 96.0}, "input_output", "max_workers"),
        ({"deferred": 101}, "memory", "memory_budget_bytes"),
        ({"workers_wanted": 5}, "memory", "memory_efficient"),
        ({"images": 39, "busy_s": 270.0, "cpu_s": 260.0}, "too_few_images", "fewer max_workers"),
        ({"cpu_s": 279.0}, "none", ""),
    ],
)
def test_the_bottleneck_is_named_with_the_setting_to_change(
    changes: dict[str, float], name: str, setting: str
) -> None:
    verdict = judge(dataclasses.replace(BUSY, **changes))  # type: ignore[arg-type]
    assert verdict.name == name
    assert setting in verdict.setting
    assert bool(verdict.setting) == bool(setting)


@pytest.mark.parametrize(
    "changes",
    [
        {"start_s": 29.0},
        {"timed_out": 3, "time_limit_s": 30.0},
        {"storage_s": 94.0},
        {"deferred": 100},
        {"images": 40, "busy_s": 270.0, "cpu_s": 281.0},
        {"images": 39, "busy_s": 290.0, "cpu_s": 281.0},
    ],
)
def test_below_its_threshold_nothing_else_is_blamed(changes: dict[str, float]) -> None:
    assert judge(dataclasses.replace(BUSY, **changes)).name == "cpu"  # type: ignore[arg-type]


def test_the_sentence_has_the_figures() -> None:
    assert "92 % of 4 cores" in judge(BUSY).sentence  # 370 of 400 CPU s
    slow = dataclasses.replace(BUSY, storage_s=190.0)
    assert "50 % of their time" in judge(slow).sentence
    stuck = dataclasses.replace(BUSY, timed_out=10, time_limit_s=30.0)
    assert judge(stuck).sentence == (
        "10 images that came to no end within 30 s held workers for 75 % of the time."
    )
    short = dataclasses.replace(BUSY, deferred=200, workers_wanted=6)
    assert (
        judge(short).sentence == "200 images waited for memory; 4 of 6 workers fit into the budget."
    )


def test_a_run_that_took_no_time_has_a_verdict() -> None:
    nothing = dataclasses.replace(BUSY, elapsed_s=0.0, start_s=0.0, busy_s=0.0, storage_s=0.0)
    assert judge(nothing).name
