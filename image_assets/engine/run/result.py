"""What a run of a partition comes to: counts, table, verdict; written beside the rows."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from image_assets.engine.errors import RunError
from image_assets.engine.library.prune import Orphans
from image_assets.engine.planning.machine import inspect_machine
from image_assets.engine.planning.plan import Plan
from image_assets.engine.reasons import NO_IMAGE_REASONS, Reason
from image_assets.engine.run.statistics import ALL, COLUMNS, Statistics, stage_totals_s
from image_assets.engine.run.verdict import Load, Verdict, judge
from image_assets.engine.storage import tables
from image_assets.engine.storage.ledger import PLACE, LedgerIndex
from image_assets.engine.storage.naming import table_folder
from image_assets.engine.storage.store import LocalStore

if TYPE_CHECKING:
    from image_assets.engine.run.partition import PartitionJob, ShardResult

_TYPES = {"string": pa.string(), "int": pa.int64(), "float": pa.float64()}

PERFORMANCE_SCHEMA = pa.schema([(name, _TYPES[kind]) for name, (kind, _) in COLUMNS.items()])


@dataclass(frozen=True, slots=True)
class Counts:
    """How many.

    Attributes:
        images: Sources found, bad ones included.
        written: Renditions made in this run.
        skipped: Renditions that were current already.
        rejected: Sources that cannot be compressed.
        failed: Sources that met an accident; the next run tries them again.
        quarantined: Of those, the ones that are held back from the next run on.
    """

    images: int = 0
    written: int = 0
    skipped: int = 0
    rejected: int = 0
    failed: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class NotCompressed:
    """A source without (all of) its renditions, and why.

    Attributes:
        source_key: Which.
        status: ``rejected`` or ``failed``.
        reason: From the closed list.
        message: The same in one sentence.
        attempts: How often it was tried in vain so far; None where that is not counted.
        quarantined: Whether it is held back from the next run on.
    """

    source_key: str
    status: str
    reason: str
    message: str
    attempts: int | None = None
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class PartitionResult:
    """What a run of one partition came to.

    Attributes:
        partition_key: The partition.
        run_id: The run.
        preset: Name of the preset.
        machine: Fingerprint of the machine.
        counts: How many.
        renditions: Renditions that are there now, written or skipped.
        renditions_expected: All that are wanted and not rejected, failed ones included.
        source_bytes: Bytes of the sources that have renditions.
        output_bytes: Bytes of their renditions.
        elapsed_s: Wall seconds of the shards, summed.
        cpu_s: CPU seconds of reading, decoding, colour, resizing, encoding and writing.
        images_per_s: Images compressed per second; None where nothing was.
        peak_memory_bytes: Largest memory of all processes together (PSS); 0 where no worker ran.
        base_memory_bytes: The same before the first image.
        growth_memory_bytes: Growth of the largest worker after collection, first to last chunk.
        open_files: Open file handles of the parent at the end.
        workers: Worker processes at most.
        cpu_utilisation_pct: Of the cores that the workers could use.
        read_mb_per_s: Bytes read over the time spent reading; None where nothing was read.
        write_mb_per_s: Bytes written over the time spent writing.
        stages_s: Wall and CPU seconds by stage.
        table: Rows of the performance table.
        verdict: What held the run back.
        not_compressed: Rejected and failed sources, one each.
        orphans: Sources that are gone but have renditions.
        messages: Warnings of the run.
        rejected_share: (rejected + failed) / images, both without links, pipes and devices.
        rejected_share_max: The setting it is held against.
        plan: The plan as plain data.
        outcomes_path: Folder of the full rows.
        renditions_path: Folder of the renditions.
    """

    partition_key: str
    run_id: str
    preset: str
    machine: str
    counts: Counts
    renditions: int
    renditions_expected: int
    source_bytes: int
    output_bytes: int
    elapsed_s: float
    cpu_s: float
    images_per_s: float | None
    peak_memory_bytes: int
    base_memory_bytes: int
    growth_memory_bytes: int
    open_files: int
    workers: int
    cpu_utilisation_pct: float | None
    read_mb_per_s: float | None
    write_mb_per_s: float | None
    stages_s: dict[str, float]
    table: list[dict[str, Any]]
    verdict: Verdict
    not_compressed: list[NotCompressed]
    orphans: list[str]
    messages: list[str]
    rejected_share: float
    rejected_share_max: float
    plan: dict[str, Any]
    outcomes_path: str
    renditions_path: str

    @property
    def saved_bytes(self) -> int:
        """``source_bytes`` less ``output_bytes``."""
        return self.source_bytes - self.output_bytes

    @property
    def saved_pct(self) -> float | None:
        """``saved_bytes`` in percent of ``source_bytes``."""
        return 100.0 * self.saved_bytes / self.source_bytes if self.source_bytes else None

    @property
    def nothing_to_do(self) -> bool:
        """Whether no image needed a worker."""
        return self.counts.written == 0 and self.verdict.name == "nothing_to_do"


@dataclass(slots=True)
class RunRows:
    """The full rows of a run.

    Attributes:
        renditions: One per rendition.
        sources: One per source that a worker had.
    """

    renditions: pa.Table = field(default_factory=lambda: tables.to_table([], tables.OUTCOMES))
    sources: pa.Table = field(default_factory=lambda: tables.to_table([], tables.SOURCES))


def read_rows(output: Path, partition_key: str, run_id: str) -> RunRows:
    """Read the full rows of a run, all shards together; `read_shards` holds one at a time.

    Raises:
        RunError: A file is damaged.
    """
    found = list(read_shards(output, partition_key, run_id))
    rows = RunRows()
    if found:
        rows.renditions = pa.concat_tables([shard.renditions for shard in found])
        rows.sources = pa.concat_tables([shard.sources for shard in found])
    return rows


def read_shards(
    output: Path, partition_key: str, run_id: str, columns: Sequence[str] | None = None
) -> Iterator[RunRows]:
    """Read the full rows of a run, shard after shard.

    Args:
        output: Output folder.
        partition_key: The partition.
        run_id: The run.
        columns: Of the renditions, only these; default is all.

    Raises:
        RunError: A file is damaged.
    """
    folder = output / table_folder("outcomes", partition_key) / run_id
    names = {path.name.partition("-")[2] for path in folder.glob("*-*.parquet")}
    for name in sorted(names):
        rows = RunRows()
        path = folder / f"renditions-{name}"
        if path.is_file():
            with tables.TableFile(path, tables.OUTCOMES) as file:
                rows.renditions = file.read(columns=columns)
        path = folder / f"sources-{name}"
        if path.is_file():
            rows.sources = tables.read(path, tables.SOURCES)
        yield rows


def first_rows(
    output: Path,
    partition_key: str,
    run_id: str,
    format_name: str,
    columns: Sequence[str],
    most: int,
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many rows of a format a run has, and the first of them.

    Args:
        output: Output folder.
        partition_key: The partition.
        run_id: The run.
        format_name: The format.
        columns: What to return of each row.
        most: How many to return at most.

    Raises:
        RunError: A file is damaged.
    """
    count, found = 0, list[dict[str, Any]]()
    folder = output / table_folder("outcomes", partition_key) / run_id
    for path in sorted(folder.glob("renditions-*.parquet")):
        with tables.TableFile(path, tables.OUTCOMES) as file:
            names = file.read(columns=["format"]).column("format").to_pylist()
            places = [place for place, name in enumerate(names) if name == format_name]
            count += len(places)
            places = places[: most - len(found)]
            if places:
                found.extend(tables.take(file.read(columns=columns), places).to_pylist())
    return count, found


@dataclass(slots=True)
class _Survey:
    """What a run's rows come to, as they are read: nothing is kept of a row but bad images'."""

    statistics: Statistics = field(default_factory=Statistics)
    bad: dict[str, NotCompressed] = field(default_factory=dict)
    stages_s: dict[str, float] = field(default_factory=lambda: stage_totals_s(RunRows().sources))
    renditions_expected: int = 0
    written_bytes: int = 0
    read_bytes: int = 0
    worked: int = 0
    busy_s: float = 0.0
    timed_out: int = 0

    def add(self, rows: RunRows, attempts_max: int) -> None:
        """Add the rows of a shard."""
        self.statistics.add(rows.renditions, rows.sources)
        statuses = rows.renditions.column("status").to_pylist()
        sizes = rows.renditions.column("size_bytes").to_pylist()
        self.renditions_expected += len(statuses) - statuses.count("rejected")
        self.written_bytes += sum(
            size or 0 for status, size in zip(statuses, sizes, strict=True) if status == "written"
        )
        self.worked += rows.sources.num_rows
        self.read_bytes += sum(rows.sources.column("source_bytes").to_pylist())
        self.busy_s += sum(v or 0.0 for v in rows.sources.column("processing_ms").to_pylist()) / 1e3
        for name, value in stage_totals_s(rows.sources).items():
            self.stages_s[name] += value
        places = [p for p, status in enumerate(statuses) if status in ("rejected", "failed")]
        if places:
            refused = tables.take(rows.renditions.select(_OF_BAD), places)
            self.timed_out += _timed_out(refused, rows.sources)
            _add_not_compressed(self.bad, refused, attempts_max)


_OF_BAD: Final = ("source_key", "status", "reason", "message", "attempts")


def summarise(
    job: "PartitionJob",
    plan: Plan,
    shards: "list[ShardResult]",
    images: int,
    orphans: Orphans,
) -> PartitionResult:
    """Compute a run's result from its rows, one shard in memory at a time.

    Args:
        job: What the run did.
        plan: As it was planned.
        shards: What its shards report.
        images: Sources in the catalogue.
        orphans: Sources that are gone.
    """
    survey = _Survey()
    columns = tuple(dict.fromkeys((*survey.statistics.columns, *_OF_BAD)))
    for rows in read_shards(job.output, job.partition_key, job.run_id, columns):
        survey.add(rows, job.preset.quarantine_attempts)
    elapsed_s = sum(shard.elapsed_s for shard in shards)
    workers = plan.max_workers
    table = survey.statistics.table(workers, elapsed_s)
    total = next((row for row in table if row["format"] == ALL), {})
    not_compressed = sorted(
        # Failed ones first: lists are cut, and what somebody can do something about must be seen.
        survey.bad.values(),
        key=lambda bad: (bad.status != "failed", bad.source_key),
    )
    counts = Counts(
        images=images,
        written=total.get("written", 0),
        skipped=total.get("skipped", 0),
        rejected=sum(1 for bad in not_compressed if bad.status == "rejected"),
        failed=sum(1 for bad in not_compressed if bad.status == "failed"),
        quarantined=sum(1 for bad in not_compressed if bad.quarantined),
    )
    stages = survey.stages_s
    cpu_s = sum(value for name, value in stages.items() if name.endswith("_cpu_s"))
    worked = survey.worked
    load = replace(
        _load(plan, shards, survey.busy_s, stages, worked, elapsed_s),
        timed_out=survey.timed_out,
        time_limit_s=job.preset.image_time_limit_s,
    )
    usable_s = elapsed_s * min(workers, inspect_machine().cores)
    return PartitionResult(
        partition_key=job.partition_key,
        run_id=job.run_id,
        preset=job.preset.name,
        machine=plan.machine_fingerprint,
        counts=counts,
        renditions=counts.written + counts.skipped,
        renditions_expected=survey.renditions_expected,
        source_bytes=total.get("source_bytes", 0),
        output_bytes=total.get("output_bytes", 0),
        elapsed_s=elapsed_s,
        cpu_s=cpu_s,
        images_per_s=worked / elapsed_s if worked and elapsed_s else None,
        peak_memory_bytes=max((shard.peak_bytes for shard in shards), default=0),
        base_memory_bytes=max((shard.base_bytes for shard in shards), default=0),
        growth_memory_bytes=max((shard.growth_bytes for shard in shards), default=0),
        open_files=max((shard.open_files for shard in shards), default=0),
        workers=workers,
        cpu_utilisation_pct=100.0 * cpu_s / usable_s if worked and usable_s else None,
        read_mb_per_s=_rate_mb_per_s(survey.read_bytes, stages["read_s"]),
        write_mb_per_s=_rate_mb_per_s(survey.written_bytes, stages["write_s"]),
        stages_s=stages,
        table=table,
        verdict=judge(load),
        not_compressed=not_compressed,
        orphans=list(orphans.source_keys),
        messages=[message for shard in shards for message in shard.messages],
        rejected_share=_rejected_share(counts.images, not_compressed),
        rejected_share_max=job.preset.rejected_share_max,
        plan=plan.to_dict(),
        outcomes_path=os.fspath(
            job.output / table_folder("outcomes", job.partition_key) / job.run_id
        ),
        renditions_path=os.fspath(job.output / "renditions" / job.partition_key),
    )


def _rate_mb_per_s(size_bytes: int, spent_s: float) -> float | None:
    return size_bytes / 1e6 / spent_s if size_bytes and spent_s else None


def _load(
    plan: Plan,
    shards: "list[ShardResult]",
    busy_s: float,
    stages: dict[str, float],
    worked: int,
    elapsed_s: float,
) -> Load:
    storage_s = sum(
        max(0.0, stages[f"{stage}_s"] - stages[f"{stage}_cpu_s"]) for stage in ("read", "write")
    )
    short_of_memory = "memory budget" in plan.reasons["max_workers"]
    return Load(
        images=worked,
        workers=plan.max_workers,
        workers_wanted=plan.max_workers + (1 if short_of_memory else 0),
        cores=inspect_machine().cores,
        elapsed_s=elapsed_s,
        start_s=sum(shard.start_s for shard in shards),
        busy_s=busy_s,
        cpu_s=sum(value for name, value in stages.items() if name.endswith("_cpu_s")),
        storage_s=storage_s,
        deferred=sum(shard.deferred for shard in shards),
    )


def _timed_out(refused: pa.Table, sources: pa.Table) -> int:
    """Sources that ran into the time limit in this run; those in quarantine did not."""
    keys, reasons = (refused.column(name).to_pylist() for name in ("source_key", "reason"))
    late = {k for k, reason in zip(keys, reasons, strict=True) if reason == Reason.TIME_LIMIT}
    return len(late.intersection(sources.column("source_key").to_pylist())) if late else 0


def _rejected_share(images: int, not_compressed: list[NotCompressed]) -> float:
    no_images = sum(1 for bad in not_compressed if bad.reason in NO_IMAGE_REASONS)
    counted = images - no_images
    return (len(not_compressed) - no_images) / counted if counted else 0.0


def _add_not_compressed(
    found: dict[str, NotCompressed], refused: pa.Table, attempts_max: int
) -> None:
    """One per source; ``failed`` wins where both occur, and of those the most attempts."""
    for row in refused.to_pylist():
        bad = NotCompressed(**row, quarantined=(row["attempts"] or 0) >= attempts_max)
        before = found.get(bad.source_key)
        if before is None or _weight(bad) > _weight(before):
            found[bad.source_key] = bad


def _weight(bad: NotCompressed) -> tuple[bool, int]:
    return bad.status == "failed", bad.attempts or 0


def _performance_path(partition_key: str, run_id: str) -> str:
    return f"{table_folder('performance', partition_key)}/{run_id}.parquet"


def _latest_path(partition_key: str) -> str:
    return f"{table_folder('performance', partition_key)}/latest"


def write_performance(job: "PartitionJob", result: PartitionResult) -> None:
    """Write a run's performance table, which carries the whole result, and the variants table.

    Raises:
        RunError: The machine refuses.
    """
    store = LocalStore(job.output)
    metadata = {
        "schema_version": str(tables.SCHEMA_VERSION),
        "result": json.dumps(asdict(result)),
    }
    table = tables.to_table(result.table, PERFORMANCE_SCHEMA.with_metadata(metadata))
    tables.write(store, _performance_path(job.partition_key, job.run_id), table)
    store.publish(_latest_path(job.partition_key), job.run_id.encode())
    if job.wanted():
        _write_variants(job, store)


def _write_variants(job: "PartitionJob", store: LocalStore) -> None:
    path = f"tables/variants/{job.partition_key}.parquet"
    writer = tables.TableWriter(store, path, tables.VARIANTS)
    try:
        for table in _kept_variants(job, path):
            # What this run was not asked to make stays as it is known.
            writer.add(_first_of_each(table, None, job.variants))
        names = [*tables.VARIANTS.names, "status"]
        for rows in read_shards(job.output, job.partition_key, job.run_id, names):
            writer.add(_first_of_each(rows.renditions, ("written", "skipped"), ()))
        writer.close()
    finally:
        writer.discard()


def _kept_variants(job: "PartitionJob", path: str) -> Iterator[pa.Table]:
    """The variants table as it was; where it is damaged, the same from the ledger."""
    before = job.output / path
    try:
        if before.is_file():
            with tables.TableFile(before, tables.VARIANTS) as file:
                found = [file.read([group]) for group in range(file.metadata.num_row_groups)]
            yield from found
    except tables.DamagedError:
        for known in LedgerIndex(job.output, job.partition_key).pieces():
            made = [r[PLACE] for r in known.rows.values() if r["status"] in ("written", "skipped")]
            yield tables.widen(tables.take(known.table, made), tables.VARIANTS)


def _first_of_each(
    table: pa.Table, statuses: Sequence[str] | None, besides: Sequence[str]
) -> pa.Table:
    """The first row of each source and variant, of some statuses and not of some variants."""
    keys = zip(*(table.column(name).to_pylist() for name in ("source_key", "variant")), strict=True)
    places: dict[tuple[str, str], int] = {}
    status = [] if statuses is None else table.column("status").to_pylist()
    for place, key in enumerate(keys):
        if key[1] not in besides and (statuses is None or status[place] in statuses):
            places.setdefault(key, place)
    return tables.widen(tables.take(table, list(places.values())), tables.VARIANTS)


def load_result(output: Path, partition_key: str, run_id: str) -> PartitionResult:
    """Read back what a run came to.

    Raises:
        RunError: There is no such run, or its file is damaged.
    """
    path = output / _performance_path(partition_key, run_id)
    if not path.is_file():
        raise RunError(
            f"Expected the performance table of run {run_id}, received no file ({path}). "
            "Materialise a compressed/* asset of this partition in the same run."
        )
    document = json.loads((tables.read(path).schema.metadata or {})[b"result"])
    document["counts"] = Counts(**document["counts"])
    document["verdict"] = Verdict(**document["verdict"])
    document["not_compressed"] = [NotCompressed(**bad) for bad in document["not_compressed"]]
    return PartitionResult(**document)


def latest_run(output: Path, partition_key: str) -> str | None:
    """Return the run id of the newest performance table of a partition, or None.

    A run says that it is the newest; no clock is asked where one has said so.
    """
    folder = output / table_folder("performance", partition_key)
    with contextlib.suppress(OSError, ValueError):
        run_id = (output / _latest_path(partition_key)).read_text(encoding="utf-8")
        if (folder / f"{run_id}.parquet").is_file():
            return run_id
    found = sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1].stem if found else None
