import dagster as dg
import pytest

from image_assets.defs.failures import told_in_one_sentence
from image_assets.engine.errors import PartitionBusyError, RunError, SettingError


@pytest.mark.parametrize(
    ("error", "kind", "retried"),
    [
        (SettingError("Wrong."), "setting", False),
        (RunError("Disk full."), "run", True),
        (PartitionBusyError("Busy."), "run", True),
    ],
)
def test_the_engines_errors_are_failures(error: Exception, kind: str, retried: bool) -> None:
    with pytest.raises(dg.Failure) as caught, told_in_one_sentence():
        raise error

    assert caught.value.description == str(error)
    assert caught.value.metadata["kind"].value == kind
    assert caught.value.allow_retries is retried


def test_a_defect_of_ours_keeps_its_stack() -> None:
    with pytest.raises(ZeroDivisionError), told_in_one_sentence():
        raise ZeroDivisionError
