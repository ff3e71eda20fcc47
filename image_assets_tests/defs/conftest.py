import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from image_assets_tests.defs.library import DayLibrary


@pytest.fixture(autouse=True)
def _no_settings_of_whoever_runs_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("IMAGE_ASSETS_", "DAGSTER_")):
            monkeypatch.delenv(name)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[DayLibrary]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        yield DayLibrary(tmp_path, instance)
