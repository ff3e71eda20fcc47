"""``make run`` as a process of its own, stopped as a person or a machine stops it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from image_assets_tests.defs.library import draw_image
from image_assets_tests.processes import REPOSITORY, wait_until

pytestmark = pytest.mark.system

_BEGUN_WITHIN_S = 60.0


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_leaves_no_worker(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    # One that is finished at once, and what keeps both workers: the slowest there is.
    draw_image(tmp_path / "source" / "0.jpg", size=(48, 32))
    for index in range(1, 5):
        draw_image(tmp_path / "source" / f"{index}.jpg", seed=index, size=(1600, 1200))
    command = [sys.executable, "-m", "image_assets.defs.run_once", "--source", "source"]
    command += ["--preset", "quality", "--set", "avif_speed=0", "--output", "output"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "DAGSTER_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _wait_for_a_rendition(process, tmp_path / "output" / "renditions")
            workers = psutil.Process(process.pid).children(recursive=True)
            asked_s = time.monotonic()
            # Ctrl-C reaches the whole group, a service manager's TERM the one process.
            if signal_number == signal.SIGINT:
                os.killpg(process.pid, signal_number)
            else:
                process.send_signal(signal_number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()

    assert time.monotonic() - asked_s < 5
    assert process.returncode == 130
    assert errors.endswith(
        "image-assets: stopped. What is finished is kept; the same command goes on from there.\n"
    )
    assert "Traceback" not in errors
    assert workers
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def _wait_for_a_rendition(process: subprocess.Popen[str], folder: Path) -> None:
    def is_there() -> bool:
        assert process.poll() is None, process.communicate()
        return any(folder.rglob("*.avif"))

    wait_until(is_there, "a rendition is made", _BEGUN_WITHIN_S)
