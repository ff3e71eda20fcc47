"""What a preset becomes on this machine for these images: workers, chunks, shards, memory."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.planning.machine import Machine
from image_assets.engine.planning.presets import ResolvedPreset

AVAILABLE_SHARE: Final = 0.8
"""The guide's 20 % reserve of available memory."""

COPIES_PER_IMAGE: Final = 2
"""The guide's working memory of an image: twice its file."""

WORKER_BASE_BYTES: Final = 40_000_000
"""PSS of a worker that has compressed nothing, measured 33 to 38 MB (``bench/limit.py``)."""

PARENT_BASE_BYTES: Final = 110_000_000
"""PSS of the parent with pyarrow loaded, measured 60 to 75 MB; a Dagster run has 100 more."""

PARENT_GROWTH_BYTES: Final = 30_000_000
"""What the parent takes over what it has when it plans: rows, tables, figures."""

IMAGE_MIN_BYTES: Final = 64_000_000
"""What a worker is granted at least: a 12 MP JPEG with draft costs 50 MB by `image_cost_bytes`."""

_CHUNKS_PER_WORKER: Final = 4
"""Chunks that each worker should get at least, so that none is left with a long last one."""

_FEW_IMAGES: Final = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """Chunking, threading and memory of one partition's run.

    Attributes:
        images: Sources to look at, rejected ones not counted.
        max_workers: Worker processes.
        chunk_size: Images per worker task at most.
        chunk_bytes: Source bytes per worker task at most.
        avif_threads: Threads of an AVIF encoder whose bytes do not depend on them.
        images_per_shard: Images per shard at most.
        shards: Number of shards, at least 1.
        memory_budget_bytes: For the whole process tree.
        image_budget_bytes: For images in work together, over the base of the processes.
        machine_bytes: An image that costs more is rejected.
        machine_fingerprint: Names the kind of machine in tables.
        reasons: Per value, why it is what it is; for logs and metadata.
    """

    images: int
    max_workers: int
    chunk_size: int
    chunk_bytes: int
    avif_threads: int
    images_per_shard: int
    shards: int
    memory_budget_bytes: int
    image_budget_bytes: int
    machine_bytes: int
    machine_fingerprint: str
    reasons: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)


def make_plan(preset: ResolvedPreset, machine: Machine, sizes_bytes: Sequence[int] | None) -> Plan:
    """Resolve a preset on a machine for a set of images.

    Args:
        preset: What is asked for.
        machine: What there is.
        sizes_bytes: Size of each source; None where the number of images is not known.

    Raises:
        SettingError: The memory budget holds not even one worker with one image.
    """
    count = None if sizes_bytes is None else len(sizes_bytes)
    reasons: dict[str, str] = {}
    workers, reasons["max_workers"] = _resolve_workers(
        preset.rules["max_workers"], machine.cores, count
    )
    budget = preset.memory_budget_bytes or int(AVAILABLE_SHARE * machine.available_bytes)
    reasons["memory_budget_bytes"] = (
        "as asked for"
        if preset.memory_budget_bytes
        else f"80 % of {machine.available_bytes} bytes available"
    )
    least = PARENT_BASE_BYTES + WORKER_BASE_BYTES + IMAGE_MIN_BYTES
    if budget < least:
        raise SettingError(
            expected(
                f"a memory budget of at least {least} bytes (base and one image)",
                budget,
                f"preset {preset.name!r}, memory_budget_bytes",
            )
        )
    # A parent that is large already, such as a notebook, leaves less: at worst one image at a time.
    parent = max(PARENT_BASE_BYTES, machine.own_bytes + PARENT_GROWTH_BYTES)
    parent = min(parent, budget - WORKER_BASE_BYTES - IMAGE_MIN_BYTES)
    fitting = (budget - parent) // (WORKER_BASE_BYTES + IMAGE_MIN_BYTES)
    if fitting < workers:
        reasons["max_workers"] += f"; {fitting} fit into the memory budget"
        workers = fitting
    chunk_size, reasons["chunk_size"] = _resolve_chunk_size(
        preset.rules["chunk_size"], machine.available_bytes, sizes_bytes, workers
    )
    threads, reasons["avif_threads"] = _resolve_threads(
        preset.rules["avif_threads"], machine.cores, count
    )
    return Plan(
        images=count or 0,
        max_workers=workers,
        chunk_size=chunk_size,
        chunk_bytes=preset.chunk_bytes,
        avif_threads=threads,
        images_per_shard=preset.images_per_shard,
        shards=max(1, math.ceil((count or 0) / preset.images_per_shard)),
        memory_budget_bytes=budget,
        image_budget_bytes=budget - parent - workers * WORKER_BASE_BYTES,
        machine_bytes=max(
            0, min(machine.memory_bytes, max(budget, machine.available_bytes)) - PARENT_BASE_BYTES
        ),
        machine_fingerprint=machine.fingerprint,
        reasons=reasons,
    )


def _resolve_workers(rule: Any, cores: int, count: int | None) -> tuple[int, str]:
    """The guide's thread pools by image count: below 10 two, below 50 min(4, cores), else more."""
    if isinstance(rule, int):
        return rule, "as asked for"
    if count is None and "count_unknown" in rule:
        workers = min(rule["count_unknown"], cores)
        return workers, f"min({rule['count_unknown']}, {cores} cores), image count unknown"
    for below, workers in rule.get("by_image_count", ()):
        if count is not None and count < below:
            return min(workers, max(cores, 2)), f"fewer than {below} images, {cores} cores"
    return min(rule["at_most"], cores), f"min({rule['at_most']}, {cores} cores)"


def _resolve_chunk_size(
    rule: Any, available_bytes: int, sizes_bytes: Sequence[int] | None, workers: int
) -> tuple[int, str]:
    """The guide's max(1, int(0.8 available / (2 mean size))), so that every worker gets some."""
    if isinstance(rule, int):
        size, reason = rule, f"{rule}, as the preset or a person says"
    elif sizes_bytes:
        mean = max(1, sum(sizes_bytes) // len(sizes_bytes))
        fitting = max(1, int(AVAILABLE_SHARE * available_bytes / (COPIES_PER_IMAGE * mean)))
        size = min(rule["at_most"], fitting)
        reason = f"mean source of {mean} bytes, at most {rule['at_most']}"
    else:
        size, reason = rule["at_most"], "image count unknown"
    if sizes_bytes:
        even = max(1, math.ceil(len(sizes_bytes) / (workers * _CHUNKS_PER_WORKER)))
        if even < size:
            return even, f"{len(sizes_bytes)} images in {_CHUNKS_PER_WORKER} chunks a worker"
    return size, reason


def _resolve_threads(rule: Any, cores: int, count: int | None) -> tuple[int, str]:
    if isinstance(rule, int):
        return rule, "as asked for"
    if count is not None and count < _FEW_IMAGES:
        return 1, f"fewer than {_FEW_IMAGES} images"
    return min(rule["at_most"], cores), f"min({rule['at_most']}, {cores} cores)"


def cut_into_chunks(
    sizes_bytes: Sequence[int], chunk_size: int, chunk_bytes: int, workers: int
) -> list[range]:
    """Cut a row of sources into chunks by count and by bytes.

    Args:
        sizes_bytes: Size of each source.
        chunk_size: Most sources in a chunk.
        chunk_bytes: Most bytes in a chunk; a larger source is a chunk of its own.
        workers: How many share them: towards the end chunks shrink to half of each worker's part
            of what is left, so that no worker is left alone with a long last one.

    Returns:
        Ranges of indices that cover all sources in order, none empty.
    """
    chunks: list[range] = []
    start, held = 0, 0
    most = _chunk_limit(len(sizes_bytes), chunk_size, workers)
    for index, size in enumerate(sizes_bytes):
        if index > start and (index - start >= most or held + size > chunk_bytes):
            chunks.append(range(start, index))
            start, held = index, 0
            most = _chunk_limit(len(sizes_bytes) - start, chunk_size, workers)
        held += size
    if start < len(sizes_bytes):
        chunks.append(range(start, len(sizes_bytes)))
    return chunks


def _chunk_limit(left: int, chunk_size: int, workers: int) -> int:
    """Guided self-scheduling (Polychronopoulos and Kuck, 1987), at half its chunk."""
    return min(chunk_size, max(1, math.ceil(left / (2 * workers))))
