import os
from pathlib import Path

import pytest

from image_assets.defs.instance import (
    PROJECT_FOLDER,
    prepare_home,
    recall_library,
    remember_library,
)


def test_the_default_home_gets_the_projects_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set, then removed: what prepare_home sets is undone after the test.
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.chdir(tmp_path)

    home = prepare_home()

    assert home == tmp_path / ".dagster_home"
    assert os.environ["DAGSTER_HOME"] == str(home)
    ours = (PROJECT_FOLDER / "dagster.yaml").read_text()
    assert (home / "dagster.yaml").read_text() == ours


def test_a_home_that_somebody_made_keeps_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

    assert prepare_home() == tmp_path
    assert (tmp_path / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_a_library_is_remembered_whatever_its_name(tmp_path: Path) -> None:
    library = {
        "IMAGE_ASSETS_SOURCE": '/photos/it\'s $5 = "cheap"',
        "IMAGE_ASSETS_OUTPUT": "/out put",
    }

    remember_library(tmp_path, library)

    assert recall_library(tmp_path) == library


def test_no_library_is_remembered_before_the_first_run(tmp_path: Path) -> None:
    assert recall_library(tmp_path) == {}
