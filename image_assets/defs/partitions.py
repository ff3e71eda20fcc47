"""Partitions: one per day, and how a backfill cuts them into runs."""

import os
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import dagster as dg

from image_assets.engine.errors import SettingError, expected

TIMEZONE_VARIABLE: Final = "IMAGE_ASSETS_TIMEZONE"
START_DATE_VARIABLE: Final = "IMAGE_ASSETS_START_DATE"
DEFAULT_TIMEZONE: Final = "UTC"
DEFAULT_START_DATE: Final = "2015-01-01"

# One policy for all partitioned assets: mixed policies warn, and a single run over many
# partitions cannot report per partition (dagster#21072). One day a run: a failed day is retried
# alone.
BACKFILL_POLICY: Final = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


def timezone() -> ZoneInfo:
    """The timezone of partitions and schedule alike (``IMAGE_ASSETS_TIMEZONE``, default UTC)."""
    name = os.environ.get(TIMEZONE_VARIABLE) or DEFAULT_TIMEZONE
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SettingError(
            expected("a timezone name like 'Europe/Berlin'", name, TIMEZONE_VARIABLE)
        ) from error


def start_date() -> date:
    """The first day that has a partition (``IMAGE_ASSETS_START_DATE``, default 2015-01-01)."""
    text = os.environ.get(START_DATE_VARIABLE) or DEFAULT_START_DATE
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingError(expected("a day as YYYY-MM-DD", text, START_DATE_VARIABLE)) from error


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """Days from the start date to today inclusive."""
    return dg.DailyPartitionsDefinition(
        start_date=datetime.combine(start_date(), datetime.min.time()),
        timezone=timezone().key,
        # Without it a day's partition exists only when the day is over; a folder that is
        # compressed today is today's.
        end_offset=1,
    )


def today() -> date:
    """Today in the partitions' timezone."""
    return datetime.now(timezone()).date()
