"""A run's result as plain text: what the command line and `make run` print at the end."""

import io
from collections.abc import Iterator
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from image_assets.engine.run.result import PartitionResult
from image_assets.engine.run.statistics import ALL
from image_assets.engine.source_key import printable

_LISTED_MAX: Final = 20
_WIDTH: Final = 118


def summary_lines(result: PartitionResult) -> Iterator[str]:
    """Yield the lines of a summary, for people."""
    counts = result.counts
    if counts.images == 0:
        yield f"Partition {result.partition_key}: no images found; nothing to do."
        return
    if result.nothing_to_do:
        made = next((row["images"] for row in result.table if row["format"] == ALL), 0)
        yield (
            f"Partition {result.partition_key}: nothing needed doing; all {counts.skipped} "
            f"renditions of {made} images are current."
        )
    yield from _table(result)
    saved = "" if result.saved_pct is None else f" ({result.saved_pct:.1f} % saved)"
    yield (
        f"{counts.images} images: {counts.written} renditions written, {counts.skipped} skipped, "
        f"{counts.rejected} images rejected, {counts.failed} failed"
        + (f" ({counts.quarantined} in quarantine)." if counts.quarantined else ".")
    )
    yield f"{_mb(result.source_bytes)} in, {_mb(result.output_bytes)} out{saved}."
    if result.images_per_s:
        yield (
            f"{result.elapsed_s:.1f} s, {result.images_per_s:.1f} images/s, "
            f"{result.cpu_s:.1f} CPU s, peak memory {_mb(result.peak_memory_bytes)}, "
            f"preset {result.preset}, {result.workers} workers."
        )
        setting = f" To change: {result.verdict.setting}." if result.verdict.setting else ""
        yield f"Bottleneck: {result.verdict.name}. {result.verdict.sentence}{setting}"
    yield from _bad(result)
    for message in result.messages:
        yield printable(f"Warning: {message}")
    if result.orphans:
        yield printable(
            f"{len(result.orphans)} sources are gone but have renditions (kept; prune=true "
            f"removes them): {', '.join(result.orphans[:3])} ..."
        )
    yield f"Renditions: {result.renditions_path}"
    yield f"Rows of this run: {result.outcomes_path}"


def _bad(result: PartitionResult) -> Iterator[str]:
    for bad in result.not_compressed[:_LISTED_MAX]:
        yield printable(f"  {bad.status} {bad.source_key}: {bad.reason}: {bad.message}")
    more = len(result.not_compressed) - _LISTED_MAX
    if more > 0:
        yield f"  and {more} more, in the rows of this run"


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _table(result: PartitionResult) -> Iterator[str]:
    table = Table(box=SIMPLE, pad_edge=False)
    columns: list[tuple[str, str, str]] = [
        ("format", "format", ""),
        ("variant", "variant", ""),
        ("images", "images", "d"),
        ("written", "written", "d"),
        ("skipped", "skipped", "d"),
        ("output_bytes", "output MB", "mb"),
        ("saved_pct", "saved %", ".1f"),
        ("images_per_s", "images/s", ".1f"),
        ("mean_processing_ms", "mean ms", ".1f"),
        ("p95_processing_ms", "p95 ms", ".1f"),
        ("encode_cpu_s", "encode CPU s", ".2f"),
    ]
    for index, (_, heading, _kind) in enumerate(columns):
        table.add_column(heading, justify="left" if index < 2 else "right")
    for row in result.table:
        table.add_row(*(_cell(row[name], kind) for name, _, kind in columns))
    console = Console(file=io.StringIO(), width=_WIDTH, color_system=None)
    console.print(table)
    file = console.file
    assert isinstance(file, io.StringIO)
    yield from (line.rstrip() for line in file.getvalue().splitlines() if line.strip())


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return "-"
    if kind == "mb":
        return f"{value / 1e6:.2f}"
    return format(value, kind)
