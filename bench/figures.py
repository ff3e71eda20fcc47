"""Medians with their spread, and Markdown tables of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A measurement made several times."""

    median: float
    least: float
    most: float

    def text(self, digits: int) -> str:
        """Median, with least and most where they differ from it."""
        median, least, most = (f"{x:.{digits}f}" for x in (self.median, self.least, self.most))
        return median if least == most else f"{median} ({least}–{most})"  # a number range


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more."""
    return Spread(statistics.median(values), min(values), max(values))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
