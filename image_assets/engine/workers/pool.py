"""Worker processes and the memory they are granted.

Every worker has a connection of its own, so that a killed worker can leave no lock behind that
others wait for (``docs/decisions/0001-own-worker-pool.md``). A worker announces each image before
it touches it: when it dies or exceeds the time limit, exactly that image has failed, and the rest
of its chunk is handed out again.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any, Final

from image_assets.engine.errors import RunError
from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.pixels.cost import guard_bytes
from image_assets.engine.reasons import ATTEMPT_REASONS, NotCompressedError, Reason
from image_assets.engine.storage.naming import source_path
from image_assets.engine.storage.store import LocalStore
from image_assets.engine.workers import memory
from image_assets.engine.workers.admission import Admission, Line
from image_assets.engine.workers.render import RenderSetup, SourceResult, SourceTask, refuse
from image_assets.engine.workers.worker import Chunk, ChunkMemory

_BOOT: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from image_assets.engine.workers.worker import main; main(int(sys.argv[1]))"
)
# How often the memory of the process tree is looked at. A look costs 1 to 2 ms a process, so that
# with many workers it is rarer, and never takes more than a twentieth of the parent's time: with 64
# it would take half (``python -m bench.many_cores``).
_SAMPLE_INTERVAL_S: Final = 0.25
_SAMPLE_SHARE_MAX: Final = 0.05
# A worker that dies before its first word this often in a row is the machine's fault; so is a
# chunk whose worker dies this often without having an image in hand.
_MAX_START_FAILURES: Final = 3
_HASHED_HERE: Final = {*ATTEMPT_REASONS, Reason.FILE_TOO_LARGE, Reason.NEEDS_TOO_MUCH_MEMORY}
# What C++ and the codecs print before they end themselves.
_OUT_OF_MEMORY: Final = re.compile(r"bad_alloc|out of memory|cannot allocate memory", re.IGNORECASE)
# From start to first word: 0.3 s on a quiet machine.
_START_LIMIT_S: Final = 60.0


def _worker_environment() -> dict[str, str]:
    # numpy's linear algebra, which no worker uses, would start a thread and a buffer a core.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1"}


@dataclass(slots=True)
class ChunkDone:
    """All images of a chunk have their rows.

    Attributes:
        worker_id: Process id of the worker.
        results: One per source, in no particular order.
        memory: Of the worker around the chunk; None where the worker died.
    """

    worker_id: int
    results: list[SourceResult]
    memory: ChunkMemory | None


@dataclass(slots=True)
class _Open:
    """A chunk in progress: what it still owes and what it has."""

    tasks: list[SourceTask]
    grant_bytes: int
    results: list[SourceResult] = field(default_factory=list)
    lost_workers: int = 0


@dataclass(slots=True)
class _Worker:
    process: subprocess.Popen[bytes]
    connection: Connection
    stderr: IO[bytes]
    greeted: bool = False
    chunk: Chunk | None = None
    open: _Open | None = None
    finished: set[int] = field(default_factory=set)
    current: int | None = None
    deadline: float | None = None
    timed_out: bool = False
    base_bytes: int = 0
    seen_bytes: int = 0
    ate: bool = False


class WorkerPool:
    """Processes that compress chunks of images.

    Args:
        setup: What is the same for every image.
        workers: Number of processes.
        admission: Grants memory.
        machine_bytes: An image that costs more is rejected by name.
        image_time_limit_s: An image that takes longer fails and its worker is ended.
    """

    def __init__(
        self,
        setup: RenderSetup,
        workers: int,
        admission: Admission,
        machine_bytes: int,
        image_time_limit_s: float,
    ) -> None:
        self._setup = setup
        self._count = workers
        self._admission = admission
        self._machine_bytes = machine_bytes
        self._image_time_limit_s = image_time_limit_s
        self._workers: list[_Worker] = []
        self._start_failures = 0
        self._next_sample = 0.0
        self._next_chunk_id = 0
        self.peak_bytes = 0
        self.base_bytes = 0
        self._has_base = False
        self.deferred = 0
        self.start_s = 0.0
        self._began = time.perf_counter()

    def __enter__(self) -> "WorkerPool":
        try:
            for _ in range(self._count):
                self._workers.append(self._start_worker())
        except BaseException:
            self._kill_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._kill_all()

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live."""
        return [worker.process.pid for worker in self._workers]

    def modules(self) -> list[list[str]]:
        """Names of all modules that each idle worker has imported (for proof, not for work)."""
        found = []
        for worker in self._workers:
            if not worker.greeted:
                self._greet(worker, worker.connection.recv())
            worker.connection.send("modules")
            found.append(list(worker.connection.recv()[1]))
        return found

    def run(self, chunks: Sequence[Sequence[SourceTask]]) -> Iterator[SourceResult | ChunkDone]:
        """Compress chunks; yield each source as it is done and each chunk when all of it is.

        Raises:
            RunError: The machine cannot go on (disk, permission, workers that do not start).
        """
        share = self._admission.share_bytes
        line = Line(self._admission, [_Open(list(chunk), share) for chunk in chunks if chunk])
        while line or any(worker.open for worker in self._workers):
            self._hand_out(line)
            for worker in self._wait():
                yield from self._receive(worker, line)
            self._sample()

    # -- handing out ---------------------------------------------------------------------------

    def _hand_out(self, line: Line[_Open]) -> None:
        for worker in self._workers:
            if worker.greeted and worker.open is None and (item := line.start_next()) is not None:
                self._give(worker, item)

    def _give(self, worker: _Worker, item: _Open) -> None:
        worker.open = item
        worker.finished = set()
        worker.current = None
        worker.deadline = time.monotonic() + self._image_time_limit_s
        self._next_chunk_id += 1
        worker.chunk = Chunk(self._next_chunk_id, item.grant_bytes, tuple(item.tasks))
        # A worker that died meanwhile is noticed, and its chunk taken back, by _receive.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.connection.send(worker.chunk)

    # -- receiving -----------------------------------------------------------------------------

    def _wait(self) -> list[_Worker]:
        now = time.monotonic()
        left = [w.deadline - now for w in self._workers if w.deadline is not None]
        timeout = max(0.0, min([_SAMPLE_INTERVAL_S, *left]))
        ready = wait([worker.connection for worker in self._workers], timeout)
        now = time.monotonic()
        for worker in self._workers:
            # One that has something to say has not hung, however long nobody listened to it.
            late = worker.deadline is not None and worker.deadline <= now
            if late and worker.connection not in ready:
                worker.timed_out = True
                worker.deadline = None
                worker.process.kill()
        return [worker for worker in self._workers if worker.connection in ready]

    def _receive(self, worker: _Worker, line: Line[_Open]) -> Iterator[SourceResult | ChunkDone]:
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError, OSError):
            yield from self._bury(worker, line)
            return
        if not worker.greeted:
            self._greet(worker, message)
            return
        if message[0] == "broken":
            raise RunError(message[1])
        assert worker.open is not None
        assert worker.chunk is not None
        match message:
            case ("start", index):
                # Where it is ended already, that is for the image before: this one is innocent.
                if not (worker.timed_out or worker.ate):
                    worker.current = index
                worker.deadline = time.monotonic() + self._image_time_limit_s
            case ("done", index, result):
                self._settle(worker, index)
                self._add_hash(worker.chunk.tasks[index], result)
                worker.open.results.append(result)
                yield result
            case ("defer", index, cost_bytes):
                self._settle(worker, index)
                self.deferred += 1
                task = worker.chunk.tasks[index]
                if cost_bytes > self._machine_bytes:
                    result = self._refused(
                        task,
                        NotCompressedError(
                            Reason.NEEDS_TOO_MUCH_MEMORY,
                            f"Expected an image that fits into {self._machine_bytes / 1e6:.0f} MB "
                            f"of memory, received one that needs {cost_bytes / 1e6:.0f} MB.",
                        ),
                    )
                    worker.open.results.append(result)
                    yield result
                else:
                    line.defer(_Open([task], cost_bytes))
            case ("end", chunk_memory):
                item, worker.open, worker.chunk = worker.open, None, None
                worker.deadline = None
                line.end(item)
                yield ChunkDone(worker.process.pid, item.results, chunk_memory)

    def _settle(self, worker: _Worker, index: int) -> None:
        worker.finished.add(index)
        worker.current = None
        # Between two images a worker has little to do; one that hangs there is ended too.
        worker.deadline = time.monotonic() + self._image_time_limit_s

    def _greet(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        if message[0] == "broken":
            raise RunError(message[1])
        ours = codec_versions()
        if message[1] != ours:
            raise RunError(
                f"Expected every worker to have the codecs {ours}, received {message[1]} "
                "(one environment for all processes of a run)."
            )
        worker.greeted = True
        self.start_s = self.start_s or time.perf_counter() - self._began
        worker.base_bytes = memory.process_bytes(worker.process.pid)
        worker.deadline = None
        self._start_failures = 0

    def _bury(self, worker: _Worker, line: Line[_Open]) -> Iterator[SourceResult | ChunkDone]:
        """A worker died: fail the image it announced, take the rest back, start another."""
        worker.process.kill()
        code = worker.process.wait()
        words = _last_words(worker)
        if not worker.greeted:
            self._start_failures += 1
            if self._start_failures >= _MAX_START_FAILURES:
                raise RunError(
                    f"Expected worker processes to start, received {self._start_failures} that "
                    f"ended at once ({_describe_end(code)}). {words}"
                )
        if worker.open is not None and worker.chunk is not None:
            item, tasks = worker.open, worker.chunk.tasks
            cause = self._cause(worker, code, words)
            line.end(item)
            if worker.current is not None:
                worker.finished.add(worker.current)
                result = self._refused(tasks[worker.current], cause)
                item.results.append(result)
                yield result
            rest = [task for index, task in enumerate(tasks) if index not in worker.finished]
            yield ChunkDone(worker.process.pid, item.results, None)
            if rest:
                lost = item.lost_workers + 1 if worker.current is None else 0
                if lost >= _MAX_START_FAILURES:
                    raise RunError(
                        f"Expected workers to go on with their images, received {lost} in a row "
                        f"that ended between two ({_describe_end(code)}). {words}"
                    )
                line.put_back(_Open(rest, item.grant_bytes, lost_workers=lost))
        _close(worker)
        self._workers[self._workers.index(worker)] = self._start_worker()

    def _cause(self, worker: _Worker, code: int, words: str) -> NotCompressedError:
        if worker.timed_out:
            return NotCompressedError(
                Reason.TIME_LIMIT,
                f"Expected at most {self._image_time_limit_s:g} s for one image, received more; "
                "its worker was ended (image_time_limit_s).",
            )
        granted = worker.open.grant_bytes / 1e6 if worker.open is not None else 0.0
        seen = (
            f"it was granted {granted:.0f} MB and last seen at {worker.seen_bytes / 1e6:.0f} MB, "
            f"{worker.base_bytes / 1e6:.0f} MB of it its base (memory_budget_bytes)"
        )
        if worker.ate:
            return NotCompressedError(
                Reason.OUT_OF_MEMORY, f"The worker took too much memory and was ended: {seen}."
            )
        if code == -signal.SIGKILL:
            return NotCompressedError(
                Reason.OUT_OF_MEMORY,
                "The worker was killed from outside while it had this image, as the system does "
                f"where memory is short: {seen}.",
            )
        if _OUT_OF_MEMORY.search(words):
            return NotCompressedError(
                Reason.OUT_OF_MEMORY,
                f"The worker was refused memory and ended itself ({_describe_end(code)}): {seen}.",
            )
        return NotCompressedError(
            Reason.WORKER_DIED, f"The worker died on this image ({_describe_end(code)})."
        )

    def _refused(self, task: SourceTask, error: NotCompressedError) -> SourceResult:
        source = {"source_key": task.source_key, "source_bytes": task.size_bytes}
        outcomes = refuse(task, error, self._setup.recipe_digests, source)
        result = SourceResult(task.source_key, source, outcomes)
        self._add_hash(task, result)
        return result

    def _add_hash(self, task: SourceTask, result: SourceResult) -> None:
        """Say which bytes were meant where no worker could: it died, or did not read them."""
        if "source_sha256" in result.source or not result.outcomes:
            return
        if result.outcomes[0].get("reason") not in _HASHED_HERE:
            return
        store = LocalStore(Path(self._setup.source_root), follow_links=self._setup.follow_links)
        with contextlib.suppress(OSError):
            sha256 = store.sha256(source_path(task.source_key))
            for row in (result.source, *result.outcomes):
                row["source_sha256"] = sha256

    # -- processes -----------------------------------------------------------------------------

    def _start_worker(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            # What decoders print goes to a file of its own, kept for when the worker dies.
            stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
            try:
                process = subprocess.Popen(
                    [sys.executable, "-c", _BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                    pass_fds=[theirs.fileno()],
                    env=_worker_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                )
            except OSError as error:
                ours.close()
                stderr.close()
                raise RunError(
                    f"Expected to start a worker process, received {error.strerror!r} "
                    "(limits of processes, memory and, by ulimit -n, file handles)."
                ) from error
        connection = Connection(ours.detach())
        # A worker that dies at once is noticed by _bury.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(self._setup)
        return _Worker(process, connection, stderr, deadline=time.monotonic() + _START_LIMIT_S)

    def _kill_all(self) -> None:
        """End every worker now. Nothing is lost: a file is whole or not there."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            _close(worker)
        self._workers = []

    def _sample(self) -> None:
        now = time.monotonic()
        is_base = not self._has_base and all(worker.greeted for worker in self._workers)
        if now < self._next_sample and not is_base:
            return
        total = memory.process_bytes(os.getpid())
        for worker in self._workers:
            worker.seen_bytes = memory.process_bytes(worker.process.pid)
            total += worker.seen_bytes
            self._watch(worker)
        took_s = time.monotonic() - now
        self._next_sample = now + max(_SAMPLE_INTERVAL_S, took_s / _SAMPLE_SHARE_MAX)
        self.peak_bytes = max(self.peak_bytes, total)
        # Before all have greeted it is a part of the base: all there is of a run that ends first.
        if not self._has_base:
            self.base_bytes, self._has_base = total, is_base

    def _watch(self, worker: _Worker) -> None:
        """End a worker that has taken more than its guard allows, where that did not hold it."""
        if worker.open is None or worker.current is None:
            return
        allowed = guard_bytes(worker.open.grant_bytes, self._setup.policy.avif_threads)
        if worker.seen_bytes > worker.base_bytes + allowed:
            worker.ate = True
            worker.process.kill()


def _close(worker: _Worker) -> None:
    worker.connection.close()
    worker.stderr.close()


def _last_words(worker: _Worker) -> str:
    worker.stderr.seek(0, os.SEEK_END)
    worker.stderr.seek(max(0, worker.stderr.tell() - 2000))
    return worker.stderr.read().decode(errors="replace").strip()


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"
