"""The skip rule: what needs no work, decided without decoding anything.

A rendition is current when the ledger has its source's sha256 and its recipe's digest, and the
file is there with the recorded size. The sha256 is trusted while size and date are unchanged.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.library.quarantine import held
from image_assets.engine.library.rebuild import file_sha256
from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.pixels.formats import missing_codec
from image_assets.engine.planning.recipe import refusal_digest
from image_assets.engine.reasons import NotCompressedError
from image_assets.engine.storage.ledger import Key
from image_assets.engine.storage.naming import rendition_path, source_path
from image_assets.engine.storage.store import LocalStore
from image_assets.engine.workers.render import Row, SourceTask

if TYPE_CHECKING:
    from image_assets.engine.run.partition import PartitionJob

Pair = tuple[str, str]
"""Variant and format."""


@dataclass(slots=True)
class Split:
    """Sources by what they need.

    Attributes:
        settled: Outcome rows that stand without work: ``skipped``, or refused as before. One that
            is current is the ledger's, as far as it was handed over, with another status.
        tasks: Sources that a worker must look at.
    """

    settled: list[Row] = field(default_factory=list)
    tasks: list[SourceTask] = field(default_factory=list)


def split_current(
    job: "PartitionJob",
    rows: list[CatalogueRow],
    known: Mapping[str, Mapping[Pair, Row]],
    digests: Mapping[Pair, str],
    attempts: Mapping[Key, Row] | None = None,
) -> Split:
    """Split sources into those that are current and those that need a worker.

    Args:
        job: What is wanted.
        rows: The catalogue.
        known: The ledger's rows by source, then by (variant, format).
        digests: Recipe digest of each wanted pair.
        attempts: The ledger's attempts in vain: enough of them, and a pair is left alone.
    """
    split = Split()
    output = os.fspath(job.output)
    sources = _sources(job)
    wanted, impossible = _by_codec(job.wanted())
    for row in rows:
        if row.status != "found":
            split.settled.extend(_refused(row, pair, digests[pair]) for pair in job.wanted())
            continue
        for pair, why in impossible.items():
            what = {"status": why.status, "reason": why.reason.value, "message": why.message}
            split.settled.append({**_refused(row, pair, digests[pair]), **what})
        have = known.get(row.source_key, {})
        unchanged: list[Row] = []
        stale: list[Pair] = []
        kept_out: list[Row] = []
        sha256_of = cache(partial(_hash_or_none, sources, row.source_key))
        for pair in wanted:
            before = have.get(pair)
            if before is not None and _is_made(job, output, row, pair, before, digests[pair]):
                unchanged.append(before)
                continue
            attempt = (attempts or {}).get((row.source_key, *pair))
            in_quarantine = held(row, attempt, digests[pair], job.preset, sha256_of)
            if in_quarantine is not None:
                kept_out.append(in_quarantine)
            else:
                stale.append(pair)
        split.settled.extend(kept_out)
        same_file = all(_is_same_file(row, before) for before in unchanged)
        if not same_file or (job.preset.verify and unchanged):
            # The date changed, or every source is to be verified: the bytes decide.
            hashes = {before["source_sha256"] for before in unchanged}
            rejected = any(before["status"] == "rejected" for before in unchanged)
            usable = not stale and len(hashes) == 1 and not rejected
            sha256 = hashes.pop() if usable else None
            out = {(bad["variant"], bad["format"]) for bad in kept_out}
            split.tasks.append(_task(row, [pair for pair in wanted if pair not in out], sha256))
            continue
        split.settled.extend(_settled(before) for before in unchanged)
        if stale:
            split.tasks.append(_task(row, stale))
    return split


def _by_codec(wanted: list[Pair]) -> tuple[list[Pair], dict[Pair, NotCompressedError]]:
    """Part what can be made from what no installed codec makes, which needs no look at a source."""
    codecs = codec_versions()
    missing = {name: missing_codec(name, codecs) for name in {name for _, name in wanted}}
    possible = [pair for pair in wanted if missing[pair[1]] is None]
    impossible = {pair: why for pair in wanted if (why := missing[pair[1]]) is not None}
    return possible, impossible


def _sources(job: "PartitionJob") -> LocalStore:
    root = job.layout.partition_root(job.source, job.partition_key)
    return LocalStore(root or job.source, follow_links=job.preset.follow_links)


def _hash_or_none(sources: LocalStore, source_key: str) -> str | None:
    try:
        return sources.sha256(source_path(source_key))
    except OSError:  # the worker says what is wrong with it
        return None


def _task(row: CatalogueRow, pairs: list[Pair], sha256: str | None = None) -> SourceTask:
    return SourceTask(row.source_key, row.size_bytes, tuple(pairs), sha256, row.mtime_ns)


def _is_made(
    job: "PartitionJob", output: str, row: CatalogueRow, pair: Pair, before: Row, digest: str
) -> bool:
    if before["status"] == "rejected":
        return bool(before["recipe_digest"] == refusal_digest(digest, job.preset))
    if before["recipe_digest"] != digest:
        return False
    path = f"{output}/{rendition_path(job.partition_key, row.source_key, *pair)}"
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_size != before["size_bytes"]
        or not status.st_size
    ):
        return False
    if job.preset.verify and before.get("sha256"):
        return bool(file_sha256(Path(path)) == before["sha256"])
    return True


def _is_same_file(row: CatalogueRow, before: Row) -> bool:
    return (row.size_bytes, row.mtime_ns) == (before["source_bytes"], before["source_mtime_ns"])


def _settled(before: Row) -> Row:
    if before["status"] == "rejected":
        return before
    return {**before, "status": "skipped"}


def _refused(row: CatalogueRow, pair: Pair, digest: str) -> Row:
    return {
        "source_key": row.source_key,
        "variant": pair[0],
        "format": pair[1],
        "status": row.status,
        "reason": row.reason,
        "message": row.message,
        "source_bytes": row.size_bytes,
        "source_sha256": row.sha256,
        "source_mtime_ns": row.mtime_ns,
        "recipe_digest": digest,
    }
