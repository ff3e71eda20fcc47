"""The Dagster instance on this machine: its home, its settings, the library it last worked on."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    import dagster as dg

PROJECT_FOLDER: Final = Path(__file__).parents[2]
HOME_VARIABLE: Final = "DAGSTER_HOME"
_HOME_NAME: Final = ".dagster_home"
_LIBRARY_FILE: Final = "library.env"
_PROCESS_TAG: Final = "image_assets/process"


def prepare_home() -> Path:
    """Make DAGSTER_HOME usable and return it; default is ``.dagster_home`` in the working folder.

    Without it Dagster keeps its history in a temporary folder and deletes it. The default home
    gets the project's ``dagster.yaml``, so that ``make run`` and ``make ui`` share one history
    under one configuration; a home that somebody set is theirs and is left as it is.
    """
    given = os.environ.get(HOME_VARIABLE)
    home = Path(given) if given else Path.cwd() / _HOME_NAME
    home.mkdir(parents=True, exist_ok=True)
    ours = PROJECT_FOLDER / "dagster.yaml"
    target = home / "dagster.yaml"
    if ours.is_file() and not (given and target.exists()):
        text = ours.read_text(encoding="utf-8")
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    os.environ[HOME_VARIABLE] = str(home.absolute())
    return home.absolute()


def remember_library(home: Path, variables: Mapping[str, str]) -> None:
    """Write down which library was worked on, for the UI to open on the same data."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in variables.items()]
    (home / _LIBRARY_FILE).write_text("".join(lines), encoding="utf-8")


def recall_library(home: Path) -> dict[str, str]:
    """What `remember_library` wrote, nothing where it never did."""
    path = home / _LIBRARY_FILE
    if not path.is_file():
        return {}
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: "".join(shlex.split(value)) for name, _, value in pairs if name}


def process_tag() -> dict[str, str]:
    """A run tag that names this process, so that others can tell whether it lives."""
    return {_PROCESS_TAG: _name_process(psutil.Process())}


def close_dead_runs(instance: "dg.DagsterInstance") -> None:
    """Mark runs as failed whose process, started from a terminal, is gone.

    Dagster cannot know of them, and one run that seems to go on for ever blocks the queue.
    """
    import dagster as dg

    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    for run in instance.get_runs(started):
        name = run.tags.get(_PROCESS_TAG)
        if name is not None and not _is_alive(name):
            instance.report_run_failed(run, "The process of this run is gone.")


def _is_alive(name: str) -> bool:
    try:
        return _name_process(psutil.Process(int(name.partition(" ")[0]))) == name
    except psutil.NoSuchProcess:
        return False


def _name_process(process: psutil.Process) -> str:
    # Process ids are given out again; the time of start tells them apart.
    return f"{process.pid} since {process.create_time():.2f}"
