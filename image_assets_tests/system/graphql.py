"""A real webserver, daemon and code location, each in a process group of its own, over GraphQL."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from image_assets_tests.processes import REPOSITORY, environment, wait_until, workers_of

LOCATION: Final = "image_assets"
STARTED_WITHIN_S: Final = 120.0
"""Some 12 s on two idle cores, of which most is the import of Dagster, three times over."""

_CODE, _WEBSERVER, _DAEMON = "code location", "webserver", "daemon"
_ASKED_EVERY_S: Final = 0.25
_ENDS_WITHIN_S: Final = 20.0
# Dagster looks at its queue every 5 s, and at backfills every 30 s (`quick_daemon` does that more
# often): nine runs of 3 s each would wait 22 s for the former alone.
_QUICK_QUEUE: Final = "\nrun_queue:\n  dequeue_interval_seconds: 1\n"
_LOADED: Final = """
query { workspaceOrError { ... on Workspace { locationEntries {
  locationOrLoadError { __typename ... on PythonError { message } }
} } } }
"""


@dataclass(frozen=True)
class Server:
    """A webserver, and whatever runs beside it on the same instance.

    Attributes:
        address: Of the webserver.
        processes: Leaders of process groups by what they are.
        log: What they printed.
    """

    address: str
    processes: Mapping[str, "subprocess.Popen[bytes]"]
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
        answers: list[Any] = []

        def is_answered() -> bool:
            for name, process in self.processes.items():
                assert process.poll() is None, f"the {name} ended:\n{self.tail()}"
            try:
                answers[:] = [self.ask(query, **variables)]
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                answers[:] = [error]
                return False
            return bool(wanted(answers[0]))

        def describe() -> str:
            return f"the answer wanted; the last one was {answers}\n{self.tail()}"

        wait_until(is_answered, describe, within_s, every_s=_ASKED_EVERY_S)
        answer = answers[0]
        assert isinstance(answer, dict)
        return answer

    def workers(self) -> list[psutil.Process]:
        """The worker processes of all runs in work."""
        return [w for process in self.processes.values() for w in workers_of(process.pid)]

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
    variables = {"DAGSTER_HOME": str(home), "PORT": str(port)}
    with _Group(folder, log, variables) as group:
        group.start("server", "image_assets.defs.ui")
        yield Server(f"http://127.0.0.1:{port}", group.processes, log)


@contextlib.contextmanager
def running_instance(folder: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """Run a webserver and a daemon on a new instance under the project's ``dagster.yaml``.

    The same processes as in `running_server`, but each by itself, so that a test can end one of
    them, and with a daemon that looks at its queue and at backfills often.

    Args:
        folder: Gets the instance and the log, and becomes the working folder.
        variables: Environment of the code location, such as ``IMAGE_ASSETS_SOURCE``.
    """
    home, log = folder / "dagster_home", folder / "instance.log"
    home.mkdir()
    settings = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(settings + _QUICK_QUEUE, encoding="utf-8")
    code_port, port = _free_port(), _free_port()
    workspace = home / "workspace.yaml"
    server = {"host": "127.0.0.1", "port": code_port, "location_name": LOCATION}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
    with _Group(folder, log, {**variables, "DAGSTER_HOME": str(home)}) as group:
        words = ["api", "grpc", "--module-name", "image_assets.definitions"]
        words += ["--host", "127.0.0.1", "--port", str(code_port), "--location-name", LOCATION]
        code = group.start(_CODE, "dagster", *words)
        wait_until(
            lambda: code.poll() is not None or _is_listening(code_port),
            "the code location is loaded",
            STARTED_WITHIN_S,
            every_s=_ASKED_EVERY_S,
        )
        words = ["--host", "127.0.0.1", "--port", str(port), "--workspace", str(workspace)]
        group.start(_WEBSERVER, "dagster_webserver", *words)
        words = ["run", "--workspace", str(workspace)]
        group.start(_DAEMON, "image_assets_tests.system.quick_daemon", *words)
        running = Server(f"http://127.0.0.1:{port}", group.processes, log)
        loaded = running.ask_until(_LOADED, bool, within_s=STARTED_WITHIN_S)
        (entry,) = loaded["workspaceOrError"]["locationEntries"]
        assert entry["locationOrLoadError"]["__typename"] == "RepositoryLocation", entry
        yield running


class _Group:
    """Processes that share a folder, a log and an environment, and end together."""

    def __init__(self, folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._log = log
        self._environment = environment(variables)

    def start(self, name: str, module: str, *words: str) -> "subprocess.Popen[bytes]":
        """Start ``python -m module`` in a session of its own."""
        with self._log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        return process

    def __enter__(self) -> "_Group":
        return self

    def __exit__(self, *error: object) -> None:
        """End every group as Ctrl-C would; kill what is left of it."""
        processes = list(self.processes.values())
        _signal(processes, signal.SIGINT)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDS_WITHIN_S)
        _signal(processes, signal.SIGKILL)
        for process in processes:
            process.wait(_ENDS_WITHIN_S)


def _signal(leaders: "Sequence[subprocess.Popen[bytes]]", number: int) -> None:
    for leader in leaders:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, number)


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    assert isinstance(port, int)
    return port
