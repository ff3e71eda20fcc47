from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from image_assets.defs.jobs import nightly_job
from image_assets.defs.partitions import daily_partitions
from image_assets.defs.schedules import nightly_schedule


def _evaluate(at: datetime) -> Any:
    @dg.asset(partitions_def=daily_partitions())
    def something() -> None: ...

    schedule = nightly_schedule(nightly_job([something.key]))
    repository = dg.Definitions(assets=[something], schedules=[schedule]).get_repository_def()
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=repository
        ) as context,
    ):
        return repository.get_schedule_def(schedule.name).evaluate_tick(context)


def test_the_night_compresses_the_day_before() -> None:
    (request,) = _evaluate(datetime(2026, 3, 1, 2, tzinfo=UTC)).run_requests

    assert request.partition_key == "2026-02-28"
    assert request.run_key == "2026-02-28@2026-03-01T02:00:00+00:00"


def test_the_day_is_that_of_the_timezone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_TIMEZONE", "Asia/Tokyo")

    # 02:00 on the 2nd in Tokyo is 17:00 on the 1st in UTC.
    (request,) = _evaluate(datetime(2026, 3, 1, 17, tzinfo=UTC)).run_requests

    assert request.partition_key == "2026-03-01"


@pytest.mark.parametrize(
    ("tick", "day"),
    [
        # 2026-03-29, 02:00 does not exist in Berlin: the tick comes at 03:00.
        (datetime(2026, 3, 29, 3, tzinfo=ZoneInfo("Europe/Berlin")), "2026-03-28"),
        # The night after it: 24 hours before 02:00 on the 30th would be 02:00 on the 29th.
        (datetime(2026, 3, 30, 2, tzinfo=ZoneInfo("Europe/Berlin")), "2026-03-29"),
        # 2026-10-25 has 25 hours.
        (datetime(2026, 10, 26, 2, tzinfo=ZoneInfo("Europe/Berlin")), "2026-10-25"),
    ],
)
def test_clock_changes_lose_no_day(
    monkeypatch: pytest.MonkeyPatch, tick: datetime, day: str
) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_TIMEZONE", "Europe/Berlin")

    (request,) = _evaluate(tick).run_requests

    assert request.partition_key == day


def test_a_tick_that_is_evaluated_again_has_the_same_run_key() -> None:
    at = datetime(2026, 3, 1, 2, tzinfo=UTC)

    (first,), (second,) = _evaluate(at).run_requests, _evaluate(at).run_requests

    assert first.run_key == second.run_key


def test_before_the_first_partition_it_says_why_it_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGE_ASSETS_START_DATE", "2026-03-01")

    tick = _evaluate(datetime(2026, 3, 1, 2, tzinfo=UTC))

    assert not tick.run_requests
    assert tick.skip_message == "2026-02-28 lies before the first partition, 2026-03-01."
