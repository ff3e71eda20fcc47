"""``make ui``: the Dagster UI and daemon, on the data of the last ``make run``."""

import os
import sys
from typing import NoReturn

from image_assets.defs.instance import PROJECT_FOLDER, prepare_home, recall_library

DEFAULT_PORT = "3000"


def main() -> NoReturn:
    """Replace this process by ``dagster dev``; the port comes from ``PORT``, default 3000."""
    home = prepare_home()
    for name, value in recall_library(home).items():
        os.environ.setdefault(name, value)
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
