import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.library.skip import Pair, Split, split_current
from image_assets.engine.planning.recipe import attempt_digest, refusal_digest
from image_assets.engine.run.partition import PartitionJob, recipe_digests
from image_assets.engine.storage.naming import rendition_path
from image_assets_tests.engine.jobs import DAY, make_job

KEY = "trip/a.jpg"
FOUND = CatalogueRow(KEY, 5_000, 1_700_000_000_000_000_000, "found", source_format="JPEG")
AVIF, WEBP = ("full", "avif"), ("full", "webp")

Known = dict[Pair, dict[str, Any]]


def make_renditions(job: PartitionJob, row: CatalogueRow = FOUND) -> Known:
    """Put files where renditions lie and return the ledger's rows of them."""
    known: Known = {}
    for pair, digest in recipe_digests(job).items():
        path = job.output / rendition_path(DAY, row.source_key, *pair)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture as " + pair[1].encode())
        known[pair] = {
            "source_key": row.source_key,
            "variant": pair[0],
            "format": pair[1],
            "status": "written",
            "source_sha256": "ab" * 32,
            "source_bytes": row.size_bytes,
            "source_mtime_ns": row.mtime_ns,
            "recipe_digest": digest,
            "size_bytes": path.stat().st_size,
        }
    return known


def split(job: PartitionJob, known: Mapping[Pair, Any], row: CatalogueRow = FOUND) -> Split:
    return split_current(job, [row], {row.source_key: known}, recipe_digests(job))


def statuses(found: Split) -> dict[Pair, str]:
    return {(row["variant"], row["format"]): row["status"] for row in found.settled}


def wanted(found: Split) -> set[Pair]:
    return {pair for task in found.tasks for pair in task.wanted}


@pytest.fixture
def job(tmp_path: Path) -> PartitionJob:
    return make_job(tmp_path)


def test_a_source_that_nothing_is_known_of_is_a_task(job: PartitionJob) -> None:
    found = split_current(job, [FOUND], {}, recipe_digests(job))
    (task,) = found.tasks
    assert (task.source_key, task.size_bytes, task.mtime_ns) == (KEY, 5_000, FOUND.mtime_ns)
    assert task.wanted == (AVIF, WEBP)
    assert task.current_sha256 is None
    assert found.settled == []


def test_what_is_current_needs_no_work_and_keeps_its_row(job: PartitionJob) -> None:
    known = make_renditions(job)
    found = split(job, known)
    assert found.tasks == []
    assert found.settled == [{**known[pair], "status": "skipped"} for pair in (AVIF, WEBP)]
    assert known[AVIF]["status"] == "written", "the ledger's own row is not touched"


def test_another_recipe_redoes_only_what_it_changes(job: PartitionJob, tmp_path: Path) -> None:
    known = make_renditions(job)
    found = split(make_job(tmp_path, full_avif_quality=51), known)
    assert wanted(found) == {AVIF}
    assert statuses(found) == {WEBP: "skipped"}


@pytest.mark.parametrize("damage", ["missing", "shorter", "empty", "a link", "a folder"])
def test_a_rendition_that_is_not_there_whole_is_made_again(job: PartitionJob, damage: str) -> None:
    known = make_renditions(job)
    path = job.output / rendition_path(DAY, KEY, *WEBP)
    data = path.read_bytes()
    path.unlink()
    if damage == "a link":
        elsewhere = job.output / "elsewhere"
        elsewhere.write_bytes(data)
        path.symlink_to(elsewhere)
    elif damage == "a folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes(b"" if damage == "empty" else data[:-1])
    found = split(job, known)
    assert wanted(found) == {WEBP}
    assert statuses(found) == {AVIF: "skipped"}


def test_an_empty_file_is_never_current_even_if_the_ledger_says_so(job: PartitionJob) -> None:
    known = make_renditions(job)
    known[AVIF]["size_bytes"] = 0
    (job.output / rendition_path(DAY, KEY, *AVIF)).write_bytes(b"")
    assert wanted(split(job, known)) == {AVIF}


def test_a_new_date_lets_the_bytes_decide(job: PartitionJob) -> None:
    known = make_renditions(job)
    touched = replace(FOUND, mtime_ns=FOUND.mtime_ns + 1)
    found = split(job, known, touched)
    (task,) = found.tasks
    assert task.wanted == (AVIF, WEBP)
    assert task.current_sha256 == "ab" * 32
    assert found.settled == []


def test_a_new_size_lets_the_bytes_decide(job: PartitionJob) -> None:
    found = split(job, make_renditions(job), replace(FOUND, size_bytes=5_001))
    assert wanted(found) == {AVIF, WEBP}


def test_a_new_date_with_something_stale_makes_everything_again(
    job: PartitionJob, tmp_path: Path
) -> None:
    known = make_renditions(job)
    touched = replace(FOUND, mtime_ns=FOUND.mtime_ns + 1)
    (task,) = split(make_job(tmp_path, full_avif_quality=51), known, touched).tasks
    assert task.wanted == (AVIF, WEBP)
    assert task.current_sha256 is None


def test_renditions_of_different_bytes_are_made_again_together(job: PartitionJob) -> None:
    known = make_renditions(job)
    known[WEBP] |= {"source_sha256": "cd" * 32, "source_mtime_ns": 5}
    (task,) = split(job, known).tasks
    assert task.wanted == (AVIF, WEBP)
    assert task.current_sha256 is None


def test_verify_reads_every_source_again(job: PartitionJob, tmp_path: Path) -> None:
    known = make_renditions(job)
    found = split(make_job(tmp_path, verify=True), known)
    (task,) = found.tasks
    assert task.current_sha256 == "ab" * 32
    assert found.settled == []


def rejected_before(job: PartitionJob) -> Known:
    known = make_renditions(job)
    for row in known.values():
        digest = refusal_digest(row["recipe_digest"], job.preset)
        row |= {"status": "rejected", "reason": "too_many_pixels", "recipe_digest": digest}
    return known


def test_a_source_rejected_before_stays_rejected_without_a_look(job: PartitionJob) -> None:
    known = rejected_before(job)
    found = split(job, known)
    assert found.tasks == []
    assert found.settled == [known[AVIF], known[WEBP]]


def test_a_raised_limit_makes_a_rejected_source_worth_another_look(
    job: PartitionJob, tmp_path: Path
) -> None:
    raised = make_job(tmp_path, max_pixels=999_999_999)
    assert wanted(split(raised, rejected_before(job))) == {AVIF, WEBP}


def test_a_rejected_source_of_another_date_is_looked_at_in_full(job: PartitionJob) -> None:
    touched = replace(FOUND, mtime_ns=FOUND.mtime_ns + 1)
    (task,) = split(job, rejected_before(job), touched).tasks
    assert task.wanted == (AVIF, WEBP)
    assert task.current_sha256 is None, "there is nothing that could be current"


def test_what_failed_before_is_tried_again(job: PartitionJob) -> None:
    known = make_renditions(job)
    known[AVIF] |= {"status": "failed", "reason": "worker_died", "size_bytes": None}
    assert wanted(split(job, known)) == {AVIF}


@pytest.mark.parametrize(("status", "reason"), [("rejected", "empty"), ("failed", "unreadable")])
def test_what_the_catalogue_refuses_is_settled_with_its_reason(
    job: PartitionJob, status: str, reason: str
) -> None:
    known = make_renditions(job)
    row = CatalogueRow(KEY, 0, 7, status, reason, "Because.")
    found = split(job, known, row)
    assert found.tasks == []
    assert statuses(found) == {AVIF: status, WEBP: status}
    for settled in found.settled:
        assert (settled["reason"], settled["message"]) == (reason, "Because.")
        assert (settled["source_bytes"], settled["source_mtime_ns"]) == (0, 7)
    assert (job.output / rendition_path(DAY, KEY, *AVIF)).exists(), "nothing is removed"


def test_only_what_is_wanted_is_looked_at(job: PartitionJob, tmp_path: Path) -> None:
    known = make_renditions(job)
    (job.output / rendition_path(DAY, KEY, *WEBP)).unlink()
    found = split(make_job(tmp_path, formats=("avif",)), known)
    assert found.tasks == []
    assert statuses(found) == {AVIF: "skipped"}


def test_masters_are_wanted_where_they_are_kept(job: PartitionJob, tmp_path: Path) -> None:
    found = split(make_job(tmp_path, keep_masters=True), make_renditions(job))
    assert wanted(found) == {("full", "master")}


# -- quarantine ----------------------------------------------------------------------------------


def attempts_at(
    job: PartitionJob, *pairs: Pair, attempts: int, sha256: str = "ab" * 32
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The ledger's attempts in vain at renditions of the source."""
    digests = recipe_digests(job)
    return {
        (KEY, *pair): {
            "source_key": KEY,
            "variant": pair[0],
            "format": pair[1],
            "status": "failed",
            "reason": "worker_died",
            "message": "The worker died on this image (signal SIGSEGV).",
            "source_sha256": sha256,
            "source_bytes": FOUND.size_bytes,
            "source_mtime_ns": FOUND.mtime_ns,
            "recipe_digest": attempt_digest(digests[pair], job.preset),
            "attempts": attempts,
        }
        for pair in pairs
    }


def test_enough_attempts_settle_a_pair_as_failed_and_fewer_do_not(job: PartitionJob) -> None:
    for attempts, held in ((2, set()), (3, {AVIF, WEBP}), (9, {AVIF, WEBP})):
        known = attempts_at(job, AVIF, WEBP, attempts=attempts)
        found = split_current(job, [FOUND], {}, recipe_digests(job), known)
        assert set(statuses(found)) == held
        assert wanted(found) == {AVIF, WEBP} - held
        for row in found.settled:
            assert (row["status"], row["reason"]) == ("failed", "worker_died")
            assert f"Held in quarantine after {attempts} attempts" in row["message"]


def test_the_other_renditions_of_a_held_source_are_made(job: PartitionJob) -> None:
    known = attempts_at(job, AVIF, attempts=3)
    found = split_current(job, [FOUND], {}, recipe_digests(job), known)
    assert (statuses(found), wanted(found)) == ({AVIF: "failed"}, {WEBP})


def test_a_held_pair_is_settled_once_where_the_date_of_the_others_changed(
    job: PartitionJob,
) -> None:
    path = job.source / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the same bytes as ever")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    made = {WEBP: make_renditions(job)[WEBP]}
    touched = replace(FOUND, mtime_ns=FOUND.mtime_ns + 1)
    known = attempts_at(job, AVIF, attempts=3, sha256=sha256)
    found = split_current(job, [touched], {KEY: made}, recipe_digests(job), known)
    assert (statuses(found), wanted(found)) == ({AVIF: "failed"}, {WEBP})
    path.write_bytes(b"other bytes")
    found = split_current(job, [touched], {KEY: made}, recipe_digests(job), known)
    assert (statuses(found), wanted(found)) == ({}, {AVIF, WEBP})


def test_a_new_limit_tries_what_is_held(job: PartitionJob, tmp_path: Path) -> None:
    known = attempts_at(job, AVIF, WEBP, attempts=3)
    longer = make_job(tmp_path, image_time_limit_s=90.0)
    assert wanted(split_current(longer, [FOUND], {}, recipe_digests(longer), known)) == {
        AVIF,
        WEBP,
    }
