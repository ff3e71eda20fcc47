"""Progress: what a run says while it works. A line costs 10 to 20 ms, so never one per image."""

import logging
import time
from collections.abc import Callable
from typing import Final

from image_assets.engine.run.monitor import Progress
from image_assets.engine.source_key import printable

INTERVAL_S: Final = 5.0
INTERVAL_SHARE: Final = 0.05
"""After 100 s lines come less often, so that ten hours take some 150 of them."""

MAX_WARNINGS: Final = 20
"""Single bad images in the log; they are in `not_compressed`, and in the rows of the run."""


class ProgressLog:
    """A callback for the engine that logs one line every few seconds, and the last.

    Args:
        log: The run's log.
        clock: Seconds that only go forward.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._began_s = self._said_s = clock()

    def __call__(self, progress: Progress) -> None:
        """Log where the run is, when it is time."""
        now_s = self._clock()
        wait_s = max(INTERVAL_S, INTERVAL_SHARE * (now_s - self._began_s))
        if now_s - self._said_s >= wait_s or progress.done >= progress.total:
            self._said_s = now_s
            self._log.info(progress.sentence())


class _FirstFew(logging.Handler):
    def __init__(self, log: logging.Logger) -> None:
        super().__init__(logging.INFO)
        self._log = log
        self._passed = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._passed += 1
        if self._passed <= MAX_WARNINGS:
            self._log.log(record.levelno, printable(record.getMessage()))
        elif self._passed == MAX_WARNINGS + 1:
            self._log.warning(
                "More of these are left out here; not_compressed of performance_statistics and "
                "the rows of the run have them."
            )


def limited_logger(log: logging.Logger) -> logging.Logger:
    """A logger for the engine that passes the first `MAX_WARNINGS` lines on to the run's log."""
    logger = logging.Logger("image_assets.run", logging.INFO)
    logger.addHandler(_FirstFew(log))
    return logger
