"""The story of one partition: catalogue, plan, shards, publish.

`plan_partition`, `compress_shard` and `publish_partition` are the three ops of the Dagster graph;
`compress_partition` is all of them in turn.
"""

import contextlib
import errno
import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from image_assets.engine.errors import RunError, SettingError, expected
from image_assets.engine.faults import DEVICE_ERRORS, PROCESS_ERRORS, SourceDisk
from image_assets.engine.library.catalogue import (
    CatalogueRow,
    build_catalogue,
    read_catalogue,
    read_source_keys,
)
from image_assets.engine.library.prune import (
    Orphans,
    find_orphans,
    prune_orphans,
    refuse_missing_source,
)
from image_assets.engine.library.quarantine import counted, is_attempt
from image_assets.engine.library.rebuild import is_lost, take_back
from image_assets.engine.library.skip import split_current
from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.pixels.encode import EncodePolicy
from image_assets.engine.planning.machine import free_disk_bytes, inspect_machine
from image_assets.engine.planning.plan import Plan, cut_into_chunks, make_plan
from image_assets.engine.planning.presets import ResolvedPreset
from image_assets.engine.planning.recipe import make_recipe, recipe_digest, refusal_digest
from image_assets.engine.planning.settings import Settings
from image_assets.engine.reasons import ATTEMPT_REASONS, Reason
from image_assets.engine.run.monitor import PerformanceMonitor, Progress
from image_assets.engine.run.result import Counts, PartitionResult, summarise, write_performance
from image_assets.engine.storage import tables
from image_assets.engine.storage.layout import (
    Layout,
    is_output,
    output_around,
    refuse_output_as_source,
)
from image_assets.engine.storage.lease import hold_lease
from image_assets.engine.storage.ledger import (
    PLACE,
    Key,
    Known,
    Ledger,
    LedgerIndex,
    LedgerWriter,
    compact_parts,
)
from image_assets.engine.storage.naming import table_folder
from image_assets.engine.storage.store import LocalStore
from image_assets.engine.storage.sweep import (
    begin,
    sweep_after_killed_runs,
    sweep_partition,
    sweep_source,
)
from image_assets.engine.storage.tables import DamagedError
from image_assets.engine.workers.admission import Admission
from image_assets.engine.workers.pool import ChunkDone, WorkerPool
from image_assets.engine.workers.render import (
    RenderSetup,
    Row,
    SourceResult,
    SourceTask,
    VariantSpec,
)

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
        SettingError: The source is no folder, the output is a file or cannot be written, one lies
            inside the other, the source lies in the output of another run, or the output holds
            what no run wrote; through links too.
        RunError: The output's disk is full or broken.
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
    refuse_output_as_source(source)
    _check_output(output)
    _try_to_write(output / "tables")


# What an output may hold before its first run, and what a disk has at its root.
_NOT_STRANGE: Final = frozenset({"tables", "renditions", "web", "lost+found"})


def _check_output(output: Path) -> None:
    """Refuse to write among what is not ours: originals above all."""
    around = output_around(output.parent)
    if around is not None:
        raise SettingError(
            expected(f"an output folder outside the output {around}", str(output), "output")
        )
    if not output.is_dir() or is_output(output):
        return
    try:
        names = sorted(entry.name for entry in output.iterdir())
    except OSError:
        return  # `_try_to_write` says whether this matters
    strange = [name for name in names if name not in _NOT_STRANGE and not name.startswith(".")]
    if strange:
        raise SettingError(
            expected(
                "an empty folder or an output of image_assets",
                str(output),
                f"output; it holds {strange[0]!r}"
                + (f" and {len(strange) - 1} more" if len(strange) > 1 else ""),
            )
        )


_MACHINES_FAULTS: Final = (
    frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS}) | DEVICE_ERRORS | PROCESS_ERRORS
)
"""What says nothing against the output that was named: a disk gone read-only overnight is one."""


def _try_to_write(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Without a name where the system can: runs that begin at once do not meet here.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        where = f"output: {error.strerror}"
        sentence = expected("an output folder that can be written", str(folder.parent), where)
        if error.errno in _MACHINES_FAULTS:
            raise RunError(sentence) from error
        raise SettingError(sentence) from error


def list_sources(job: PartitionJob) -> list[CatalogueRow]:
    """Return the partition's catalogue: the stored one, or a new listing where asked or missing.

    An empty one counts as missing: it may be of an hour when the disk was not mounted.

    Raises:
        SettingError: The day's folder is a link, and links are not followed.
        RunError: The source cannot be listed, or is not there and the run is to prune.
    """
    if not job.relist:
        with contextlib.suppress(DamagedError):  # then it is listed anew
            stored = read_catalogue(job.output, job.partition_key)
            if stored:
                return stored
    root = job.layout.partition_root(job.source, job.partition_key)
    if root is not None and not job.preset.follow_links:
        _refuse_linked_day(job.source, root)
    if job.preset.prune:
        refuse_missing_source(job.source, job.output, job.layout, job.partition_key, root)
    return build_catalogue(
        root, job.output, job.partition_key, follow_links=job.preset.follow_links
    )


def _refuse_linked_day(source: Path, root: Path) -> None:
    """A link to another disk looks like a day; what it leads to may be anything."""
    for folder in (root, *root.parents):
        if folder == source:
            return
        if folder.is_symlink():
            raise SettingError(
                expected(
                    "a day folder that is no link",
                    f"{folder} -> {folder.readlink()}",
                    "source; follow_links = true follows it",
                )
            )


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
        store = LocalStore(job.output)
        folder = f"{table_folder('outcomes', job.partition_key)}/{job.run_id}"
        self._renditions = tables.TableWriter(
            store, f"{folder}/renditions-{shard:04d}.parquet", tables.OUTCOMES
        )
        self._sources = tables.TableWriter(
            store, f"{folder}/sources-{shard:04d}.parquet", tables.SOURCES
        )
        self._done: set[str] = set()
        self.known = Known.of(Ledger())
        self._after_bytes: dict[int, tuple[int, int]] = {}
        # Results of chunks that are still in work.
        self._unfinished: dict[str, SourceResult] = {}
        root = job.layout.partition_root(job.source, job.partition_key)
        self._disk = SourceDisk(root)

    def compress(self) -> ShardResult:
        job = self.job
        rows = read_catalogue(job.output, job.partition_key, (self.shard, self.plan.shards)) or []
        digests = recipe_digests(job)
        index = LedgerIndex(job.output, job.partition_key, besides=(job.run_id, self.shard))
        writer = LedgerWriter(
            job.output, job.partition_key, job.run_id, index.generation + 1, self.shard
        )
        self.known, taken_back = self._read_ledger(index, rows, digests)
        split = split_current(job, rows, self.known.by_source(), digests, self.known.attempts)
        self._report_damage(index.damaged, taken_back, split.tasks)
        writer.append(taken_back)
        worked = {task.source_key for task in split.tasks}
        settled = {
            status: len({r["source_key"] for r in split.settled if r["status"] == status} - worked)
            for status in ("rejected", "failed")
        }
        monitor = PerformanceMonitor(
            job.partition_key, len(rows), len(rows) - len(split.tasks), **settled
        )
        tasks = split.tasks
        try:
            self._add_settled(split.settled)
            del rows, split, worked, index
            peak, base = self._work(tasks, digests, writer, monitor) if tasks else (0, 0)
            self._renditions.close()
            self._sources.close()
        finally:
            self._renditions.discard()
            self._sources.discard()
        writer.merge()
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

    def _read_ledger(
        self, index: LedgerIndex, rows: list[CatalogueRow], digests: dict[tuple[str, str], str]
    ) -> tuple[Known, list[Row]]:
        """What is known of the shard's sources, and what of it had to be taken back."""
        known = index.known({row.source_key for row in rows})
        if not is_lost(index, self.job.output, self.job.partition_key):
            return known, []
        ledger = known.ledger(index)
        taken_back = take_back(self.job.output, self.job.partition_key, ledger, rows, digests)
        return Known.of(ledger), taken_back

    def _add_settled(self, settled: list[Row]) -> None:
        """Write rows that stand: those of the ledger as it has them, with their status of now.

        Of those only what the skip rule looked at has ever been a Python value.
        """
        of_ledger = [row for row in settled if PLACE in row]
        for start in range(0, len(of_ledger), tables.ROWS_PER_GROUP):
            some = of_ledger[start : start + tables.ROWS_PER_GROUP]
            table = tables.take(self.known.table, [row[PLACE] for row in some])
            kinds = sorted({row["status"] for row in some})
            status = tables.take(
                tables.to_table([{"status": kind} for kind in kinds], tables.STATUS),
                [kinds.index(row["status"]) for row in some],
            )
            table = table.set_column(
                table.schema.names.index("status"), "status", status.column("status")
            )
            self._renditions.add(tables.widen(table, tables.OUTCOMES))
        for row in settled:
            if PLACE not in row:
                self._renditions.add_row(row)

    def _work(
        self,
        tasks: list[SourceTask],
        digests: dict[tuple[str, str], str],
        writer: LedgerWriter,
        monitor: PerformanceMonitor,
    ) -> tuple[int, int]:
        job = self.job
        _check_disk(job.output, job.partition_key, tasks, self.known.rows)
        begin(job.output, job.partition_key, job.run_id, self.shard)
        try:
            return self._run_pool(tasks, digests, writer, monitor)
        except RunError as error:
            self._keep_what_is_finished(writer)
            raise RunError(f"{error}{self._need(tasks, self.known.rows)}") from error
        except BaseException:  # Ctrl-C, Terminate
            self._keep_what_is_finished(writer)
            raise

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
        with WorkerPool(
            setup, workers, admission, plan.machine_bytes, preset.image_time_limit_s
        ) as pool:
            for event in pool.run(chunks):
                if isinstance(event, ChunkDone):
                    self._finish_chunk(event, writer)
                    continue
                self._look_at_disk(event)
                self._unfinished[event.source_key] = event
                monitor.add(event)
                if self.on_progress is not None:
                    self.on_progress(monitor.progress())
            self.deferred, self.start_s = pool.deferred, pool.start_s
            return pool.peak_bytes, pool.base_bytes

    def _finish_chunk(self, chunk: ChunkDone, writer: LedgerWriter) -> None:
        """Write the chunk's rows: from here on a rerun does not do these images again."""
        found = [row for result in chunk.results for row in result.outcomes]
        before = self.known.whole([_key(row) for row in found if row["status"] == "skipped"])
        outcomes = [self._complete(row, before) for row in found]
        table = tables.to_table(outcomes, tables.OUTCOMES)
        remembered = [place for place, row in enumerate(outcomes) if _is_remembered(row)]
        writer.append(tables.take(table, remembered).select(tables.LEDGER.names))
        self._renditions.add(table)
        for result in chunk.results:
            self._sources.add_row(result.source)
            self._done.add(result.source_key)
            self._unfinished.pop(result.source_key, None)
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

    def _keep_what_is_finished(self, writer: LedgerWriter) -> None:
        """The run ends early: images that are done are not done again, so far as can be written."""
        with contextlib.suppress(RunError, OSError):
            self._finish_chunk(ChunkDone(0, list(self._unfinished.values()), None), writer)
        for table in (self._renditions, self._sources):
            with contextlib.suppress(RunError, OSError):
                table.close()
        # What the workers had in hand when they were ended.
        with contextlib.suppress(OSError):
            sweep_partition(self.job.output, self.job.partition_key)

    def _look_at_disk(self, result: SourceResult) -> None:
        """Tell an image that cannot be read from a disk that cannot.

        Raises:
            RunError: It is the machine's fault, and no bad image.
        """
        if "source_sha256" in result.source:
            self._disk.was_read()
        elif "read_errno" in result.source:
            self._disk.met(result.source["read_errno"], result.source_key)

    def _need(self, tasks: list[SourceTask], known: Mapping[Key, Row]) -> str:
        """What the rest of the work needs of the disk, where that is more than there is."""
        left = [task for task in tasks if task.source_key not in self._done]
        need, free = _forecast_bytes(left, known), free_disk_bytes(self.job.output)
        if need <= free:
            return ""
        return (
            f" What is left needs about {need / 1e6:.1f} MB, {free / 1e6:.1f} MB are free "
            f"({self.job.output})."
        )

    def _report_damage(
        self, damaged: Mapping[str, str], taken_back: list[Row], tasks: list[SourceTask]
    ) -> None:
        again = sum(len(task.wanted) for task in tasks)
        rebuilt = (
            f"{len(taken_back)} renditions are taken back, whose bytes are what a run recorded; "
            f"{again} are made again."
        )
        for name, problem in damaged.items():
            self._warn(
                f"Ledger part {name} is damaged and set aside as {name}.damaged. {rebuilt} "
                f"{problem}"
            )
        if taken_back and not damaged:
            self._warn(f"The ledger of partition {self.job.partition_key} is gone. {rebuilt}")

    def _complete(self, row: Row, before: Mapping[Key, Row]) -> Row:
        """Add to a worker's row what only the parent knows."""
        if row["status"] == "rejected":
            return {**row, "recipe_digest": refusal_digest(row["recipe_digest"], self.job.preset)}
        if row["status"] == "skipped":
            # The file's date changed but not its bytes: what is known of its renditions holds.
            return {**before[_key(row)], **row}
        if is_attempt(row):
            last = self.known.attempts.get(_key(row))
            return counted(row, last, self.job.preset, self.job.run_id)
        return row

    def _report(self, result: SourceResult) -> None:
        bad = next((r for r in result.outcomes if r["status"] in ("rejected", "failed")), None)
        if bad is not None and bad["reason"] in ATTEMPT_REASONS:
            # Its worker may have been ended while it wrote.
            sweep_source(self.job.output, self.job.partition_key, result.source_key)
        if bad is not None:
            self.log.warning(
                "%s %s: %s: %s", bad["status"], bad["source_key"], bad["reason"], bad["message"]
            )

    def _warn(self, message: str) -> None:
        self.messages.append(message)
        self.log.warning("%s", message)


def _key(row: Row) -> Key:
    return row["source_key"], row["variant"], row["format"]


def _is_remembered(row: Row) -> bool:
    """Accidents, and what another machine may have the memory for, are looked at again.

    Of accidents, those that are counted as attempts at the image are remembered as such.
    """
    if row["status"] == "failed":
        return is_attempt(row)
    return row.get("reason") != Reason.NEEDS_TOO_MUCH_MEMORY


def _check_disk(
    output: Path, partition_key: str, tasks: list[SourceTask], known: Mapping[Key, Row]
) -> None:
    """Refuse to begin where the forecast does not fit onto the disk."""
    need, free = _forecast_bytes(tasks, known), free_disk_bytes(output)
    if free < need:
        raise RunError(
            f"Expected {need / 1e6:.1f} MB of free disk for "
            f"{sum(len(task.wanted) for task in tasks)} renditions, received {free / 1e6:.1f} MB "
            f"({output}, partition {partition_key}). Free some, or name another output."
        )


def _forecast_bytes(tasks: list[SourceTask], known: Mapping[Key, Row]) -> float:
    """What renditions will take, beyond those that they replace."""
    sizes = [row["size_bytes"] for row in known.values() if row["size_bytes"]]
    mean = sum(sizes) / len(sizes) if sizes else None
    need = 0.0
    for task in tasks:
        # Never more than a source would weigh, so that small ones do not raise the guess.
        guess = min(_RENDITION_GUESS_BYTES, task.size_bytes) if mean is None else mean
        for pair in task.wanted:
            before = known.get((task.source_key, *pair))
            need += max(0.0, guess - (before["size_bytes"] or 0 if before else 0))
    return need


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
            jpeg_coding=preset.jpeg_coding,
        ),
        draft_margin=preset.draft_margin,
        resize_filter=preset.resize_filter,
        max_pixels=preset.max_pixels,
        max_source_bytes=preset.max_source_bytes,
        recipe_digests=digests,
        max_frames=preset.max_frames,
        accept_truncated=preset.accept_truncated,
        keep_display_p3=preset.keep_display_p3,
        metadata=preset.metadata,
        follow_links=preset.follow_links,
    )


def publish_partition(
    job: PartitionJob, plan: Plan, shards: Sequence[ShardResult]
) -> PartitionResult:
    """Compact the ledger, list or prune orphans, write the run's performance and variant tables.

    Raises:
        RunError: A table cannot be written, or a guard of pruning stops it.
    """
    with hold_lease(job.output, job.partition_key, job.run_id, job.preset.lease_wait_s):
        index = LedgerIndex(job.output, job.partition_key)
        there = read_source_keys(job.output, job.partition_key)
        orphans = find_orphans(job.output, job.partition_key, index, there)
        sweep_after_killed_runs(job.output, job.partition_key, job.run_id)
        forgotten: frozenset[Key] = frozenset()
        if job.preset.prune and orphans.source_keys:
            root = job.layout.partition_root(job.source, job.partition_key)
            catalogue = read_catalogue(job.output, job.partition_key) or []
            forgotten = prune_orphans(job, root, index, catalogue, orphans)
        compact_parts(job.output, job.partition_key, index, job.run_id, forgotten)
        result = summarise(job, plan, list(shards), len(there), orphans)
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
