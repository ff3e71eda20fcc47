"""The bottleneck verdict: what held a run back, and the setting to change."""

from dataclasses import dataclass
from typing import Final

# Shares of the workers' time above which something is the bottleneck; below all of them no
# single thing is.
_WAITING_SHARE: Final = 0.25
_START_SHARE: Final = 0.3
_CPU_SHARE: Final = 0.7
_IDLE_SHARE: Final = 0.3
_LOST_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Load:
    """What a run's time went to.

    Attributes:
        images: Images compressed in this run.
        workers: Worker processes.
        workers_wanted: Workers that the preset would have started had memory allowed.
        cores: Usable cores.
        elapsed_s: Wall seconds of the run.
        start_s: Wall seconds until the first worker was ready.
        busy_s: Wall seconds that workers spent on images, summed.
        cpu_s: CPU seconds of the same.
        storage_s: Wall seconds of reading and writing less their CPU seconds, summed.
        deferred: Images that had to wait for memory.
        timed_out: Images that were ended at the time limit.
        time_limit_s: That limit.
    """

    images: int
    workers: int
    workers_wanted: int
    cores: int
    elapsed_s: float
    start_s: float
    busy_s: float
    cpu_s: float
    storage_s: float
    deferred: int
    timed_out: int = 0
    time_limit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What held a run back.

    Attributes:
        name: ``nothing_to_do``, ``time_limit``, ``worker_start``, ``too_few_images``,
            ``input_output``, ``memory``, ``cpu`` or ``none``.
        sentence: With the figures.
        setting: What to change, or empty.
    """

    name: str
    sentence: str
    setting: str


def judge(load: Load) -> Verdict:
    """Name the bottleneck of a run."""
    if load.images == 0:
        return Verdict("nothing_to_do", "Nothing needed doing.", "")
    capacity_s = max(load.elapsed_s * load.workers, 1e-9)
    busy = load.busy_s / capacity_s
    lost_s = load.timed_out * load.time_limit_s
    if lost_s > _LOST_SHARE * capacity_s:
        return Verdict(
            "time_limit",
            f"{load.timed_out} images that came to no end within {load.time_limit_s:g} s held "
            f"workers for {100 * min(1.0, lost_s / capacity_s):.0f} % of the time.",
            "nothing where they are damaged, for quarantine ends it after some runs; else "
            "image_time_limit_s",
        )
    if load.start_s > _START_SHARE * load.elapsed_s:
        return Verdict(
            "worker_start",
            f"Starting workers took {load.start_s:.1f} of {load.elapsed_s:.1f} s.",
            "more images per run: larger partitions, or a backfill over fewer runs",
        )
    if load.storage_s > _WAITING_SHARE * max(load.busy_s, 1e-9):
        share = 100 * load.storage_s / load.busy_s
        return Verdict(
            "input_output",
            f"Workers waited for reading and writing {share:.0f} % of their time.",
            "faster storage for source or output; more max_workers to overlap waiting",
        )
    if load.deferred > 0.1 * load.images or load.workers < load.workers_wanted:
        return Verdict(
            "memory",
            f"{load.deferred} images waited for memory; {load.workers} of "
            f"{load.workers_wanted} workers fit into the budget.",
            "memory_budget_bytes, or the preset memory_efficient",
        )
    if busy < 1 - _IDLE_SHARE and load.images < 10 * load.workers:
        return Verdict(
            "too_few_images",
            f"{load.images} images left {load.workers} workers idle {100 * (1 - busy):.0f} % of "
            "the time.",
            "fewer max_workers; nothing is wrong",
        )
    used = load.cpu_s / max(load.elapsed_s * min(load.cores, load.workers), 1e-9)
    if used > _CPU_SHARE:
        if load.workers < load.cores:
            return Verdict(
                "cpu",
                f"{load.workers} workers used {100 * used:.0f} % of as many cores; "
                f"{load.cores} are there.",
                "max_workers",
            )
        return Verdict(
            "cpu",
            f"Workers used {100 * used:.0f} % of {load.cores} cores.",
            "avif_speed up, webp_method down, the preset throughput, or more cores",
        )
    return Verdict(
        "none",
        f"No single thing held the run back: cores {100 * used:.0f} % used, workers "
        f"{100 * busy:.0f} % busy.",
        "",
    )
