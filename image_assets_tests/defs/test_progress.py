import itertools
import logging

import pytest

from image_assets.defs.progress import MAX_WARNINGS, ProgressLog, limited_logger
from image_assets.engine.run.monitor import Progress


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def kept() -> _Kept:
    return _Kept()


@pytest.fixture
def log(kept: _Kept) -> logging.Logger:
    log = logging.Logger("run", logging.INFO)
    log.addHandler(kept)
    return log


def _progress(done: int) -> Progress:
    return Progress("2026-03-01", done, 1000, 10.0, 100, 40, 0, 0, 1.0)


def test_a_thousand_quick_images_are_one_line(kept: _Kept, log: logging.Logger) -> None:
    say = ProgressLog(log)

    for done in range(1, 1001):
        say(_progress(done))

    assert kept.lines == [_progress(1000).sentence()]


def test_lines_come_every_few_seconds_and_rarer_in_long_runs(
    kept: _Kept, log: logging.Logger
) -> None:
    seconds = itertools.count()
    say = ProgressLog(log, clock=lambda: float(next(seconds)))

    for _ in range(100):
        say(_progress(1))
    first_100_s = len(kept.lines)
    for _ in range(36_000):
        say(_progress(1))

    assert first_100_s == 20
    assert len(kept.lines) < 160


def test_bad_images_do_not_flood_the_log(kept: _Kept, log: logging.Logger) -> None:
    logger = limited_logger(log)

    for index in range(1000):
        logger.warning("rejected %s", index)

    assert len(kept.lines) == MAX_WARNINGS + 1
    assert kept.lines[0] == "rejected 0"
    assert "not_compressed" in kept.lines[-1]


def test_a_name_turns_nothing_around_in_the_log(kept: _Kept, log: logging.Logger) -> None:
    limited_logger(log).warning("rejected %s", "invoice\u202egpj.exe")

    assert kept.lines == ["rejected invoice\\u202egpj.exe"]
