from types import SimpleNamespace

import pytest

from image_assets.engine.run import monitor as monitor_module
from image_assets.engine.run.monitor import WINDOW, PerformanceMonitor, Progress
from image_assets.engine.workers.render import SourceResult


class Clock:
    """The time, as the test says it."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(monitor_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def result(*statuses: str, source_bytes: int = 1_000, size_bytes: int = 100) -> SourceResult:
    outcomes = [
        {"status": status, **({"size_bytes": size_bytes} if status == "written" else {})}
        for status in statuses
    ]
    return SourceResult("a.jpg", {"source_bytes": source_bytes}, outcomes)


def test_before_the_first_image_nothing_is_foretold(clock: Clock) -> None:
    progress = PerformanceMonitor("2015-01-02", 10, 4).progress()
    assert progress == Progress("2015-01-02", 4, 10, 0.0, 0, 0, 0, 0, None)
    assert progress.saved_pct == 0.0
    assert "left" not in progress.sentence()


def test_rate_savings_and_time_left(clock: Clock) -> None:
    monitor = PerformanceMonitor("2015-01-02", 14, 4)
    for _ in range(4):
        clock.now_s += 0.5
        monitor.add(result("written", "written"))
    progress = monitor.progress()
    assert (progress.done, progress.images_per_s, progress.remaining_s) == (8, 2.0, 3.0)
    assert progress.saved_pct == pytest.approx(80.0)
    assert progress.sentence() == (
        "2015-01-02: 8 of 14 images, 2.0 images/s, 80.0 % saved, 0 rejected, 0 failed, 3 s left"
    )


def test_the_rate_is_that_of_the_last_100_images(clock: Clock) -> None:
    monitor = PerformanceMonitor("2015-01-02", 1_000, 0)
    for _ in range(50):
        clock.now_s += 60.0
        monitor.add(result("written"))
    assert monitor.progress().images_per_s == pytest.approx(1 / 60)
    for _ in range(WINDOW):
        clock.now_s += 0.25
        monitor.add(result("written"))
    assert WINDOW == 100
    assert monitor.progress().images_per_s == pytest.approx(4.0)


def test_bad_images_are_counted_once_and_change_no_savings(clock: Clock) -> None:
    monitor = PerformanceMonitor("2015-01-02", 3, 0)
    monitor.add(result("rejected", "rejected"))
    monitor.add(result("failed", "failed", "failed"))
    monitor.add(result("skipped"))
    progress = monitor.progress()
    assert (progress.done, progress.rejected, progress.failed) == (3, 1, 1)
    assert (progress.source_bytes, progress.output_bytes) == (0, 0)


def test_images_that_take_no_measurable_time_divide_nothing_by_zero(clock: Clock) -> None:
    monitor = PerformanceMonitor("2015-01-02", 2, 0)
    monitor.add(result("written"))
    assert monitor.progress().images_per_s == 0.0
    assert monitor.progress().remaining_s is None
