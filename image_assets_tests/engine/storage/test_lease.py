import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_assets.engine.errors import PartitionBusyError, RunError
from image_assets.engine.storage.lease import hold_lease

DAY = "2015-01-02"
REPOSITORY = Path(__file__).parents[3]

# Says when it holds the lease, and keeps it until its input ends or it is killed.
HOLD = """
import sys
from pathlib import Path
from image_assets.engine.storage.lease import hold_lease
with hold_lease(Path(sys.argv[1]), sys.argv[2], sys.argv[3], 0.0):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def another_process_holds(output: Path, run_id: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output), DAY, run_id],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_second_run_is_refused_with_one_sentence_that_names_the_first(tmp_path: Path) -> None:
    with another_process_holds(tmp_path, "first"):
        with pytest.raises(PartitionBusyError) as caught, hold_lease(tmp_path, DAY, "second", 0.0):
            pytest.fail("two runs hold one partition")
        sentence = str(caught.value)
        assert sentence.startswith(f"Expected partition {DAY} to be free, received that run first")
        assert sentence.count("\n") == 0
        assert "lease_wait_s = 0" in sentence


def test_a_killed_holder_frees_the_lease(tmp_path: Path) -> None:
    with another_process_holds(tmp_path, "first") as process:
        process.kill()
        process.wait()
        with hold_lease(tmp_path, DAY, "second", 0.0):
            pass


def test_a_holder_that_ends_frees_the_lease(tmp_path: Path) -> None:
    for run_id in ("first", "second", "first"):
        with hold_lease(tmp_path, DAY, run_id, 0.0):
            pass


def test_an_error_inside_frees_the_lease(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), hold_lease(tmp_path, DAY, "first", 0.0):
        raise ZeroDivisionError
    with hold_lease(tmp_path, DAY, "second", 0.0):
        pass


def test_shards_of_one_run_share_the_lease(tmp_path: Path) -> None:
    with another_process_holds(tmp_path, "run"):
        with hold_lease(tmp_path, DAY, "run", 0.0), hold_lease(tmp_path, DAY, "run", 0.0):
            pass
        # and the first shard still holds it after the others ended
        with pytest.raises(PartitionBusyError), hold_lease(tmp_path, DAY, "other", 0.0):
            pytest.fail("two runs hold one partition")


def test_the_last_shard_keeps_the_lease_when_the_first_ends(tmp_path: Path) -> None:
    first = contextlib.ExitStack()
    first.enter_context(hold_lease(tmp_path, DAY, "run", 0.0))
    with hold_lease(tmp_path, DAY, "run", 0.0):
        first.close()
        with pytest.raises(PartitionBusyError), hold_lease(tmp_path, DAY, "other", 0.0):
            pytest.fail("two runs hold one partition")


def test_a_run_with_a_similar_name_is_another_run(tmp_path: Path) -> None:
    with hold_lease(tmp_path, DAY, "run-1", 0.0):
        for other in ("run", "run-10"):
            with pytest.raises(PartitionBusyError), hold_lease(tmp_path, DAY, other, 0.0):
                pytest.fail("two runs hold one partition")


def test_partitions_have_leases_of_their_own(tmp_path: Path) -> None:
    with hold_lease(tmp_path, DAY, "first", 0.0), hold_lease(tmp_path, "2015-01-03", "second", 0.0):
        pass


def test_a_second_run_waits_until_the_first_ends(tmp_path: Path) -> None:
    order: list[str] = []

    def wait() -> None:
        with hold_lease(tmp_path, DAY, "second", 60.0):
            order.append("second holds")

    waiting = threading.Thread(target=wait)
    with hold_lease(tmp_path, DAY, "first", 0.0):
        waiting.start()
        order.append("first ends")
    waiting.join()
    assert order == ["first ends", "second holds"]


def test_an_output_that_is_a_file_is_refused_by_name(tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_bytes(b"")
    with pytest.raises(RunError, match=str(output)), hold_lease(output, DAY, "run", 0.0):
        pytest.fail("a lease inside a file")
