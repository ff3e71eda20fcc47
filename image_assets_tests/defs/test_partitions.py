from datetime import UTC, datetime

import pytest

from image_assets.defs import partitions
from image_assets.engine.errors import SettingError


def test_today_has_a_partition_and_tomorrow_has_none() -> None:
    definition = partitions.daily_partitions()

    keys = definition.get_partition_keys(current_time=datetime(2015, 1, 3, 12, tzinfo=UTC))

    assert keys == ["2015-01-01", "2015-01-02", "2015-01-03"]


def test_start_and_timezone_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_START_DATE", "2026-03-01")
    monkeypatch.setenv("IMAGE_ASSETS_TIMEZONE", "Asia/Tokyo")
    definition = partitions.daily_partitions()

    # 16:00 UTC on the 1st is the 2nd in Tokyo.
    keys = definition.get_partition_keys(current_time=datetime(2026, 3, 1, 16, tzinfo=UTC))

    assert keys == ["2026-03-01", "2026-03-02"]


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "IMAGE_ASSETS_TIMEZONE",
            "Mars/Olympus",
            "Expected a timezone name like 'Europe/Berlin', received 'Mars/Olympus' "
            "(IMAGE_ASSETS_TIMEZONE).",
        ),
        (
            "IMAGE_ASSETS_START_DATE",
            "soon",
            "Expected a day as YYYY-MM-DD, received 'soon' (IMAGE_ASSETS_START_DATE).",
        ),
    ],
)
def test_a_wrong_value_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingError) as caught:
        partitions.daily_partitions()

    assert str(caught.value) == sentence
