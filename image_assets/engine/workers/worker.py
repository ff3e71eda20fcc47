"""A worker process: started by `image_assets.engine.workers.pool`, compresses one image at a time.

It is a fresh interpreter that runs this module only, so nothing of the parent's program
(Dagster, pandas, pytest) is imported into it, however the parent was started.
"""

import os
import sys
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from image_assets.engine.errors import RunError
from image_assets.engine.pixels.codecs import codec_versions, prepare_pillow
from image_assets.engine.pixels.cost import guard_bytes
from image_assets.engine.pixels.jpeg import load_library
from image_assets.engine.workers import memory
from image_assets.engine.workers.render import RenderSetup, SourceTask, TooDearError, render_source


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a worker is handed: some sources and the memory that each of them may cost."""

    chunk_id: int
    grant_bytes: int
    tasks: tuple[SourceTask, ...]


@dataclass(frozen=True, slots=True)
class ChunkMemory:
    """Memory of a worker around one chunk, bytes: the guide's monitoring of a function.

    Attributes:
        before_bytes: Resident before the chunk.
        peak_bytes: Largest resident while it ran.
        after_bytes: Resident after collection and trimming.
    """

    before_bytes: int
    peak_bytes: int
    after_bytes: int


def serve(connection: Connection) -> None:
    """Serve chunks until the parent closes the connection or sends None.

    Messages to the parent, as tuples: ``("hello", codecs)``, ``("start", index)``,
    ``("done", index, SourceResult)``, ``("defer", index, cost_bytes)``, ``("end", ChunkMemory)``,
    ``("modules", names)`` and ``("broken", message)`` where the run must end.
    """
    setup: RenderSetup = connection.recv()
    prepare_pillow()
    load_library()  # before the first image, whose memory is limited
    connection.send(("hello", codec_versions()))
    while True:
        try:
            message: Any = connection.recv()
        except EOFError:
            return
        if message is None:
            return
        if message == "modules":
            connection.send(("modules", sorted(sys.modules)))
            continue
        _serve_chunk(connection, message, setup)


def _serve_chunk(connection: Connection, chunk: Chunk, setup: RenderSetup) -> None:
    before = memory.resident_bytes()
    memory.reset_peak()
    growth_bytes = guard_bytes(chunk.grant_bytes, setup.policy.avif_threads)
    for index, task in enumerate(chunk.tasks):
        connection.send(("start", index))
        try:
            # A decoder that eats memory is refused it, and its image fails alone.
            with memory.data_limit(growth_bytes):
                result = render_source(task, setup, chunk.grant_bytes)
        except TooDearError as error:
            connection.send(("defer", index, error.cost_bytes))
            continue
        except RunError as error:
            connection.send(("broken", str(error)))
            return
        result.source["worker_id"] = os.getpid()
        result.source["worker_peak_bytes"] = memory.peak_resident_bytes()
        connection.send(("done", index, result))
    peak = memory.peak_resident_bytes()
    memory.collect_and_trim()
    connection.send(("end", ChunkMemory(before, peak, memory.resident_bytes())))


def main(descriptor: int) -> None:
    """Run a worker on an inherited socket.

    Args:
        descriptor: File descriptor of the connection to the parent.
    """
    import signal

    # Ctrl-C reaches the whole foreground group; the parent decides what becomes of a worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.die_with_parent()
    memory.die_first()
    memory.limit_arenas()
    warnings.simplefilter("ignore")
    with Connection(descriptor) as connection:
        try:
            serve(connection)
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception:
            # A defect of ours: the parent ends the run with it rather than blame an image.
            connection.send(("broken", f"a worker failed:\n{traceback.format_exc()}"))
