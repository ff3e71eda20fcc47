"""``make ui``: the Dagster UI and daemon, on the data of the last ``make run``."""

import os
import sys
from typing import NoReturn

import dagster as dg

from image_assets.defs.instance import (
    PROJECT_FOLDER,
    close_dead_runs,
    prepare_home,
    recall_library,
)

DEFAULT_PORT = "3000"


def main() -> NoReturn:
    """Replace this process by ``dagster dev``; the port comes from ``PORT``, default 3000."""
    home = prepare_home()
    library = recall_library(home)
    # All or nothing: one library's output must never meet another's source.
    if not any(os.environ.get(name) for name in library):
        os.environ.update(library)
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
    port = os.environ.get("PORT") or DEFAULT_PORT
    print(f"http://127.0.0.1:{port}  (Ctrl-C ends it; history in {home})", flush=True)
    # `dg dev`, which this warning praises, wants a project laid out in its own way.
    quietly = "ignore:Function `dev_command` is superseded"
    command = [sys.executable, "-W", quietly, "-m", "dagster", "dev"]
    command += ["--workspace", str(PROJECT_FOLDER / "workspace.yaml")]
    command += ["--host", "127.0.0.1", "--port", port]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
