"""Schedules: when the nightly job runs, and for which day."""

from datetime import timedelta

import dagster as dg
from dagster import ScheduleEvaluationContext

from image_assets.defs import partitions
from image_assets.defs.jobs import NightlyJob


def nightly_schedule(job: NightlyJob) -> dg.ScheduleDefinition:
    """02:00 in the partitions' timezone, for the day that ended two hours before.

    Two hours leave time for the day's last uploads and for clocks that disagree; the work is done
    before people come in. Where the clock skips 02:00 in spring, Dagster runs at the next valid
    minute. Off until somebody switches it on.
    """
    zone = partitions.timezone()
    first_day = partitions.start_date()

    @dg.schedule(
        name="nightly_compression_schedule",
        cron_schedule="0 2 * * *",
        execution_timezone=zone.key,
        job=job,
        description=(
            f"Every night at 02:00 ({zone.key}): compresses the day that has just ended. Two "
            "hours of grace for late uploads; done before people come in. Switch it on here."
        ),
    )
    def nightly_compression_schedule(
        context: ScheduleEvaluationContext,
    ) -> dg.RunRequest | dg.SkipReason:
        # Not the clock: a tick that is evaluated late, or again, is about the same day.
        scheduled = context.scheduled_execution_time.astimezone(zone)
        day = scheduled.date() - timedelta(days=1)
        if day < first_day:
            return dg.SkipReason(f"{day} lies before the first partition, {first_day}.")
        # One run per day and tick: a tick that is evaluated again after a crash of the daemon
        # finds the run of the same key and starts no second one.
        return dg.RunRequest(
            run_key=f"{day.isoformat()}@{scheduled.isoformat()}", partition_key=day.isoformat()
        )

    return nightly_compression_schedule
