"""Real processes of a test: the command line as a person starts it, and the workers below it."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

REPOSITORY: Final = Path(__file__).parent.parent

# AVIF by aom at its slowest: some 10 s a megapixel, and a 48 x 32 photograph in 0.1 s. A larger
# photograph holds its worker for as long as a test wants to look at it.
SLOW: Final[dict[str, object]] = {"full_avif_quality": 95, "avif_speed": 0}
SLOW_SIZE: Final = (1000, 800)

IMPORTS_SHOWN: Final = {"PYTHONPROFILEIMPORTTIME": "1"}
"""Environment under which `imported_modules` can look into a process."""

UNWANTED_IN_WORKERS: Final = {"dagster", "pandas", "pyarrow"}

_PR_CAPBSET_DROP: Final = 24
# CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root read and write whatever the mode says.
_MODE_IGNORING: Final = (1, 2)


def wait_until(
    condition: Callable[[], object],
    what: str | Callable[[], str],
    limit_s: float = 60.0,
    *,
    every_s: float = 0.002,
) -> None:
    """Return as soon as a condition holds; fail, saying what, when it does not within the limit."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {limit_s:g} s: {told}")
        time.sleep(every_s)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child that finds this package and no setting of the developer's."""
    kept = {name: value for name, value in os.environ.items() if "IMAGE_ASSETS" not in name}
    return {**kept, "PYTHONPATH": os.fspath(REPOSITORY), **(extra or {})}


def obey_file_modes() -> None:
    """For `preexec_fn`: let the child, even root's, be refused what file modes refuse."""
    libc = ctypes.CDLL(None)
    for capability in _MODE_IGNORING:
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def command(*arguments: object) -> list[str]:
    """``python -m image_assets`` with arguments."""
    return [sys.executable, "-m", "image_assets", *map(str, arguments)]


def settings_arguments(overrides: Mapping[str, object]) -> list[str]:
    """``--set key=value`` for every override."""
    return [word for key, value in overrides.items() for word in ("--set", f"{key}={value}")]


def run_command(
    *arguments: object,
    extra: Mapping[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m image_assets`` to its end, its output piped."""
    return subprocess.run(
        command(*arguments),
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=preexec_fn,
    )


@contextmanager
def started(
    words: Sequence[str], extra: Mapping[str, str] | None = None, errors: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A child in a group of its own, as a shell starts it; nothing of it is left afterwards.

    Args:
        words: The command.
        extra: Environment beside `environment`.
        errors: File for its standard error; no pipe, for nobody would read that meanwhile.
    """
    with open(os.devnull if errors is None else errors, "wb") as stderr:
        process = subprocess.Popen(
            words,
            env=environment(extra),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes below a process."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [
            child for child in children if "image_assets.engine.workers.worker" in _words(child)
        ]
    except psutil.NoSuchProcess:
        return []


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, whoever is to collect it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def worker_writing(path: Path, pid: int | None = None) -> psutil.Process | None:
    """The worker, below a process (default: this one), that has a file open."""
    for worker in workers_of(os.getpid() if pid is None else pid):
        try:
            if any(Path(file.path) == path for file in worker.open_files()):
                return worker
        except psutil.Error:
            continue
    return None


def imported_modules(pid: int) -> set[str]:
    """Names of all modules that a live process imported since its interpreter started.

    The process must have been started under `IMPORTS_SHOWN`; what it wrote to its standard error
    is read through ``/proc``, a deleted temporary file included.
    """
    text = Path(f"/proc/{pid}/fd/2").read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.startswith("import time:")]
    return {line.rsplit("|", 1)[1].strip() for line in lines}


def assert_lean(worker: psutil.Process) -> None:
    """Assert that a live worker has neither Dagster nor pandas nor pyarrow in it.

    It looks at what the interpreter imported and at what is mapped into the process, so that a
    module that was imported and forgotten again is seen too.
    """
    modules = imported_modules(worker.pid)
    assert "image_assets.engine.workers.render" in modules, "the worker's imports can be seen"
    assert {name.partition(".")[0] for name in modules} & UNWANTED_IN_WORKERS == set()
    mapped = {file.path for file in worker.memory_maps()}
    assert any("/PIL/" in path for path in mapped), "the worker's libraries can be seen"
    # Of Dagster, what it always loads: it has no compiled part of its own.
    foreign = ("/pandas/", "/pyarrow/", "/grpc/", "/sqlalchemy/", "/pydantic_core/")
    assert [path for path in mapped if any(part in path for part in foreign)] == []
