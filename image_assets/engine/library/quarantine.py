"""Quarantine: images that ended their worker, so often that they are left alone.

A crash, a hang, memory eaten or an encoder's failure is an attempt at an image, one a run, counted
in the ledger as long as the source's bytes and the `attempt_digest` (encoder and settings) stay the
same. After `quarantine_attempts` of them it is settled without work, as failed as before, until one
of the two changes or `image-assets quarantine --retry` releases it.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.planning.recipe import attempt_digest
from image_assets.engine.reasons import ATTEMPT_REASONS
from image_assets.engine.source_key import from_path, printable
from image_assets.engine.storage.lease import hold_lease
from image_assets.engine.storage.ledger import (
    Key,
    Known,
    LedgerIndex,
    compact,
    has_attempts,
    read_ledger,
)

if TYPE_CHECKING:
    from image_assets.engine.library.catalogue import CatalogueRow
    from image_assets.engine.planning.presets import ResolvedPreset

Row = dict[str, Any]

_RELEASE: Final = (
    "other bytes, another encoder or setting, or `image-assets quarantine --retry` release it"
)


def is_attempt(row: Row) -> bool:
    """Tell whether an outcome row counts as an attempt; one whose bytes are not known does not."""
    return (
        row["status"] == "failed"
        and row["reason"] in ATTEMPT_REASONS
        and row.get("source_sha256") is not None
    )


def counted(row: Row, before: Row | None, preset: "ResolvedPreset", run_id: str) -> Row:
    """Return a failed row as the ledger keeps it: with the number of attempts so far.

    Args:
        row: As the pool gave it; its ``recipe_digest`` is the recipe's own.
        before: The latest attempt at the same rendition, or None.
        preset: What decides, with the recipe, whether it was the same attempt.
        run_id: The run that made this one.
    """
    digest = attempt_digest(row["recipe_digest"], preset)
    same = (
        before is not None
        and before["source_sha256"] == row["source_sha256"]
        and before["recipe_digest"] == digest
    )
    return {
        **row,
        "recipe_digest": digest,
        "attempts": (before["attempts"] or 0) + 1 if same and before else 1,
        "failing_since_run": before["failing_since_run"] if same and before else run_id,
    }


def held(
    row: "CatalogueRow",
    before: Row | None,
    digest: str,
    preset: "ResolvedPreset",
    sha256_of: Callable[[], str | None],
) -> Row | None:
    """Return the row of a rendition that is held in quarantine, or None where it is to be tried.

    Args:
        row: The source.
        before: The latest attempt at the rendition, or None.
        digest: Of its recipe.
        preset: The run's.
        sha256_of: Hashes the source; asked where its size or date changed. None: it cannot be read.
    """
    if before is None or (before["attempts"] or 0) < preset.quarantine_attempts:
        return None
    if before["recipe_digest"] != attempt_digest(digest, preset):
        return None
    same_file = (row.size_bytes, row.mtime_ns) == (
        before["source_bytes"],
        before["source_mtime_ns"],
    )
    if (preset.verify or not same_file) and sha256_of() != before["source_sha256"]:
        return None
    return {**before, "message": held_message(before)}


def held_message(row: Row) -> str:
    """Say that a rendition is held, after what, and what releases it."""
    return f"{row['message']} Held in quarantine after {row['attempts']} attempts: {_RELEASE}."


@dataclass(frozen=True, slots=True)
class Suspect:
    """A source at which there were attempts in vain.

    Attributes:
        partition_key: Its partition.
        source_key: Which.
        reason: Of the last attempt.
        message: The same in one sentence.
        attempts: How many, of the rendition that had most.
        held: Whether the next run leaves it alone, with the limit asked about.
        since_run: The run of the first attempt.
        renditions: ``<variant>/<format>`` of each one concerned.
    """

    partition_key: str
    source_key: str
    reason: str
    message: str
    attempts: int
    held: bool
    since_run: str | None
    renditions: tuple[str, ...]


def list_suspects(
    output: Path, partition_key: str | None, sources: Sequence[str], attempts_max: int
) -> list[Suspect]:
    """List the sources with attempts, sorted by partition and key.

    Args:
        output: Output folder.
        partition_key: Of one partition; None: of all.
        sources: Only these: source keys, or paths below the folder of originals as they are
            spelled there; empty: all.
        attempts_max: The setting ``quarantine_attempts``.

    Raises:
        SettingError: No such output, partition or source.
        RunError: A ledger cannot be read.
    """
    found: list[Suspect] = []
    for key in _partitions(output, partition_key):
        found.extend(suspects_of(output, key, attempts_max))
    return _named(found, sources)


def suspects_of(output: Path, partition_key: str, attempts_max: int) -> list[Suspect]:
    """List the sources of one partition at which there were attempts; it may know of none.

    Raises:
        RunError: A ledger cannot be read.
    """
    if not has_attempts(output, partition_key):
        return []
    found: list[Suspect] = []
    for known in LedgerIndex(output, partition_key).pieces():
        found.extend(_suspects(partition_key, known, attempts_max))
    return found


def retry(
    output: Path, partition_key: str | None, sources: Sequence[str], run_id: str
) -> list[Suspect]:
    """Clear the attempts of sources, so that the next run tries them; return what was cleared.

    Args:
        output: Output folder.
        partition_key: Of one partition; None: of all.
        sources: Which, as for `list_suspects`; empty: all.
        run_id: Names the new ledger part.

    Raises:
        SettingError: No such output, partition or source.
        PartitionBusyError: A run holds the partition.
        RunError: A ledger cannot be read or written.
    """
    wanted = list_suspects(output, partition_key, sources, 1)
    for key in sorted({suspect.partition_key for suspect in wanted}):
        names = {suspect.source_key for suspect in wanted if suspect.partition_key == key}
        with hold_lease(output, key, run_id, 0.0):
            ledger = read_ledger(output, key)
            for attempt in [attempt for attempt in ledger.attempts if attempt[0] in names]:
                ledger.release(attempt)
            compact(output, key, ledger, run_id)
    return wanted


def _partitions(output: Path, partition_key: str | None) -> list[str]:
    folder = output / "tables" / "ledger"
    if not (output / "tables").is_dir():
        raise SettingError(expected("the output folder of a run", str(output), "--output"))
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if partition_key is None:
        return found
    if partition_key not in found:
        if (output / "tables" / "catalogue" / f"{partition_key}.parquet").is_file():
            return []  # listed, and nothing made or tried yet
        known = ", ".join(found[-5:]) or "none"
        raise SettingError(expected(f"a partition of {known}", partition_key, "--partition"))
    return [partition_key]


def _suspects(partition_key: str, ledger: Known, attempts_max: int) -> list[Suspect]:
    by_source: dict[str, list[tuple[Key, Row]]] = {}
    for key, row in ledger.attempts.items():
        by_source.setdefault(key[0], []).append((key, row))
    found = []
    for source_key, rows in sorted(by_source.items()):
        worst = max((row for _, row in rows), key=lambda row: row["attempts"] or 0)
        attempts = worst["attempts"] or 0
        found.append(
            Suspect(
                partition_key,
                source_key,
                worst["reason"],
                worst["message"],
                attempts,
                attempts >= attempts_max,
                worst["failing_since_run"],
                tuple(f"{variant}/{name}" for (_, variant, name), _ in rows),
            )
        )
    return found


def _named(suspects: list[Suspect], sources: Sequence[str]) -> list[Suspect]:
    if not sources:
        return suspects
    chosen: list[Suspect] = []
    for source in sources:
        spelled = from_path(source)
        matching = [
            suspect
            for suspect in suspects
            if suspect.source_key in (source, spelled)
            or printable(suspect.source_key) == source  # as it is printed
            or (source.startswith("/") and spelled.endswith(f"/{suspect.source_key}"))
        ]
        if not matching:
            raise SettingError(
                expected("a source that is in quarantine or on its way there", spelled, "SOURCE")
            )
        chosen.extend(suspect for suspect in matching if suspect not in chosen)
    return chosen
