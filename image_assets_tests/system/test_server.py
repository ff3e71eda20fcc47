"""The webserver, the daemon and the code location, started once and spoken to over GraphQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from image_assets_tests.defs.library import DAY, draw_image
from image_assets_tests.system.graphql import Server, running_server

pytestmark = pytest.mark.system

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
    assetCheckEvaluations { checkName success }
  } }
}
"""
BACKFILL = """
mutation ($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
BACKFILL_STATUS = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status runs(limit: 10) { status tags { key value } }
  } }
}
"""
SCHEDULES = """
query ($selector: RepositorySelector!) {
  schedulesOrError(repositorySelector: $selector) { ... on Schedules { results {
    name cronSchedule executionTimezone pipelineName scheduleState { status }
  } } }
}
"""
_STARTED_WITHIN_S = 90.0
_RUN_WITHIN_S = 90.0
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("system")
    for day in (DAY, "2026-03-02", "2026-03-03"):
        draw_image(folder / "source" / day / "photo.jpg")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    environment = {
        "IMAGE_ASSETS_SOURCE": str(folder / "source"),
        "IMAGE_ASSETS_OUTPUT": str(folder / "output"),
    }
    with running_server(folder, environment) as server:
        server.ask_until(ASSETS, lambda data: data["assetNodes"], within_s=_STARTED_WITHIN_S)
        yield server


def _launch(server: Server, config: dict[str, Any]) -> dict[str, Any]:
    answer = server.ask(
        LAUNCH,
        executionParams={
            "selector": {**SELECTOR, "pipelineName": "nightly_compression"},
            "runConfigData": {"ops": {"compress": {"config": config}}},
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": DAY}]},
        },
    )["launchRun"]
    assert isinstance(answer, dict)
    return answer


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

    run = server.ask_until(
        RUN,
        lambda data: data["runOrError"]["status"] in _ENDED,
        within_s=_RUN_WITHIN_S,
        runId=launched["run"]["runId"],
    )["runOrError"]

    assert run["status"] == "SUCCESS"
    found = {
        "/".join(m["assetKey"]["path"]): {e["label"]: e for e in m["metadataEntries"]}
        for m in run["assetMaterializations"]
    }
    statistics = found["performance_statistics"]
    assert statistics["written"]["intValue"] == 6
    table = statistics["performance"]["table"]
    assert len(table["records"]) == 10
    assert "images_per_s" in [column["name"] for column in table["schema"]["columns"]]
    assert all(column["description"] for column in table["schema"]["columns"])
    assert len(run["assetCheckEvaluations"]) == 11
    made = sorted((folder / "output" / "renditions" / DAY).rglob("*.*f"))
    assert [path.name for path in made] == ["full.avif", "thumbnail.avif"]


def test_a_wrong_word_is_refused_with_a_sentence(server: Server) -> None:
    answer = _launch(server, {"preset": "qualty"})

    assert answer["__typename"] == "RunConfigValidationInvalid"
    assert "qualty" in answer["errors"][0]["message"]


def test_a_backfill_of_one_format_with_config(server: Server, folder: Path) -> None:
    days = ["2026-03-02", "2026-03-03"]
    launched = server.ask(
        BACKFILL,
        params={
            "assetSelection": [{"path": ["compressed", "avif"]}],
            "partitionNames": days,
            "runConfigData": {"ops": {"compress": {"config": {"preset": "throughput"}}}},
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    backfill = server.ask_until(
        BACKFILL_STATUS,
        lambda data: data["partitionBackfillOrError"]["status"].startswith(("COMPLETED", "FAILED")),
        within_s=_RUN_WITHIN_S,
        id=launched["backfillId"],
    )["partitionBackfillOrError"]

    assert backfill["status"] == "COMPLETED_SUCCESS"
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS", "SUCCESS"]
    for day in days:
        made = (folder / "output" / "renditions" / day / "photo.jpg").iterdir()
        assert sorted(path.name for path in made) == ["full.avif", "thumbnail.avif"]
