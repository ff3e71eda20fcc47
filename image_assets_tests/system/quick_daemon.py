"""``dagster-daemon``, looking at backfills every two seconds: half a minute a look is a slow test.

The interval is a constant of Dagster, which no setting of the instance reaches; it is read anew
by each start of the loop. All else is the daemon as it is.
"""

from typing import Final

from dagster._daemon import cli, controller

INTERVAL_S: Final = 2
# A look at a backfill of three days takes the daemon half a second.

if __name__ == "__main__":
    assert controller.DEFAULT_DAEMON_INTERVAL_SECONDS > INTERVAL_S, "the constant is still there"
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = INTERVAL_S
    cli.main()
