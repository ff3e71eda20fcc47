import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from PIL import Image

from image_assets.engine.errors import RunError
from image_assets.engine.run.partition import (
    list_sources,
    plan_partition,
    recipe_digests,
    render_setup,
)
from image_assets.engine.workers.admission import Admission
from image_assets.engine.workers.pool import ChunkDone, WorkerPool
from image_assets.engine.workers.render import SourceResult, SourceTask
from image_assets_tests.libraries import Library, files_of
from image_assets_tests.photographs import save_photograph
from image_assets_tests.processes import (
    IMPORTS_SHOWN,
    SLOW,
    SLOW_SIZE,
    UNWANTED_IN_WORKERS,
    assert_lean,
    wait_until,
    worker_writing,
    workers_of,
)

ONE_WORKER: dict[str, object] = {"max_workers": 1}
PLENTY_BYTES = 1_000_000_000
HELD = "02 held.jpg"
"""Sorts into the middle of `Library.fill`'s keys, and keeps a worker busy for long."""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def _tasks(library: Library) -> list[SourceTask]:
    wanted = tuple(library.job().wanted())
    return [
        SourceTask(row.source_key, row.size_bytes, wanted) for row in list_sources(library.job())
    ]


def _pool(
    library: Library,
    workers: int = 1,
    *,
    budget_bytes: int = PLENTY_BYTES,
    machine_bytes: int = PLENTY_BYTES,
    overrides: dict[str, object] | None = None,
) -> tuple[WorkerPool, Admission]:
    job = library.job(overrides)
    setup = render_setup(job, plan_partition(job), recipe_digests(job))
    admission = Admission(budget_bytes, workers)
    return WorkerPool(setup, workers, admission, machine_bytes, 120.0), admission


@contextmanager
def _when_held(library: Library, act: Callable[[psutil.Process], None]) -> Iterator[None]:
    """Act on the worker of this process that has the held photograph, while it has it."""
    part = library.folder_of(HELD) / ".full.avif.tmp"
    failures: list[BaseException] = []

    def watch() -> None:
        try:
            wait_until(lambda: worker_writing(part), f"a worker writes {part}")
            worker = worker_writing(part)
            assert worker is not None
            act(worker)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert failures == []


def _save_held(library: Library) -> list[str]:
    """Eight photographs, the held one among them; return the keys of the others."""
    others = library.fill(7)
    save_photograph(library.source / HELD, SLOW_SIZE, seed=99)
    return others


@pytest.mark.parametrize(
    ("workers", "number", "reason"),
    [(1, signal.SIGSEGV, "worker_died"), (2, signal.SIGKILL, "out_of_memory")],
)
def test_a_worker_that_dies_fails_exactly_the_image_it_had(
    library: Library, workers: int, number: signal.Signals, reason: str
) -> None:
    others = _save_held(library)
    pids: list[int] = []

    def end(worker: psutil.Process) -> None:
        pids.append(worker.pid)
        worker.send_signal(number)

    with _when_held(library, end):
        result = library.compress({**SLOW, "max_workers": workers})

    [bad] = result.not_compressed
    assert (bad.source_key, bad.status, bad.reason) == (HELD, "failed", reason)
    assert (result.counts.written, result.counts.failed) == (len(others) * 6, 1)
    visible = {name for name in library.rendition_paths() if "/." not in name}
    assert visible == set.union(*(files_of(key) for key in others))
    sources = library.rows(result).sources.to_pylist()
    assert sorted(row["source_key"] for row in sources) == sorted([*others, HELD]), "each once"
    assert psutil.Process().children() == []
    by_worker = {row["source_key"] for row in sources if row["worker_id"] == pids[0]}
    assert HELD not in by_worker, "a worker that is dead reports nothing"
    # What failed is tried again, and nothing else; this time small, to be done soon.
    save_photograph(library.source / HELD, (48, 32))
    again = library.compress(SLOW)
    assert (again.counts.written, again.counts.skipped) == (6, len(others) * 6)


def test_the_rest_of_a_dead_workers_chunk_is_done_and_nothing_of_it_twice(
    library: Library,
) -> None:
    others = _save_held(library)
    pool, admission = _pool(library, overrides=SLOW)
    done: list[str] = []
    chunks: list[ChunkDone] = []

    with _when_held(library, psutil.Process.kill), pool:
        first = pool.pids
        for event in pool.run([_tasks(library)]):
            if isinstance(event, ChunkDone):
                chunks.append(event)
            else:
                done.append(event.source_key)
        assert pool.pids != first

    assert done == sorted([*others, HELD]), "in order, each once"
    of_dead, of_next = chunks
    assert [result.source_key for result in of_dead.results] == ["00.jpg", "01.jpg", HELD]
    assert ([of_dead.worker_id], of_dead.memory) == (first, None)
    assert [result.source_key for result in of_next.results] == others[2:]
    assert {row["reason"] for row in of_dead.results[-1].outcomes} == {"out_of_memory"}
    assert (admission.granted_bytes, admission.running) == (0, 0)


def test_an_image_beyond_the_time_limit_fails_alone_and_its_worker_is_ended(
    library: Library,
) -> None:
    others = _save_held(library)
    stopped: list[psutil.Process] = []

    def stop(worker: psutil.Process) -> None:
        worker.suspend()
        stopped.append(worker)

    with _when_held(library, stop):
        result = library.compress({**SLOW, **ONE_WORKER, "image_time_limit_s": 3.0})

    [bad] = result.not_compressed
    assert (bad.source_key, bad.status, bad.reason) == (HELD, "failed", "time_limit")
    assert "at most 3 s" in bad.message
    assert result.counts.written == len(others) * 6
    assert not stopped[0].is_running()


def test_a_worker_that_hangs_without_an_image_is_replaced_and_costs_no_image(
    library: Library,
) -> None:
    keys = library.fill(3)
    job = library.job()
    setup = render_setup(job, plan_partition(job), recipe_digests(job))
    with WorkerPool(setup, 1, Admission(PLENTY_BYTES, 1), PLENTY_BYTES, 2.0) as pool:
        pool.modules()  # the worker has said its first word
        (stopped,) = pool.pids
        os.kill(stopped, signal.SIGSTOP)
        events = list(pool.run([_tasks(library)]))
        assert stopped not in pool.pids
    done = [event for event in events if isinstance(event, SourceResult)]
    assert sorted(result.source_key for result in done) == sorted(keys)
    assert {row["status"] for result in done for row in result.outcomes} == {"written"}


def test_the_image_that_a_worker_began_while_it_was_being_ended_for_another_is_innocent(
    library: Library,
) -> None:
    library.fill(4)
    job = library.job()
    setup = render_setup(job, plan_partition(job), recipe_digests(job))
    done = []
    with WorkerPool(setup, 1, Admission(PLENTY_BYTES, 1), PLENTY_BYTES, 120.0) as pool:
        (worker,) = pool.pids
        # As when the limit of the image before has passed and its last words are not yet read.
        pool._workers[0].timed_out = True
        for event in pool.run([_tasks(library)]):
            if isinstance(event, SourceResult):
                done.append(event)
                if len(done) == 1:
                    os.kill(worker, signal.SIGKILL)
    assert len(done) == 4
    assert {row["status"] for result in done for row in result.outcomes} == {"written"}


def test_workers_that_end_at_once_are_the_machines_fault(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill(3)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(RunError, match=r"worker processes to start.*exit status 1"):
        library.compress({"max_workers": 2})

    assert psutil.Process().children() == []
    assert library.rendition_paths() == {}


def test_the_last_words_of_a_worker_that_does_not_start_are_told(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill(1)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho the interpreter is broken >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))

    with pytest.raises(RunError, match=r"exit status 3.*the interpreter is broken"):
        library.compress()


def test_a_worker_program_that_is_not_there_is_the_machines_fault(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.fill(1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    with pytest.raises(RunError, match="Expected to start a worker process"):
        library.compress()


def test_an_output_that_cannot_be_written_any_more_ends_the_run(library: Library) -> None:
    save_photograph(library.source / "a.jpg", (1000, 800))
    pool, _ = _pool(library)

    with pool:
        pool.modules()  # it has started
        # As a full disk: what is beyond 20 kB of a file is not written.
        psutil.Process(pool.pids[0]).rlimit(psutil.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(RunError, match="Expected to be able to write") as caught:
            list(pool.run([_tasks(library)]))

    assert "\n" not in str(caught.value)
    assert psutil.Process().children() == []
    assert library.rendition_paths() == {}


def test_a_jpeg_cut_short_by_the_disk_is_never_published(library: Library) -> None:
    save_photograph(library.source / "a.jpg", (1000, 800))
    pool, _ = _pool(library)
    [task] = _tasks(library)
    pairs = (("full", "jpeg"),)

    with pool:
        pool.modules()
        psutil.Process(pool.pids[0]).rlimit(psutil.RLIMIT_FSIZE, (20_000, 20_000))
        with pytest.raises(RunError, match="Expected to be able to write"):
            list(pool.run([[SourceTask(task.source_key, task.size_bytes, pairs)]]))

    assert library.rendition_paths() == {}


def test_an_image_for_which_the_system_has_no_memory_fails_alone(library: Library) -> None:
    keys = library.fill(3)
    Image.new("RGB", (4000, 3000), "teal").save(library.source / "01.png", compress_level=1)
    pool, _ = _pool(library)

    with pool:
        pool.modules()
        worker = psutil.Process(pool.pids[0])
        # Enough for the codecs and small images; the large one has 48 MB of pixels.
        limit = worker.memory_info().vms + 40_000_000
        worker.rlimit(psutil.RLIMIT_AS, (limit, limit))
        events = list(pool.run([_tasks(library)]))

    results = {event.source_key: event for event in events if isinstance(event, SourceResult)}
    assert {row["reason"] for row in results["01.png"].outcomes} == {"out_of_memory"}
    for key in keys:
        assert {row["status"] for row in results[key].outcomes} == {"written"}


def test_a_rendition_whose_place_is_taken_fails_its_image_alone(library: Library) -> None:
    # What is left of a source that is now a folder: its rendition lies where a folder must be.
    save_photograph(library.source / "a.jpg", (48, 32))
    library.compress()
    (library.source / "a.jpg").unlink()
    save_photograph(library.source / "a.jpg/full.avif", (48, 32), seed=1)
    keys = library.fill(2)

    result = library.compress()

    [bad] = result.not_compressed
    assert (bad.source_key, bad.reason) == ("a.jpg/full.avif", "unwritable")
    assert result.counts.written == len(keys) * 6


def test_every_source_is_yielded_before_its_chunk(library: Library) -> None:
    keys = library.fill(7)
    tasks = _tasks(library)
    pool, admission = _pool(library, 2)
    open_results: list[str] = []
    chunks: list[set[str]] = []

    with pool:
        for event in pool.run([tasks[:3], tasks[3:4], [], tasks[4:]]):
            if isinstance(event, SourceResult):
                open_results.append(event.source_key)
            else:
                done = {result.source_key for result in event.results}
                assert done <= set(open_results)
                assert event.memory is not None
                assert 0 < event.memory.before_bytes <= event.memory.peak_bytes
                chunks.append(done)

    assert sorted(map(sorted, chunks)) == [keys[:3], keys[3:4], keys[4:]]
    assert sorted(open_results) == keys
    assert (admission.granted_bytes, admission.running) == (0, 0)
    assert pool.peak_bytes >= pool.base_bytes > 0


def test_a_pool_serves_several_runs_with_the_same_workers(library: Library) -> None:
    library.fill(4)
    tasks = _tasks(library)
    pool, _ = _pool(library, 2)

    with pool:
        first = pool.pids
        list(pool.run([tasks[:2]]))
        events = list(pool.run([tasks[2:]]))
        assert pool.pids == first
        assert sum(isinstance(event, SourceResult) for event in events) == 2


def test_no_worker_is_left_when_the_caller_stops_listening(library: Library) -> None:
    library.fill(6)
    pool, _ = _pool(library, 2)

    def stop_early() -> None:
        with pool:
            for _ in pool.run([[task] for task in _tasks(library)]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_early()

    assert psutil.Process().children() == []


def test_a_ctrl_c_that_reaches_workers_does_not_end_them(library: Library) -> None:
    keys = library.fill(2)
    pool, _ = _pool(library)

    with pool:
        pids = pool.pids
        pool.modules()  # it has greeted, so it has its signal handlers
        os.kill(pids[0], signal.SIGINT)
        done = [e.source_key for e in pool.run([_tasks(library)]) if isinstance(e, SourceResult)]
        assert pool.pids == pids

    assert done == keys


def test_workers_import_neither_dagster_nor_pandas_nor_pyarrow(library: Library) -> None:
    import pandas as pd  # in this process, which is the point
    import pyarrow as pa

    library.fill(2)
    pool, _ = _pool(library, 2)
    with pool:
        list(pool.run([[task] for task in _tasks(library)]))
        imported = [set(names) for names in pool.modules()]

    assert len(imported) == 2
    assert {pd.__name__, pa.__name__} <= UNWANTED_IN_WORKERS
    for names in imported:
        assert "image_assets.engine.workers.render" in names
        assert {name.partition(".")[0] for name in names} & UNWANTED_IN_WORKERS == set()
        assert {"pytest", "rich", "psutil"} & names == set()


def test_a_worker_of_pytest_is_lean_while_it_works(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in IMPORTS_SHOWN.items():
        monkeypatch.setenv(name, value)
    _save_held(library)
    looked_at: list[int] = []

    def look(worker: psutil.Process) -> None:
        try:
            assert_lean(worker)
            looked_at.append(worker.pid)
        finally:
            worker.kill()

    with _when_held(library, look):
        library.compress({**SLOW, **ONE_WORKER})

    assert len(looked_at) == 1
    assert workers_of(os.getpid()) == []


# -- memory --------------------------------------------------------------------------------------

# By `image_cost_bytes`: the small ones cost 4 MB each, the dear one 43.
SMALL_SIZE, DEAR_SIZE = (96, 64), (1000, 800)
DEAR = "dear.png"


def _save_small_and_dear(library: Library) -> list[str]:
    keys = library.fill(6, SMALL_SIZE)
    save_photograph(library.source / DEAR, DEAR_SIZE, format="PNG")
    return keys


@pytest.mark.parametrize("budget_bytes", [30_000_000, 45_000_000])
def test_a_dear_image_waits_and_is_done_when_it_fits_or_alone(
    library: Library, budget_bytes: int
) -> None:
    small = _save_small_and_dear(library)
    tasks = sorted(_tasks(library), key=lambda task: task.source_key != DEAR)  # it comes first
    pool, admission = _pool(library, 2, budget_bytes=budget_bytes)
    order: list[str] = []

    with pool:
        for event in pool.run([[task] for task in tasks]):
            assert admission.granted_bytes <= budget_bytes or admission.running == 1
            if isinstance(event, SourceResult):
                assert {row["status"] for row in event.outcomes} == {"written"}
                order.append(event.source_key)

    assert sorted(order) == [*small, DEAR]
    assert order[-1] == DEAR, "the others do not wait for it"
    assert pool.deferred >= 1
    assert (admission.granted_bytes, admission.running) == (0, 0)


def test_several_dear_images_are_all_done(library: Library) -> None:
    for seed in range(4):
        save_photograph(library.source / f"{seed}.png", DEAR_SIZE, format="PNG", seed=seed)
    pool, admission = _pool(library, 2, budget_bytes=30_000_000)
    done = []

    with pool:
        for event in pool.run([_tasks(library)]):
            assert admission.granted_bytes <= 30_000_000 or admission.running == 1
            if isinstance(event, SourceResult):
                done.append(event.source_key)

    assert sorted(done) == ["0.png", "1.png", "2.png", "3.png"]


def test_an_image_beyond_the_machine_is_rejected_by_name_and_the_rest_done(
    library: Library,
) -> None:
    small = _save_small_and_dear(library)
    pool, _ = _pool(library, 2, budget_bytes=30_000_000, machine_bytes=32_000_000)

    with pool:
        events = list(pool.run([_tasks(library)]))

    results = {event.source_key: event for event in events if isinstance(event, SourceResult)}
    assert set(results) == {*small, DEAR}
    for row in results[DEAR].outcomes:
        assert (row["status"], row["reason"]) == ("rejected", "needs_too_much_memory")
        assert "fits into 32 MB of memory" in row["message"]
    done = {result.source_key for e in events if isinstance(e, ChunkDone) for result in e.results}
    assert done == {*small, DEAR}
    assert all(row["status"] == "written" for key in small for row in results[key].outcomes)


def test_a_partition_with_a_small_memory_budget_gives_the_same_files(
    tmp_path: Path, library: Library
) -> None:
    # It costs 74 MB: more than half of what two workers have under this budget.
    Image.new("RGB", (3900, 2600), "teal").save(library.source / "b.png", compress_level=1)
    library.fill(4)
    roomy = Library(library.source, tmp_path / "roomy")
    roomy.compress({"max_workers": 2})

    result = library.compress({"max_workers": 2, "memory_budget_bytes": 330_000_000})

    assert result.counts.written == 5 * 6
    assert result.not_compressed == []
    assert library.rendition_bytes() == roomy.rendition_bytes()
