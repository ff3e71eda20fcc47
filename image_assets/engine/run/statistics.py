"""Performance statistics of a run: per format and variant, per format, and in all."""

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from image_assets.engine.storage.tables import STAGES

ALL: Final = "all"
"""Stands for every variant, or every format, in the table."""

COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "format": ("string", "Output format; 'all' is the sum over formats."),
    "variant": ("string", "Named size; 'all' is the sum over sizes."),
    "images": ("int", "Sources that have such a rendition now."),
    "written": ("int", "Renditions made in this run."),
    "skipped": ("int", "Renditions that were current already."),
    "rejected": ("int", "Sources that cannot be compressed; not_compressed says why."),
    "failed": ("int", "Sources that met an accident; the next run tries them again."),
    "source_bytes": ("int", "Bytes of those sources."),
    "output_bytes": ("int", "Bytes of the renditions."),
    "saved_bytes": ("int", "source_bytes less output_bytes."),
    "saved_pct": ("float", "saved_bytes in percent of source_bytes."),
    "compression_ratio": ("float", "output_bytes over source_bytes."),
    "renditions_pct": ("float", "Share of all renditions, percent (format distribution)."),
    "larger_than_source": ("int", "Renditions larger than their source at the same dimensions."),
    "images_per_s": (
        "float",
        "Images per second of this run; of one format, what its encoding alone would allow.",
    ),
    "mean_processing_ms": (
        "float",
        "Mean wall milliseconds: of a rendition its encoding and writing, in all the whole image.",
    ),
    "p95_processing_ms": ("float", "95th percentile of the same."),
    "encode_cpu_s": ("float", "CPU seconds of encoding, summed over workers."),
}
"""Columns of the performance table: type and description, for Dagster, README and DataFrame."""


@dataclass(slots=True)
class _Cell:
    images: int = 0
    written: int = 0
    skipped: int = 0
    rejected: int = 0
    failed: int = 0
    source_bytes: int = 0
    output_bytes: int = 0
    larger_than_source: int = 0
    encode_cpu_ms: float = 0.0
    # A number is 8 bytes here, so that the percentile is exact at any number of images.
    spent_ms: "array[float]" = field(default_factory=lambda: array("d"))


class Statistics:
    """The performance table of a run, from its rows as they are read: shard after shard."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str], _Cell] = {}
        self._whole_ms = array("d")

    @property
    def columns(self) -> tuple[str, ...]:
        """What is asked of an outcome row."""
        return _OF_RENDITIONS

    def add(self, renditions: pa.Table, sources: pa.Table) -> None:
        """Add the rows of a shard; no other shard has rows of these sources.

        Args:
            renditions: Outcome rows, one per rendition.
            sources: Timing rows, one per source that a worker had.
        """
        columns = [renditions.column(name).to_pylist() for name in _OF_RENDITIONS]
        kinds = list(zip(columns[1], columns[2], columns[3], strict=True))
        places: dict[tuple[str, str, str], list[int]] = {}
        for place, kind in enumerate(kinds):
            places.setdefault(kind, []).append(place)
        # By what is counted once a source: which sources, with their bytes.
        once: dict[tuple[str, str, str], dict[str, int]] = {}
        for (variant, format_name, status), here in places.items():
            rows = [[column[place] for place in here] for column in columns]
            is_there = status in ("written", "skipped")
            sizes = {key: size or 0 for key, size in zip(rows[0], rows[4], strict=True)}
            for key in _sums_over(format_name, variant):
                cell = self._cells.setdefault(key, _Cell())
                known = once.setdefault((*key, "there" if is_there else status), {})
                for source_key, size in sizes.items():
                    known.setdefault(source_key, size)
                if is_there:
                    self._add_made(cell, status, rows)
        for (format_name, variant, what), known in once.items():
            cell = self._cells[format_name, variant]
            if what == "there":
                cell.images += len(known)
                cell.source_bytes += sum(known.values())
            else:
                setattr(cell, what, getattr(cell, what) + len(known))
        times = sources.column("processing_ms").to_pylist()
        self._whole_ms.extend(value for value in times if value is not None)

    @staticmethod
    def _add_made(cell: _Cell, status: str, rows: list[list[Any]]) -> None:
        _, _, _, _, _, sizes, larger, encode_ms, write_ms, encode_cpu_ms = rows
        setattr(cell, status, getattr(cell, status) + len(sizes))
        cell.output_bytes += sum(size or 0 for size in sizes)
        cell.larger_than_source += sum(map(bool, larger))
        cell.encode_cpu_ms += _sum(encode_cpu_ms)
        if status == "written":
            pairs = zip(encode_ms, write_ms, strict=True)
            cell.spent_ms.extend([(encode or 0.0) + (write or 0.0) for encode, write in pairs])

    def table(self, workers: int, elapsed_s: float) -> list[dict[str, Any]]:
        """Return the rows of the performance table: format x variant, per format, then in all.

        Args:
            workers: Number of worker processes.
            elapsed_s: Wall seconds of the run.
        """
        cells, whole = self._cells, self._whole_ms
        total = max(1, sum(c.written + c.skipped for (_, v), c in cells.items() if v != ALL))
        order = sorted(cells, key=lambda key: (key[0] == ALL, key[0], key[1] == ALL, key[1]))
        rows = []
        for key in order:
            is_all = key == (ALL, ALL)
            spent = whole if is_all else cells[key].spent_ms
            if is_all:
                rate = len(whole) / elapsed_s if whole and elapsed_s else None
            else:
                images = len(spent) / max(1, _renditions_per_image(cells, key))
                rate = images * workers / (sum(spent) / 1e3) if sum(spent) else None
            rows.append(_row(key, cells[key], spent, rate, total))
        return rows


_OF_RENDITIONS: Final = (
    "source_key", "variant", "format", "status", "source_bytes", "size_bytes",
    "larger_than_source", "encode_ms", "write_ms", "encode_cpu_ms",
)  # fmt: skip


def _sums_over(format_name: str, variant: str) -> tuple[tuple[str, str], ...]:
    return (format_name, variant), (format_name, ALL), (ALL, ALL)


def performance_table(
    renditions: pa.Table, sources: pa.Table, workers: int, elapsed_s: float
) -> list[dict[str, Any]]:
    """Return the rows of the performance table of a run whose rows are all there."""
    statistics = Statistics()
    statistics.add(renditions, sources)
    return statistics.table(workers, elapsed_s)


def _renditions_per_image(cells: Mapping[tuple[str, str], _Cell], key: tuple[str, str]) -> int:
    if key[1] != ALL:
        return 1
    return sum(1 for format_name, variant in cells if format_name == key[0] and variant != ALL)


def _row(
    key: tuple[str, str], cell: _Cell, spent_ms: Sequence[float], rate: float | None, total: int
) -> dict[str, Any]:
    saved = cell.source_bytes - cell.output_bytes
    known = cell.source_bytes > 0
    return {
        "format": key[0],
        "variant": key[1],
        "images": cell.images,
        "written": cell.written,
        "skipped": cell.skipped,
        "rejected": cell.rejected,
        "failed": cell.failed,
        "source_bytes": cell.source_bytes,
        "output_bytes": cell.output_bytes,
        "saved_bytes": saved,
        "saved_pct": 100.0 * saved / cell.source_bytes if known else None,
        "compression_ratio": cell.output_bytes / cell.source_bytes if known else None,
        "renditions_pct": 100.0 * (cell.written + cell.skipped) / total,
        "larger_than_source": cell.larger_than_source,
        "images_per_s": rate,
        "mean_processing_ms": sum(spent_ms) / len(spent_ms) if spent_ms else None,
        "p95_processing_ms": percentile(spent_ms, 95.0),
        "encode_cpu_s": cell.encode_cpu_ms / 1e3,
    }


def percentile(values: Sequence[float], share_pct: float) -> float | None:
    """Return the nearest-rank percentile, or None of no values."""
    if not values:
        return None
    rank = max(1, math.ceil(share_pct / 100.0 * len(values)))
    return sorted(values)[rank - 1]


def stage_totals_s(sources: pa.Table) -> dict[str, float]:
    """Return ``<stage>_s`` and ``<stage>_cpu_s``: seconds over all images, wall and CPU."""
    return {
        f"{stage}{kind}_s": _sum(sources.column(f"{stage}{kind}_ms").to_pylist()) / 1e3
        for stage in STAGES
        for kind in ("", "_cpu")
    }


def _sum(values: Iterable[float | None]) -> float:
    return sum(value for value in values if value is not None)
