"""The story of one partition: catalogue, plan, shards, publish.

`plan_partition`, `compress_shard` and `publish_partition` are the three ops of the Dagster graph;
`compress_partition` is all of them in turn.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa

from image_assets.engine import tables
from image_assets.engine.catalogue import CatalogueRow, build_catalogue, read_catalogue
from image_assets.engine.codecs import codec_versions
from image_assets.engine.encode import EncodePolicy
from image_assets.engine.errors import RunError, SettingError, expected
from image_assets.engine.layout import Layout
from image_assets.engine.lease import hold_lease
from image_assets.engine.ledger import Key, LedgerWriter, compact, read_ledger
from image_assets.engine.machine import free_disk_bytes, inspect_machine
from image_assets.engine.monitor import PerformanceMonitor, Progress
from image_assets.engine.naming import table_folder
from image_assets.engine.plan import Plan, cut_into_chunks, make_plan
from image_assets.engine.pool import Admission, ChunkDone, WorkerPool
from image_assets.engine.presets import ResolvedPreset
from image_assets.engine.prune import Orphans, find_orphans, prune_orphans
from image_assets.engine.reasons import Reason
from image_assets.engine.recipe import make_recipe, recipe_digest, refusal_digest
from image_assets.engine.render import RenderSetup, Row, SourceResult, SourceTask, VariantSpec
from image_assets.engine.result import Counts, PartitionResult, summarise, write_performance
from image_assets.engine.settings import Settings
from image_assets.engine.skip import split_current
from image_assets.engine.store import LocalStore

OnProgress = Callable[[Progress], None]

# The guide's threshold: a chunk that leaves its worker this much larger is worth a warning.
_MEMORY_WARNING_BYTES = 100_000_000
# Forecast of a rendition's size where the ledger knows none: a 1024 px JPEG of quality 85.
_RENDITION_GUESS_BYTES = 250_000


@dataclass(frozen=True, slots=True)
class PartitionJob:
    """What is to be done with one partition.

    Attributes:
        source: Source folder of the library.
        output: Output folder.
        partition_key: The day, ``YYYY-MM-DD``.
        layout: How partitions lie in the source.
        settings: Variants and formats there are.
        preset: Numbers and policy.
        variants: Names of the variants to make, any subset.
        formats: Names of the formats to make, any subset.
        run_id: Names the run in tables and lease; letters, digits, ``-`` and ``_``.
        relist: List the sources even where a catalogue is stored.
    """

    source: Path
    output: Path
    partition_key: str
    layout: Layout
    settings: Settings
    preset: ResolvedPreset
    variants: tuple[str, ...]
    formats: tuple[str, ...]
    run_id: str
    relist: bool = True

    def wanted(self) -> list[tuple[str, str]]:
        """The (variant, format) pairs to make of every source."""
        formats = (*self.formats, "master") if self.preset.keep_masters else self.formats
        return [(variant, name) for variant in self.variants for name in formats]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What a shard reports; plain data, small whatever the number of images."""

    shard: int
    elapsed_s: float
    start_s: float
    base_bytes: int
    peak_bytes: int
    growth_bytes: int
    deferred: int
    open_files: int
    messages: list[str] = field(default_factory=list)


def check_folders(source: Path, output: Path) -> None:
    """Check source and output before anything is read or written.

    Raises:
        SettingError: The source is no folder, the output is a file or cannot be written, or one
            lies inside the other, through links too.
    """
    if not source.is_dir():
        raise SettingError(expected("an existing source folder", str(source), "source"))
    real_source, real_output = Path(os.path.realpath(source)), Path(os.path.realpath(output))
    if real_output == real_source or real_source in real_output.parents:
        raise SettingError(
            expected(f"an output folder outside the source {source}", str(output), "output")
        )
    if real_output in real_source.parents:
        raise SettingError(
            expected(f"a source folder outside the output {output}", str(source), "source")
        )
    if output.exists() and not output.is_dir():
        raise SettingError(expected("an output folder", f"{output}, a file", "output"))
    probe = LocalStore(output)
    try:
        probe.publish("tables/.writable", b"")
        probe.delete("tables/.writable")
    except (RunError, OSError) as error:
        raise SettingError(
            expected("an output folder that can be written", str(output), f"output: {error}")
        ) from error


def list_sources(job: PartitionJob) -> list[CatalogueRow]:
    """Return the partition's catalogue: the stored one, or a new listing where asked or missing."""
    if not job.relist:
        stored = read_catalogue(job.output, job.partition_key)
        if stored is not None:
            return stored
    root = job.layout.partition_root(job.source, job.partition_key)
    return build_catalogue(root, job.output, job.partition_key)


def plan_partition(job: PartitionJob) -> Plan:
    """Check folders and settings, list the sources and resolve the preset on this machine.

    Raises:
        SettingError: Before any image is read.
        RunError: The source cannot be listed.
    """
    check_folders(job.source, job.output)
    rows = list_sources(job)
    sizes = [row.size_bytes for row in rows if row.status == "found"]
    return make_plan(job.preset, inspect_machine(), sizes)


def compress_shard(
    job: PartitionJob,
    plan: Plan,
    shard: int = 0,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> ShardResult:
    """Compress what is not current of one shard; rows go to the run's tables and the ledger.

    Args:
        job: What to do.
        plan: As `plan_partition` made it.
        shard: Index below ``plan.shards``.
        on_progress: Called after every image.
        logger: Gets warnings; default is this module's.

    Raises:
        RunError: The machine cannot go on. What is finished stays.
    """
    log = logger or logging.getLogger(__name__)
    with hold_lease(job.output, job.partition_key, job.run_id, job.preset.lease_wait_s):
        return _Shard(job, plan, shard, on_progress, log).compress()


class _Shard:
    """One shard in work."""

    def __init__(
        self,
        job: PartitionJob,
        plan: Plan,
        shard: int,
        on_progress: OnProgress | None,
        logger: logging.Logger,
    ) -> None:
        self.job, self.plan, self.shard, self.log = job, plan, shard, logger
        self.on_progress = on_progress
        self.started = time.perf_counter()
        self.start_s = 0.0
        self.deferred = 0
        self.messages: list[str] = []
        self.renditions: list[pa.Table] = []
        self.sources: list[Row] = []
        self.known: dict[Key, Row] = {}
        self._after_bytes: dict[int, tuple[int, int]] = {}

    def compress(self) -> ShardResult:
        job = self.job
        everything = read_catalogue(job.output, job.partition_key) or []
        rows = _slice(everything, self.shard, self.plan.shards)
        ledger = read_ledger(job.output, job.partition_key)
        for name, problem in ledger.damaged.items():
            self._warn(
                f"Ledger part {name} is damaged, so what it knew is made again and the file is set "
                f"aside as {name}.damaged: {problem}"
            )
        self.known = ledger.rows
        digests = recipe_digests(job)
        split = split_current(job, rows, ledger.by_source(), digests)
        writer = LedgerWriter(
            job.output, job.partition_key, job.run_id, ledger.generation + 1, self.shard
        )
        self.renditions.append(tables.to_table(split.settled, tables.OUTCOMES))
        monitor = PerformanceMonitor(job.partition_key, len(rows), len(rows) - len(split.tasks))
        peak = base = 0
        if split.tasks:
            _check_disk(job.output, split.tasks, list(ledger.rows.values()))
            peak, base = self._run_pool(split.tasks, digests, writer, monitor)
        self._write_outcomes()
        elapsed_s = time.perf_counter() - self.started
        growth = max((last - first for first, last in self._after_bytes.values()), default=0)
        return ShardResult(
            shard=self.shard,
            elapsed_s=elapsed_s,
            start_s=self.start_s,
            base_bytes=base,
            peak_bytes=peak,
            growth_bytes=max(0, growth),
            deferred=self.deferred,
            open_files=psutil.Process().num_fds(),
            messages=self.messages,
        )

    def _run_pool(
        self,
        tasks: list[SourceTask],
        digests: dict[tuple[str, str], str],
        writer: LedgerWriter,
        monitor: PerformanceMonitor,
    ) -> tuple[int, int]:
        plan, preset = self.plan, self.job.preset
        sizes = [task.size_bytes for task in tasks]
        chunks = [
            [tasks[index] for index in chunk]
            for chunk in cut_into_chunks(sizes, plan.chunk_size, plan.chunk_bytes, plan.max_workers)
        ]
        workers = min(plan.max_workers, len(chunks))
        admission = Admission(plan.image_budget_bytes, workers)
        setup = render_setup(self.job, plan, digests)
        began = time.perf_counter()
        with WorkerPool(
            setup, workers, admission, plan.machine_bytes, preset.image_time_limit_s
        ) as pool:
            for event in pool.run(chunks):
                self.start_s = self.start_s or time.perf_counter() - began
                if isinstance(event, ChunkDone):
                    self._finish_chunk(event, writer)
                    continue
                monitor.add(event)
                if self.on_progress is not None:
                    self.on_progress(monitor.progress())
            self.deferred = pool.deferred
            return pool.peak_bytes, pool.base_bytes

    def _finish_chunk(self, chunk: ChunkDone, writer: LedgerWriter) -> None:
        """Write the chunk's rows: from here on a rerun does not do these images again."""
        outcomes = [self._complete(row) for result in chunk.results for row in result.outcomes]
        writer.append(row for row in outcomes if _is_remembered(row))
        self.renditions.append(tables.to_table(outcomes, tables.OUTCOMES))
        self.sources.extend(result.source for result in chunk.results)
        for result in chunk.results:
            self._report(result)
        if chunk.memory is None:
            return
        first, _ = self._after_bytes.get(chunk.worker_id, (chunk.memory.after_bytes, 0))
        self._after_bytes[chunk.worker_id] = (first, chunk.memory.after_bytes)
        increase = chunk.memory.after_bytes - first
        if increase > _MEMORY_WARNING_BYTES:
            self._warn(
                f"Worker {chunk.worker_id} holds {increase / 1e6:.0f} MB more after collection "
                f"than after its first chunk (peak {chunk.memory.peak_bytes / 1e6:.0f} MB)."
            )

    def _complete(self, row: Row) -> Row:
        """Add to a worker's row what only the parent knows."""
        if row["status"] == "rejected":
            return {**row, "recipe_digest": refusal_digest(row["recipe_digest"], self.job.preset)}
        if row["status"] == "skipped":
            # The file's date changed but not its bytes: what is known of its renditions holds.
            return {**self.known[row["source_key"], row["variant"], row["format"]], **row}
        return row

    def _report(self, result: SourceResult) -> None:
        bad = next((r for r in result.outcomes if r["status"] in ("rejected", "failed")), None)
        if bad is not None:
            self.log.warning(
                "%s %s: %s: %s", bad["status"], bad["source_key"], bad["reason"], bad["message"]
            )

    def _warn(self, message: str) -> None:
        self.messages.append(message)
        self.log.warning("%s", message)

    def _write_outcomes(self) -> None:
        store = LocalStore(self.job.output)
        folder = f"{table_folder('outcomes', self.job.partition_key)}/{self.job.run_id}"
        table = pa.concat_tables(self.renditions)
        tables.write(store, f"{folder}/renditions-{self.shard:04d}.parquet", table)
        table = tables.to_table(self.sources, tables.SOURCES)
        tables.write(store, f"{folder}/sources-{self.shard:04d}.parquet", table)


def _is_remembered(row: Row) -> bool:
    """Accidents, and what another machine may have the memory for, are looked at again."""
    return row["status"] != "failed" and row.get("reason") != Reason.NEEDS_TOO_MUCH_MEMORY


def _slice(rows: list[CatalogueRow], shard: int, shards: int) -> list[CatalogueRow]:
    per_shard = -(-len(rows) // shards)
    return rows[shard * per_shard : (shard + 1) * per_shard]


def _check_disk(output: Path, tasks: list[SourceTask], known: list[Row]) -> None:
    """Refuse to begin where the forecast does not fit onto the disk."""
    sizes = [row["size_bytes"] for row in known if row["size_bytes"]]
    mean = sum(sizes) / len(sizes) if sizes else None
    need = 0.0
    for task in tasks:
        # Never more than a source would weigh, so that small ones do not raise the guess.
        guess = min(_RENDITION_GUESS_BYTES, task.size_bytes) if mean is None else mean
        need += guess * len(task.wanted)
    free = free_disk_bytes(output)
    if free < need:
        raise RunError(
            f"Expected {need / 1e6:.0f} MB of free disk for "
            f"{sum(len(task.wanted) for task in tasks)} renditions, received {free / 1e6:.0f} MB "
            f"({output}). Free some, or name another output."
        )


def recipe_digests(job: PartitionJob) -> dict[tuple[str, str], str]:
    """Return the digest of each wanted recipe, by (variant, format)."""
    codecs = codec_versions()
    return {
        (variant, format_name): recipe_digest(make_recipe(job.preset, variant, format_name, codecs))
        for variant, format_name in job.wanted()
    }


def render_setup(job: PartitionJob, plan: Plan, digests: dict[tuple[str, str], str]) -> RenderSetup:
    """Return what every worker of the run is told."""
    preset = job.preset
    root = job.layout.partition_root(job.source, job.partition_key)
    return RenderSetup(
        source_root=str(root),
        output_root=str(job.output),
        partition_key=job.partition_key,
        variants=tuple(
            VariantSpec(variant.name, variant.px, dict(variant.quality), variant.animation)
            for variant in sorted(preset.variants, key=lambda v: (-v.px, v.name))
        ),
        policy=EncodePolicy(
            avif_speed=preset.avif_speed,
            avif_threads=plan.avif_threads,
            webp_method=preset.webp_method,
            background=preset.background,
            codecs=codec_versions(),
            graphics=preset.graphics,
        ),
        draft_margin=preset.draft_margin,
        max_pixels=preset.max_pixels,
        max_source_bytes=preset.max_source_bytes,
        recipe_digests=digests,
        max_frames=preset.max_frames,
        accept_truncated=preset.accept_truncated,
        keep_display_p3=preset.keep_display_p3,
        metadata=preset.metadata,
    )


def publish_partition(
    job: PartitionJob, plan: Plan, shards: Sequence[ShardResult]
) -> PartitionResult:
    """Compact the ledger, list or prune orphans, write the run's performance and variant tables.

    Raises:
        RunError: A table cannot be written, or a guard of pruning stops it.
    """
    with hold_lease(job.output, job.partition_key, job.run_id, job.preset.lease_wait_s):
        ledger = read_ledger(job.output, job.partition_key)
        catalogue = read_catalogue(job.output, job.partition_key) or []
        orphans = find_orphans(job.output, job.partition_key, ledger, catalogue)
        if job.preset.prune and orphans.source_keys:
            root = job.layout.partition_root(job.source, job.partition_key)
            prune_orphans(job, root, ledger, catalogue, orphans)
        compact(job.output, job.partition_key, ledger, job.run_id)
    result = summarise(job, plan, list(shards), catalogue, orphans)
    write_performance(job, result)
    return result


def compress_partition(
    job: PartitionJob,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> PartitionResult:
    """Compress one partition from listing to performance table, shard after shard."""
    plan = plan_partition(job)
    shards = [
        compress_shard(job, plan, index, on_progress=on_progress, logger=logger)
        for index in range(plan.shards)
    ]
    return publish_partition(job, plan, shards)


__all__ = [
    "Counts",
    "Orphans",
    "PartitionJob",
    "PartitionResult",
    "ShardResult",
    "check_folders",
    "compress_partition",
    "compress_shard",
    "list_sources",
    "plan_partition",
    "publish_partition",
    "recipe_digests",
]
