import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.run.partition import plan_partition, recipe_digests, render_setup
from image_assets.engine.workers.render import SourceTask
from image_assets.engine.workers.worker import Chunk, ChunkMemory, serve
from image_assets_tests.libraries import Library, files_of

PLENTY_BYTES = 1_000_000_000


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


@contextmanager
def _serving(library: Library) -> Iterator[Connection]:
    """The parent's end of a connection that a worker serves in a thread of this process."""
    ours, theirs = Pipe()
    thread = threading.Thread(target=serve, args=[theirs])
    thread.start()
    job = library.job()
    ours.send(render_setup(job, plan_partition(job), recipe_digests(job)))
    try:
        yield ours
    finally:
        ours.close()
        thread.join(30)
        theirs.close()
        assert not thread.is_alive(), "it ends with its connection"


def _task(library: Library, key: str) -> SourceTask:
    size = (library.source / key).stat().st_size
    return SourceTask(key, size, tuple(library.job().wanted()))


def _receive(connection: Connection) -> Any:
    assert connection.poll(60), "the worker answers"
    return connection.recv()


def test_the_first_word_of_a_worker_names_its_codecs(library: Library) -> None:
    with _serving(library) as connection:
        assert _receive(connection) == ("hello", codec_versions())


def test_every_image_is_announced_before_it_is_touched_and_reported_after(
    library: Library,
) -> None:
    keys = library.fill(2)
    with _serving(library) as connection:
        _receive(connection)
        connection.send(Chunk(1, PLENTY_BYTES, tuple(_task(library, key) for key in keys)))
        words = [_receive(connection) for _ in range(5)]

    assert [word[:2] for word in words[:4]] == [
        ("start", 0),
        ("done", 0),
        ("start", 1),
        ("done", 1),
    ]
    for key, word in zip(keys, words[1:4:2], strict=True):
        result = word[2]
        assert result.source_key == key
        assert [row["status"] for row in result.outcomes] == ["written"] * 6
        assert result.source["worker_peak_bytes"] > 10_000_000
        assert result.source["worker_id"] > 0
    name, memory = words[4]
    assert name == "end"
    assert isinstance(memory, ChunkMemory)
    assert memory.peak_bytes >= memory.after_bytes > 0
    assert set(library.rendition_paths()) == files_of(keys[0]) | files_of(keys[1])


def test_an_image_beyond_the_grant_comes_back_with_its_cost_and_the_next_is_done(
    library: Library,
) -> None:
    keys = library.fill(1) + library.fill(1, (1200, 900), prefix="large")
    with _serving(library) as connection:
        _receive(connection)
        large_first = tuple(_task(library, key) for key in reversed(keys))
        connection.send(Chunk(1, 14_000_000, large_first))
        words = [_receive(connection) for _ in range(5)]
        assert [word[0] for word in words] == ["start", "defer", "start", "done", "end"]
        assert set(library.rendition_paths()) == files_of(keys[0])

        cost_bytes = words[1][2]
        assert cost_bytes > 14_000_000
        connection.send(Chunk(2, cost_bytes, large_first[:1]))
        words = [_receive(connection) for _ in range(3)]
        assert [word[0] for word in words] == ["start", "done", "end"]

    assert set(library.rendition_paths()) == files_of(keys[0]) | files_of(keys[1])


def test_a_bad_image_is_reported_as_done_with_its_reason(library: Library) -> None:
    (library.source / "bad.jpg").write_bytes(b"\xff\xd8\xff not an image")
    with _serving(library) as connection:
        _receive(connection)
        connection.send(Chunk(1, PLENTY_BYTES, (_task(library, "bad.jpg"),)))
        words = [_receive(connection) for _ in range(3)]

    assert [word[0] for word in words] == ["start", "done", "end"]
    assert {row["status"] for row in words[1][2].outcomes} == {"rejected"}


def test_an_output_that_cannot_be_written_breaks_the_run_with_one_sentence(
    library: Library, tmp_path: Path
) -> None:
    library.fill(1)
    job = library.job()
    setup = render_setup(job, plan_partition(job), recipe_digests(job))
    # A device on which there is never space, in the place of a rendition's temporary file.
    part = library.folder_of("00.jpg") / ".full.avif.tmp"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    ours, theirs = Pipe()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=[theirs])
        thread.start()
        ours.send(setup)
        _receive(ours)
        ours.send(Chunk(1, PLENTY_BYTES, (_task(library, "00.jpg"),)))
        assert _receive(ours) == ("start", 0)
        name, message = _receive(ours)
        ours.send(None)
        thread.join(30)

    assert not thread.is_alive()
    assert name == "broken"
    assert "No space left on device" in message
    assert "\n" not in message
    assert library.rendition_paths() == {}


def test_a_worker_ends_when_it_is_told_to(library: Library) -> None:
    ours, theirs = Pipe()
    with ours, theirs:
        thread = threading.Thread(target=serve, args=[theirs])
        thread.start()
        job = library.job()
        ours.send(render_setup(job, plan_partition(job), recipe_digests(job)))
        _receive(ours)
        ours.send(None)
        thread.join(30)
        assert not thread.is_alive()


def test_a_worker_names_its_modules(library: Library) -> None:
    with _serving(library) as connection:
        _receive(connection)
        connection.send("modules")
        name, modules = _receive(connection)

    assert name == "modules"
    assert "image_assets.engine.workers.worker" in modules
