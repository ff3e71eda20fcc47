"""The performance monitor: a window over the last images, and what progress lines show."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from image_assets.engine.workers.render import SourceResult

WINDOW: Final = 100
"""Images that the current rate is taken over: the guide's window."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is.

    Attributes:
        partition_key: The partition in work.
        done: Images finished, skipped ones included.
        total: Images of the partition.
        images_per_s: Over the window; 0 where nothing has been compressed.
        source_bytes: Of the images compressed so far.
        output_bytes: Of their renditions.
        rejected: Images rejected so far.
        failed: Images failed so far.
        remaining_s: Estimated seconds left; None where nothing has been compressed.
    """

    partition_key: str
    done: int
    total: int
    images_per_s: float
    source_bytes: int
    output_bytes: int
    rejected: int
    failed: int
    remaining_s: float | None

    @property
    def saved_pct(self) -> float:
        """Percent by which the renditions are smaller than their sources."""
        if not self.source_bytes:
            return 0.0
        return 100.0 * (1.0 - self.output_bytes / self.source_bytes)

    def sentence(self) -> str:
        """One line for logs."""
        left = "" if self.remaining_s is None else f", {self.remaining_s:.0f} s left"
        return (
            f"{self.partition_key}: {self.done} of {self.total} images, "
            f"{self.images_per_s:.1f} images/s, {self.saved_pct:.1f} % saved, "
            f"{self.rejected} rejected, {self.failed} failed{left}"
        )


class PerformanceMonitor:
    """Counts a run's images and keeps the times of the last `WINDOW` of them.

    Args:
        partition_key: The partition.
        total: Its images.
        done: How many need no work.
        rejected: How many of those are rejected, as before or by their first bytes.
        failed: How many of those failed, or are held in quarantine.
    """

    def __init__(
        self, partition_key: str, total: int, done: int, *, rejected: int = 0, failed: int = 0
    ) -> None:
        self._partition_key = partition_key
        self._total = total
        self._done = done
        self._times: deque[float] = deque([time.monotonic()], maxlen=WINDOW + 1)
        self._source_bytes = self._output_bytes = 0
        self._rejected, self._failed = rejected, failed

    def add(self, result: SourceResult) -> None:
        """Count one finished image."""
        self._done += 1
        self._times.append(time.monotonic())
        statuses = {row["status"] for row in result.outcomes}
        self._rejected += "rejected" in statuses
        self._failed += "failed" in statuses
        if "written" in statuses:
            self._source_bytes += result.source["source_bytes"]
            self._output_bytes += sum(row.get("size_bytes", 0) for row in result.outcomes)

    def progress(self) -> Progress:
        """Return where the run is now."""
        span_s = self._times[-1] - self._times[0]
        rate = (len(self._times) - 1) / span_s if span_s > 0 else 0.0
        return Progress(
            self._partition_key,
            self._done,
            self._total,
            rate,
            self._source_bytes,
            self._output_bytes,
            self._rejected,
            self._failed,
            (self._total - self._done) / rate if rate else None,
        )
