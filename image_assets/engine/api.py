"""The public call from Python: compress a folder, get counts, sizes, statistics and rows."""

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.planning.presets import DEFAULT_PRESET, resolve_preset
from image_assets.engine.planning.settings import Settings, load_settings
from image_assets.engine.run.monitor import Progress
from image_assets.engine.run.partition import PartitionJob, check_folders, compress_partition
from image_assets.engine.run.result import Counts, NotCompressed, PartitionResult, read_rows
from image_assets.engine.storage.layout import FLAT, TEMPLATES, Layout, resolve_layout

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class FolderResult:
    """What compressing a folder came to.

    Attributes:
        partitions: One result per partition; a folder without day structure is one.
        output: The output folder.
        elapsed_s: Wall seconds of the whole call.
    """

    partitions: list[PartitionResult]
    output: Path
    elapsed_s: float

    @property
    def counts(self) -> Counts:
        """Counts over all partitions."""
        names = Counts.__dataclass_fields__
        return Counts(
            **{name: sum(getattr(p.counts, name) for p in self.partitions) for name in names}
        )

    @property
    def source_bytes(self) -> int:
        """Bytes of the sources that have renditions."""
        return sum(partition.source_bytes for partition in self.partitions)

    @property
    def output_bytes(self) -> int:
        """Bytes of their renditions."""
        return sum(partition.output_bytes for partition in self.partitions)

    @property
    def images_per_s(self) -> float | None:
        """Images compressed per second of the call; None where nothing needed doing."""
        worked = sum(p.images_per_s * p.elapsed_s for p in self.partitions if p.images_per_s)
        return worked / self.elapsed_s if worked and self.elapsed_s else None

    @property
    def peak_memory_bytes(self) -> int:
        """Largest memory of all processes together (PSS)."""
        return max((partition.peak_memory_bytes for partition in self.partitions), default=0)

    @property
    def not_compressed(self) -> list[NotCompressed]:
        """Rejected and failed sources, with reasons."""
        return [bad for partition in self.partitions for bad in partition.not_compressed]

    @property
    def table(self) -> list[dict[str, Any]]:
        """Rows of the performance tables, with ``partition_key`` where there are several."""
        if len(self.partitions) == 1:
            return self.partitions[0].table
        return [
            {"partition_key": partition.partition_key, **row}
            for partition in self.partitions
            for row in partition.table
        ]

    @property
    def statistics(self) -> "pd.DataFrame":
        """The performance table as a DataFrame; columns are `engine.statistics.COLUMNS`."""
        import pandas as pd

        return pd.DataFrame(self.table)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One outcome row per rendition, read from the run's tables."""
        found: list[dict[str, Any]] = []
        for partition in self.partitions:
            rows = read_rows(self.output, partition.partition_key, partition.run_id)
            found.extend(rows.renditions.to_pylist())
        return found

    def to_json_dict(self) -> dict[str, Any]:
        """The summary as JSON-ready data."""
        return {
            **asdict(self.counts),
            "source_bytes": self.source_bytes,
            "output_bytes": self.output_bytes,
            "elapsed_s": self.elapsed_s,
            "engine_s": sum(partition.elapsed_s for partition in self.partitions),
            "cpu_s": sum(partition.cpu_s for partition in self.partitions),
            "images_per_s": self.images_per_s,
            "peak_memory_bytes": self.peak_memory_bytes,
            "preset": self.partitions[0].preset if self.partitions else None,
            "partition_keys": [partition.partition_key for partition in self.partitions],
            "by_format_variant": self.table,
            "verdicts": [asdict(partition.verdict) for partition in self.partitions],
            "not_compressed": [asdict(bad) for bad in self.not_compressed],
            "output": str(self.output),
        }


def compress_folder(
    source: str | Path,
    output: str | Path,
    *,
    preset: str = DEFAULT_PRESET,
    overrides: Mapping[str, object] | None = None,
    settings: Settings | None = None,
    partition_key: str | None = None,
    today: date | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    logger: logging.Logger | None = None,
) -> FolderResult:
    """Compress every photograph below a folder; what is current already is left alone.

    The folder's images are one partition, the day of the first run, whatever its layout; an
    output begun with day folders (by Dagster, or by naming a ``partition_key`` here) keeps them.

    Args:
        source: Folder of photographs, any depth. It is only read.
        output: Folder for renditions and tables, outside the source.
        preset: ``balanced``, ``throughput``, ``quality`` or ``memory_efficient``.
        overrides: Single settings in the preset's place, such as ``{"full_px": 1600}``; the keys
            are those of `image_assets.engine.planning.presets.override_fields`.
        settings: Variants and formats; default is the settings file.
        partition_key: One day, ``YYYY-MM-DD``, of a folder that has day folders.
        today: Day of the first run; default is today in UTC.
        on_progress: Called after every image.
        logger: Gets one line per bad image and the run's warnings.

    Returns:
        Counts, sizes, the statistics as a DataFrame, and the rows.

    Raises:
        SettingError: A wrong setting; nothing was started.
        RunError: The run could not be completed; what is finished is kept.
    """
    started = time.perf_counter()
    source, output = Path(source).absolute(), Path(output).absolute()
    settings = settings or load_settings()
    resolved = resolve_preset(preset, settings, overrides)
    check_folders(source, output)
    layout = _layout(source, output, partition_key, today or datetime.now(UTC).date())
    run_id = new_run_id()
    results = [
        compress_partition(
            PartitionJob(
                source=source,
                output=output,
                partition_key=key,
                layout=layout,
                settings=settings,
                preset=resolved,
                variants=settings.variant_names,
                formats=settings.formats,
                run_id=run_id,
            ),
            on_progress=on_progress,
            logger=logger,
        )
        for key in ([partition_key] if partition_key else layout.partitions(source))
    ]
    return FolderResult(results, output, time.perf_counter() - started)


def _layout(source: Path, output: Path, partition_key: str | None, today: date) -> Layout:
    if partition_key is None:
        # An existing record wins over "flat".
        recorded = resolve_layout(source, output, "auto", today, record=False)
        is_new = not (output / "tables" / "layout.json").exists()
        return resolve_layout(source, output, FLAT, today, record=True) if is_new else recorded
    try:
        date.fromisoformat(partition_key)
    except ValueError as error:
        raise SettingError(
            expected("a day as YYYY-MM-DD", partition_key, "partition_key")
        ) from error
    layout = resolve_layout(source, output, "auto", today, record=False)
    if layout.partition_root(source, partition_key) is None:
        raise SettingError(
            expected(
                f"a partition of {', '.join(layout.partitions(source)[-5:]) or 'none'} "
                f"(folders like {', '.join(TEMPLATES)})",
                partition_key,
                f"partition_key; source {source}",
            )
        )
    return resolve_layout(source, output, "auto", today, record=True)


def new_run_id() -> str:
    """Return a run id that sorts by time: ``YYYYMMDDTHHMMSS-<8 hex digits>``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
