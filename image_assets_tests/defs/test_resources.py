from pathlib import Path

import pytest

from image_assets.defs.resources import LibraryResource
from image_assets.engine.errors import SettingError
from image_assets_tests.defs.library import DAY, draw_image


def test_without_environment_the_defaults_hold() -> None:
    library = LibraryResource.from_environment()

    assert (library.source, library.output, library.layout) == ("samples", "output/samples", "auto")


def test_the_environment_names_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_SOURCE", "/photos")
    monkeypatch.setenv("IMAGE_ASSETS_OUTPUT", "/web")
    monkeypatch.setenv("IMAGE_ASSETS_LAYOUT", "%Y/%m/%d")

    library = LibraryResource.from_environment()

    assert (library.source, library.output, library.layout) == ("/photos", "/web", "%Y/%m/%d")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_SOURCE", "")

    assert LibraryResource.from_environment().source == "samples"


def test_it_opens_to_plain_paths_and_records_the_layout(tmp_path: Path) -> None:
    draw_image(tmp_path / "source" / DAY / "photo.jpg")
    library = LibraryResource(source=str(tmp_path / "source"), output=str(tmp_path / "output"))

    opened = library.open_library()

    assert opened.source == tmp_path / "source"
    assert opened.layout.template == "%Y-%m-%d"
    assert (tmp_path / "output" / "tables" / "layout.json").is_file()


def test_an_output_inside_the_source_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    draw_image(tmp_path / DAY / "photo.jpg")
    library = LibraryResource(source=str(tmp_path), output=str(tmp_path / "web"))

    with pytest.raises(SettingError, match="outside the source"):
        library.open_library()

    assert not (tmp_path / "web").exists()
