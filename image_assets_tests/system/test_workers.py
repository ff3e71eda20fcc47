"""Workers of a run that Dagster started, each way a person starts it."""

import json
import os
import sys
from pathlib import Path

import pytest

from image_assets_tests.photographs import save_photograph
from image_assets_tests.processes import (
    IMPORTS_SHOWN,
    SLOW,
    SLOW_SIZE,
    assert_lean,
    settings_arguments,
    started,
    wait_until,
    worker_writing,
    workers_of,
)

pytestmark = pytest.mark.system

DAY = "2026-03-01"
NAME = "held.jpg"

_CONFIG = json.dumps({"ops": {"compress": {"config": SLOW}}})
_MATERIALISE = [
    *("asset", "materialize", "--select", "*", "--partition", DAY),
    *("-m", "image_assets.definitions", "--config-json", _CONFIG),
]
STARTS = {
    "bin/dagster": [os.fspath(Path(sys.executable).with_name("dagster")), *_MATERIALISE],
    "python -m dagster": [sys.executable, "-m", "dagster", *_MATERIALISE],
    "make run": [
        *(sys.executable, "-m", "image_assets.defs.run_once", "--partition", DAY),
        *("--source", "source", "--output", "output", *settings_arguments(SLOW)),
    ],
}


@pytest.mark.parametrize("start", STARTS)
def test_workers_of_a_dagster_run_import_neither_dagster_nor_pandas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    source, output, home = tmp_path / "source", tmp_path / "output", tmp_path / "home"
    save_photograph(source / DAY / NAME, SLOW_SIZE)
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    surroundings = {
        **IMPORTS_SHOWN,
        "DAGSTER_HOME": os.fspath(home),
        "IMAGE_ASSETS_SOURCE": os.fspath(source),
        "IMAGE_ASSETS_OUTPUT": os.fspath(output),
    }
    part = output / "renditions" / DAY / NAME / ".full.avif.tmp"
    with started(STARTS[start], surroundings) as process:
        wait_until(
            lambda: process.poll() is not None or worker_writing(part, process.pid),
            "a worker has the photograph in hand",
        )
        assert process.poll() is None, "the run goes on while its worker is looked at"
        for worker in workers_of(process.pid):
            assert_lean(worker)
