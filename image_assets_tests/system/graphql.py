"""A real webserver and daemon, started in a process group of their own, spoken to over GraphQL."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[2]
_POLL_INTERVAL_S: Final = 0.25
_ENDS_WITHIN_S: Final = 20.0


@dataclass(frozen=True)
class Server:
    """A running `dagster dev`.

    Attributes:
        address: Of the webserver.
        process: Leader of the process group.
        log: What it printed.
    """

    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """Send one GraphQL query and return its data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own server on the loopback
            f"{self.address}/graphql", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            # A query that the schema refuses is as wrong the next time.
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in answer, answer["errors"]
        data = answer["data"]
        assert isinstance(data, dict)
        return data

    def ask_until(
        self, query: str, wanted: Any, *, within_s: float, **variables: object
    ) -> dict[str, Any]:
        """Ask again until `wanted` holds for the answer; fail with the log when it never does."""
        deadline = time.monotonic() + within_s
        answer: object = None
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the server ended:\n{self.tail()}"
            try:
                answer = self.ask(query, **variables)
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                answer = error
            else:
                if wanted(answer):
                    assert isinstance(answer, dict)
                    return answer
            time.sleep(_POLL_INTERVAL_S)
        raise AssertionError(f"not within {within_s} s; last answer {answer}\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


@contextlib.contextmanager
def running_server(folder: Path, home: Path) -> Iterator[Server]:
    """Run ``make ui``'s command until the block ends, then end its whole process group.

    Args:
        folder: Becomes the working folder.
        home: Becomes DAGSTER_HOME.
    """
    port = _free_port()
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "image_assets.defs.ui"],
            cwd=folder,
            env={
                **_without_our_settings(),
                "PYTHONPATH": str(PROJECT),
                "DAGSTER_HOME": str(home),
                "PORT": str(port),
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Server(f"http://127.0.0.1:{port}", process, log)
    finally:
        _end_group(process)


def _without_our_settings() -> dict[str, str]:
    """This process's environment, without what whoever runs the tests has set for a library."""
    return {k: v for k, v in os.environ.items() if not k.startswith("IMAGE_ASSETS_")}


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the group as Ctrl-C would; kill what is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_WITHIN_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_ENDS_WITHIN_S)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port
