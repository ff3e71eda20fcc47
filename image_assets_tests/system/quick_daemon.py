"""``dagster-daemon``, looking at backfills every second: half a minute a look is a slow test.

The interval is a constant of Dagster, which no setting of the instance reaches; it is read anew
by each start of the loop. All else is the daemon as it is.
"""

from dagster._daemon import cli, controller

INTERVAL_S = 1

if __name__ == "__main__":
    assert controller.DEFAULT_DAEMON_INTERVAL_SECONDS > INTERVAL_S, "the constant is still there"
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = INTERVAL_S
    cli.main()
