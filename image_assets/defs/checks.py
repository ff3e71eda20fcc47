"""Asset checks: the performance guide's targets, completeness and the rejected share.

A target that is missed is a warning, never a stop: the renditions are there and good. Each check
states the target, what was measured and on which machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg
from dagster import AssetCheckExecutionContext

from image_assets.defs.assets import find_result
from image_assets.defs.failures import told_in_one_sentence
from image_assets.defs.keys import PERFORMANCE_STATISTICS, format_key
from image_assets.defs.metadata import format_row
from image_assets.defs.resources import LibraryResource
from image_assets.engine.planning.settings import Settings
from image_assets.engine.reasons import NO_IMAGE_REASONS
from image_assets.engine.run.result import PartitionResult

_MB: Final = 1_000_000

# The performance guide's targets, in its own units: images per second, and per cent by which
# renditions are smaller than their sources. More than the upper end is not worse.
SPEED_TARGETS: Final = {"avif": (2, 5), "webp": (5, 10), "jpeg": (10, 20)}
REDUCTION_TARGETS: Final = {"avif": (50, 80), "webp": (30, 50), "jpeg": (20, 40)}
BASE_MEMORY_TARGET_BYTES: Final = 500 * _MB
PEAK_MEMORY_TARGET_BYTES: Final = 1_000 * _MB
GROWTH_MEMORY_TARGET_BYTES: Final = 50 * _MB

NOTHING_MEASURED: Final = "Nothing was measured: every rendition was current already."


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check found.

    Attributes:
        passed: Whether the target is met.
        sentence: Target and measured value.
        measured: The value, for the plot over partitions; None where nothing was measured.
        target: The bound it is held against.
    """

    passed: bool
    sentence: str
    measured: float | None
    target: float


@dataclass(frozen=True, slots=True)
class Check:
    """One check: where it stands, what it means, how it judges."""

    asset: dg.AssetKey
    name: str
    description: str
    judge: Callable[[PartitionResult], Judgement]
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.WARN

    def spec(self) -> dg.AssetCheckSpec:
        """The check as Dagster declares it."""
        return dg.AssetCheckSpec(self.name, asset=self.asset, description=self.description)

    def evaluate(self, result: PartitionResult) -> dg.AssetCheckResult:
        """The check as Dagster records it."""
        judgement = self.judge(result)
        metadata: dict[str, Any] = {
            "target": judgement.target,
            "machine": f"{result.machine}, {result.workers} workers, preset {result.preset}",
        }
        if judgement.measured is not None:
            metadata["measured"] = judgement.measured
        return dg.AssetCheckResult(
            passed=judgement.passed,
            asset_key=self.asset,
            check_name=self.name,
            severity=self.severity,
            description=judgement.sentence,
            metadata=metadata,
        )


def all_checks(settings: Settings) -> list[Check]:
    """Every check, in the order in which they are shown."""
    checks = [
        Check(
            PERFORMANCE_STATISTICS,
            "complete",
            "Every source that can be compressed has every rendition that was asked for.",
            _judge_complete,
            dg.AssetCheckSeverity.ERROR,
        ),
        Check(
            PERFORMANCE_STATISTICS,
            "rejected_share",
            "Rejected and failed sources are at most `rejected_share_max` of all.",
            _judge_rejected_share,
            dg.AssetCheckSeverity.ERROR,
        ),
        _memory_check("base_memory", "before the first image", BASE_MEMORY_TARGET_BYTES),
        _memory_check("peak_memory", "at its peak", PEAK_MEMORY_TARGET_BYTES),
        _memory_check("growth_memory", "more after collection", GROWTH_MEMORY_TARGET_BYTES),
    ]
    for name in settings.formats:
        if name in SPEED_TARGETS:
            checks.append(_speed_check(name))
        if name in REDUCTION_TARGETS:
            checks.append(_reduction_check(name))
    return checks


def performance_checks(settings: Settings) -> dg.AssetChecksDefinition:
    """All checks as one step: a step of its own for each would cost 50 events more."""
    checks = all_checks(settings)

    @dg.multi_asset_check(
        name="performance_checks", specs=[check.spec() for check in checks], can_subset=True
    )
    def check_performance(
        context: AssetCheckExecutionContext, library: LibraryResource
    ) -> Iterator[dg.AssetCheckResult]:
        with told_in_one_sentence():
            result = find_result(library, context.partition_key, context.run.run_id)
        selected = context.selected_asset_check_keys
        for check in checks:
            if dg.AssetCheckKey(check.asset, check.name) in selected:
                yield check.evaluate(result)

    return check_performance


def _judge_complete(result: PartitionResult) -> Judgement:
    failed = result.counts.failed
    sentence = (
        f"{result.renditions} of {result.renditions_expected} renditions are there; "
        f"{result.counts.rejected} sources rejected, {failed} failed."
    )
    complete = result.renditions == result.renditions_expected and failed == 0
    return Judgement(complete, sentence, result.renditions, result.renditions_expected)


def _judge_rejected_share(result: PartitionResult) -> Judgement:
    share_pct, most_pct = 100 * result.rejected_share, 100 * result.rejected_share_max
    # The share is of images: what lies there and is no file is neither good nor bad.
    none = sum(1 for bad in result.not_compressed if bad.reason in NO_IMAGE_REASONS)
    bad = result.counts.rejected + result.counts.failed - none
    beside = f"; {none} links, pipes or devices are not counted" if none else ""
    sentence = (
        f"{bad} of {result.counts.images - none} sources rejected or failed, {share_pct:.1f} % "
        f"(at most {most_pct:.1f} %, rejected_share_max{beside})."
    )
    return Judgement(
        result.rejected_share <= result.rejected_share_max,
        sentence,
        result.rejected_share,
        result.rejected_share_max,
    )


def _memory_check(name: str, when: str, target_bytes: int) -> Check:
    def judge(result: PartitionResult) -> Judgement:
        measured = int(getattr(result, f"{name}_bytes"))
        if result.nothing_to_do:
            return Judgement(True, NOTHING_MEASURED, None, target_bytes)
        sentence = f"{measured / _MB:.0f} MB {when} (target: below {target_bytes / _MB:.0f} MB)."
        return Judgement(measured < target_bytes, sentence, measured, target_bytes)

    what = "The largest worker holds" if name == "growth_memory" else "All processes together hold"
    return Check(
        PERFORMANCE_STATISTICS,
        name,
        f"{what} less than {target_bytes / _MB:.0f} MB {when}.",
        judge,
    )


def _speed_check(name: str) -> Check:
    low, high = SPEED_TARGETS[name]

    def judge(result: PartitionResult) -> Judgement:
        rate = format_row(result, name).get("images_per_s")
        if rate is None:
            return Judgement(True, NOTHING_MEASURED, None, low)
        sentence = (
            f"{rate:.1f} images/s, all sizes, encoding and writing {name} alone on "
            f"{result.workers} workers (target: {low} to {high})."
        )
        return Judgement(rate >= low, sentence, rate, low)

    description = (
        f"Encoding and writing {name} alone would allow {low} to {high} images per second with "
        "the workers of this run. Decoding is shared by all formats and not counted."
    )
    return Check(format_key(name), "speed", description, judge)


def _reduction_check(name: str) -> Check:
    low, high = REDUCTION_TARGETS[name]

    def judge(result: PartitionResult) -> Judgement:
        saved = format_row(result, name).get("saved_pct")
        if saved is None:
            return Judgement(True, "No source has a rendition in this format.", None, low)
        sentence = (
            f"{saved:.1f} % smaller than the sources, all sizes of {name} together "
            f"(target: {low} to {high} %)."
        )
        return Judgement(saved >= low, sentence, saved, low)

    description = (
        f"All sizes in {name} together are {low} to {high} % smaller than their sources, or more."
    )
    return Check(format_key(name), "size_reduction", description, judge)
