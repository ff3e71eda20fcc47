"""Failures: the engine's errors as Dagster shows them, one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from image_assets.engine.errors import ImageAssetsError, SettingError

KIND: Final = "kind"
SETTING: Final = "setting"
RUN: Final = "run"


@contextmanager
def told_in_one_sentence() -> Iterator[None]:
    """Turn the engine's errors into a `dagster.Failure`.

    A wrong setting is never retried: it is as wrong the second time. The kind is metadata, so that
    a command which started the run can choose its exit status.
    """
    try:
        yield
    except ImageAssetsError as error:
        wrong_setting = isinstance(error, SettingError)
        raise dg.Failure(
            description=str(error),
            metadata={KIND: SETTING if wrong_setting else RUN},
            allow_retries=not wrong_setting,
        ) from error
