import re

import dagster as dg
import pytest

from image_assets.defs.loggers import console_logger


def test_a_terminal_shows_what_we_say_and_not_dagsters_events(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @dg.op
    def speak(context: dg.OpExecutionContext) -> None:
        context.log.debug("aside")
        context.log.info("plain")
        context.log.warning("grave")

    @dg.job(logger_defs={"console": console_logger})
    def job() -> None:
        speak()

    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance, run_config={"loggers": {"console": {}}})

    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d  ", "", line) for line in lines] == [
        "plain",
        "WARNING: grave",
    ]
