import json
import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.errors import RunError, SettingError
from image_assets.engine.storage.layout import TEMPLATES, Layout, resolve_layout
from image_assets.engine.storage.naming import LAYOUT_RECORD

TODAY = date(2024, 5, 1)


def resolve(source: Path, output: Path, requested: str = "auto", *, record: bool = True) -> Layout:
    return resolve_layout(source, output, requested, TODAY, record=record)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


@pytest.mark.parametrize(
    ("folder", "template"),
    [("2015-01-02", "%Y-%m-%d"), ("2015/01/02", "%Y/%m/%d"), ("dt=2015-01-02", "dt=%Y-%m-%d")],
)
def test_day_folders_are_recognised(source: Path, output: Path, folder: str, template: str) -> None:
    (source / folder).mkdir(parents=True)
    layout = resolve(source, output)
    assert layout == Layout(template)
    assert layout.partitions(source) == ["2015-01-02"]
    assert layout.partition_root(source, "2015-01-02") == source / folder
    assert layout.partition_root(source, "2015-01-03") is None


def test_only_folders_that_are_days_are_partitions(source: Path) -> None:
    for name in ("2015-01-02", "2014-12-31", "2015-13-01", "2015-1-5", "holiday", "2015-02-30"):
        (source / name).mkdir()
    (source / "2016-01-01").write_text("a file, not a folder")
    assert Layout("%Y-%m-%d").partitions(source) == ["2014-12-31", "2015-01-02"]


def test_a_folder_without_days_is_one_partition_the_day_of_its_first_run(
    source: Path, output: Path
) -> None:
    (source / "holiday").mkdir()
    layout = resolve(source, output)
    assert layout == Layout("flat", "2024-05-01")
    assert layout.partitions(source) == ["2024-05-01"]
    assert layout.partition_root(source, "2024-05-01") == source
    assert layout.partition_root(source, "2024-05-02") is None


def test_the_day_of_the_first_run_is_kept_by_later_runs(source: Path, output: Path) -> None:
    (source / "a.jpg").write_bytes(b"x")
    first = resolve(source, output)
    later = resolve_layout(source, output, "auto", date(2031, 1, 1), record=True)
    assert later == first
    # even where the folder looks otherwise by then
    (source / "2030-01-01").mkdir()
    assert resolve(source, output) == first


def test_nothing_is_recorded_unless_asked_to(source: Path, output: Path) -> None:
    (source / "a.jpg").write_bytes(b"x")
    resolve(source, output, record=False)
    assert not output.exists()


def test_an_empty_source_awaits_day_folders(source: Path, output: Path) -> None:
    assert resolve(source, output) == Layout("%Y-%m-%d")


def test_a_requested_layout_wins_over_what_the_folder_looks_like(
    source: Path, output: Path
) -> None:
    (source / "2015-01-02").mkdir()
    assert resolve(source, output, "flat").is_flat


def test_a_layout_other_than_the_recorded_one_is_refused(source: Path, output: Path) -> None:
    resolve(source, output, "flat")
    sentence = "Expected layout 'flat', with which this output was begun, received '%Y-%m-%d'"
    with pytest.raises(SettingError, match=re.escape(sentence)):
        resolve(source, output, "%Y-%m-%d")
    assert resolve(source, output, "flat").is_flat


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # strptime of a day without a year
@pytest.mark.parametrize(
    "requested",
    [
        *("", "flatt", "photos", "%Y", "%Y-%m", "%m/%d", "%d", "%Q"),
        *("/%Y-%m-%d", "../%Y-%m-%d", "%Y-%m-%d/", "%Y/%Y-%m-%d"),
    ],
)
def test_a_template_that_names_no_day_below_the_source_is_refused(
    source: Path, output: Path, requested: str
) -> None:
    with pytest.raises(SettingError, match=r"\(layout\)\.$"):
        resolve(source, output, requested)
    assert not output.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"layout": "flat"}'])
def test_a_damaged_record_ends_the_run_by_name(source: Path, output: Path, text: str) -> None:
    record = output / LAYOUT_RECORD
    record.parent.mkdir(parents=True)
    record.write_text(text)
    with pytest.raises(RunError, match=re.escape(str(record))):
        resolve(source, output)
    assert record.read_text() == text, "it is left for a person to look at"


def test_the_record_is_what_its_error_message_says_to_write(source: Path, output: Path) -> None:
    resolve(source, output, "flat")
    record = json.loads((output / LAYOUT_RECORD).read_text())
    assert record.pop("source") == str(source), "said for people; nothing depends on it"
    assert record == {"layout": "flat", "partition": "2024-05-01"}


@given(
    st.dates(date(1970, 1, 1), date(2099, 12, 31)),
    st.sampled_from([*TEMPLATES, "%Y%m%d", "photos/%Y/%j"]),
)
def test_every_day_has_a_folder_by_which_it_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, day: date, template: str
) -> None:
    source = tmp_path_factory.mktemp("source")
    (source / day.strftime(template)).mkdir(parents=True)
    layout = resolve(source, source.parent / "none", template, record=False)
    assert layout.partitions(source) == [day.isoformat()]
    assert layout.partition_root(source, day.isoformat()) is not None
