"""The webserver, the daemon and the code location, started once and spoken to over GraphQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pillow_avif  # noqa: F401 - registers AVIF where Pillow has none
import psutil
import pytest
from PIL import Image

from image_assets.defs.instance import remember_library
from image_assets_tests.defs.library import DAY, draw_image
from image_assets_tests.system.graphql import STARTED_WITHIN_S, Server, running_server

pytestmark = pytest.mark.system

LONG_DAY = "2026-03-02"
BLOCKED_DAY = "2026-03-03"
SELECTOR = {
    "repositoryLocationName": "image_assets",
    "repositoryName": "__repository__",
}
ASSETS = """
query { assetNodes { assetKey { path } isPartitioned groupName description kinds
    owners { ... on TeamAssetOwner { team } } } }
"""
LAUNCH = """
mutation ($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on PythonError { message }
  }
}
"""
RUN = """
query ($runId: ID!) {
  runOrError(runId: $runId) { ... on Run {
    status
    assetMaterializations {
      assetKey { path }
      metadataEntries {
        __typename label
        ... on IntMetadataEntry { intValue }
        ... on TableMetadataEntry { table { records schema { columns { name description } } } }
      }
    }
    eventConnection { events {
      __typename
      ... on AssetCheckEvaluationEvent { evaluation { checkName severity } }
    } }
  } }
}
"""
REEXECUTE = """
mutation ($params: ReexecutionParams!) {
  launchRunReexecution(reexecutionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""
TERMINATE = """
mutation ($runId: String!) {
  terminateRun(runId: $runId) { __typename ... on PythonError { message } }
}
"""
SCHEDULES = """
query ($selector: RepositorySelector!) {
  schedulesOrError(repositorySelector: $selector) { ... on Schedules { results {
    name cronSchedule executionTimezone pipelineName scheduleState { status }
  } } }
}
"""
_RUN_WITHIN_S = 120.0
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    for day in (DAY, BLOCKED_DAY):
        draw_image(folder / "source" / day / "photo.jpg")
    # One that is finished at once, and what keeps both workers.
    draw_image(folder / "source" / LONG_DAY / "0.jpg", size=(48, 32))
    for index in range(1, 5):
        draw_image(folder / "source" / LONG_DAY / f"{index}.jpg", seed=index, size=(1600, 1200))
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    # As `make run` leaves it behind: the UI opens on the same data.
    home = folder / "dagster_home"
    home.mkdir()
    library = {
        "IMAGE_ASSETS_SOURCE": str(folder / "source"),
        "IMAGE_ASSETS_OUTPUT": str(folder / "output"),
        "IMAGE_ASSETS_LAYOUT": "auto",
    }
    remember_library(home, library)
    with running_server(folder, home) as server:
        server.ask_until(ASSETS, lambda data: data["assetNodes"], within_s=STARTED_WITHIN_S)
        yield server


def _launch(server: Server, config: dict[str, Any], day: str = DAY) -> dict[str, Any]:
    answer = server.ask(
        LAUNCH,
        executionParams={
            "selector": {**SELECTOR, "pipelineName": "nightly_compression"},
            "runConfigData": {"ops": {"compress": {"config": config}}},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": day}]},
        },
    )["launchRun"]
    assert isinstance(answer, dict)
    return answer


def _wait_for_end(server: Server, run_id: str) -> dict[str, Any]:
    run = server.ask_until(
        RUN,
        lambda data: data["runOrError"]["status"] in _ENDED,
        within_s=_RUN_WITHIN_S,
        runId=run_id,
    )["runOrError"]
    assert isinstance(run, dict)
    return run


def _materialised(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "/".join(m["assetKey"]["path"]): {e["label"]: e for e in m["metadataEntries"]}
        for m in run["assetMaterializations"]
    }


def test_the_assets_are_there_with_what_a_newcomer_needs(server: Server) -> None:
    nodes = {"/".join(n["assetKey"]["path"]): n for n in server.ask(ASSETS)["assetNodes"]}

    assert sorted(nodes) == [
        "compressed/avif",
        "compressed/jpeg",
        "compressed/webp",
        "performance_statistics",
        "raw_images",
        "size_variants/full",
        "size_variants/thumbnail",
    ]
    for name, node in nodes.items():
        assert node["isPartitioned"], name
        assert node["description"], name
        assert node["kinds"], name
        assert node["owners"] == [{"team": "media"}], name


def test_the_schedule_waits_to_be_switched_on(server: Server) -> None:
    (schedule,) = server.ask(SCHEDULES, selector=SELECTOR)["schedulesOrError"]["results"]

    assert schedule == {
        "name": "nightly_compression_schedule",
        "cronSchedule": "0 2 * * *",
        "executionTimezone": "UTC",
        "pipelineName": "nightly_compression",
        "scheduleState": {"status": "STOPPED"},
    }


def test_a_launched_run_makes_renditions_and_the_table(server: Server, folder: Path) -> None:
    launched = _launch(server, {"preset": "throughput"})
    assert launched["__typename"] == "LaunchRunSuccess", launched

    run = _wait_for_end(server, launched["run"]["runId"])

    assert run["status"] == "SUCCESS"
    found = _materialised(run)
    statistics = found["performance_statistics"]
    assert statistics["written"]["intValue"] == 6
    table = statistics["performance"]["table"]
    assert len(table["records"]) == 10
    assert "images_per_s" in [column["name"] for column in table["schema"]["columns"]]
    assert all(column["description"] for column in table["schema"]["columns"])
    events = [event["__typename"] for event in run["eventConnection"]["events"]]
    assert events.count("AssetCheckEvaluationEvent") == 11
    # Lines of the log are counted too.
    assert len(events) < 130
    made = [path for path in (folder / "output" / "renditions" / DAY).rglob("*") if path.is_file()]
    assert len(made) == 6


def test_a_wrong_word_is_refused_with_a_sentence(server: Server) -> None:
    answer = _launch(server, {"preset": "qualty"})

    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert "qualty" in answer["errors"][0]["message"]


def test_terminate_leaves_no_worker_and_no_half_file(server: Server, folder: Path) -> None:
    # The slowest there is: some ten seconds an image.
    launched = _launch(server, {"preset": "quality", "avif_speed": 0}, LONG_DAY)
    run_id = launched["run"]["runId"]
    renditions = folder / "output" / "renditions" / LONG_DAY
    server.ask_until(
        RUN, lambda _: any(renditions.rglob("*.avif")), within_s=_RUN_WITHIN_S, runId=run_id
    )
    workers = server.workers()
    assert workers

    answer = server.ask(TERMINATE, runId=run_id)["terminateRun"]

    assert answer["__typename"] == "TerminateRunSuccess", answer
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive
    assert _wait_for_end(server, run_id)["status"] == "CANCELED"
    # A file in work has a name of its own, beginning with a dot; the next run writes over it.
    left = [path for path in renditions.rglob("[!.]*") if path.is_file()]
    assert {path.suffix for path in left} <= {".avif", ".webp", ".jpg"}
    for path in left:
        with Image.open(path) as image:
            image.load()


def test_a_run_is_re_executed_from_its_failed_step(server: Server, folder: Path) -> None:
    # A file where publish wants a folder.
    obstacle = folder / "output" / "tables" / "performance" / BLOCKED_DAY
    obstacle.parent.mkdir(parents=True, exist_ok=True)
    obstacle.touch()
    failed_id = _launch(server, {"preset": "throughput"}, BLOCKED_DAY)["run"]["runId"]
    assert _wait_for_end(server, failed_id)["status"] == "FAILURE"
    made = {
        path: path.stat().st_mtime_ns
        for path in (folder / "output" / "renditions" / BLOCKED_DAY).rglob("*")
    }
    obstacle.unlink()

    launched = server.ask(REEXECUTE, params={"parentRunId": failed_id, "strategy": "FROM_FAILURE"})[
        "launchRunReexecution"
    ]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = _wait_for_end(server, launched["run"]["runId"])

    assert run["status"] == "SUCCESS"
    # What the first run made is counted as made, and was not made again.
    assert _materialised(run)["performance_statistics"]["written"]["intValue"] == 6
    assert {path: path.stat().st_mtime_ns for path in made} == made
