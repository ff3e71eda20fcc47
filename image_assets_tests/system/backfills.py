"""Backfills over GraphQL: launched as the dialog does, and waited for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from image_assets_tests.system.graphql import Server

ENDED: Final = frozenset({"COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"})
BACKFILL_WITHIN_S: Final = 240.0
ALL_ASSETS: Final = (
    "raw_images",
    "size_variants/thumbnail",
    "size_variants/full",
    "compressed/avif",
    "compressed/webp",
    "compressed/jpeg",
    "performance_statistics",
)

_LAUNCH: Final = """
mutation ($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_REEXECUTE: Final = """
mutation ($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
_STATUS: Final = """
query ($backfillId: String!) {
  partitionBackfillOrError(backfillId: $backfillId) {
    ... on PythonError { message }
    ... on PartitionBackfill { status }
  }
}
"""
_BACKFILL: Final = """
query ($backfillId: String!) {
  partitionBackfillOrError(backfillId: $backfillId) {
    __typename
    ... on PythonError { message }
    ... on PartitionBackfill {
      status
      error { message }
      runs {
        runId status
        tags { key value }
        assetMaterializations {
          assetKey { path }
          metadataEntries { label ... on IntMetadataEntry { intValue } }
        }
        eventConnection { events {
          __typename
          ... on MessageEvent { message }
          ... on ExecutionStepFailureEvent {
            stepKey failureMetadata { description }
          }
        } }
      }
    }
  }
}
"""


@dataclass(frozen=True)
class BackfillRun:
    """One run of a backfill.

    Attributes:
        status: As Dagster names it.
        failures: What each failed step said, by its name.
        lines: Messages of its events, log lines among them.
        counts: Whole numbers in the assets' metadata, by asset and label.
    """

    run_id: str
    status: str
    failures: dict[str, str]
    lines: list[str]
    counts: dict[str, dict[str, int]]


def launch_backfill(
    server: Server,
    days: Sequence[str],
    config: Mapping[str, Any],
    assets: Sequence[str] = ALL_ASSETS,
) -> str:
    """Ask for some assets of some days with config for the compression; return the backfill."""
    answer = server.ask(
        _LAUNCH,
        backfillParams={
            "assetSelection": [{"path": name.split("/")} for name in assets],
            "partitionNames": list(days),
            "runConfigData": {"ops": {"compress": {"config": dict(config)}}},
        },
    )["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def reexecute_backfill(server: Server, backfill_id: str) -> str:
    """Ask again for what failed of a backfill, with its config; return the new backfill."""
    answer = server.ask(
        _REEXECUTE, params={"parentRunId": backfill_id, "strategy": "FROM_FAILURE"}
    )["reexecutePartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


def wait_for_backfill(server: Server, backfill_id: str) -> tuple[str, dict[str, BackfillRun]]:
    """Wait for a backfill's end; return its status and its runs by day."""
    # The events of its runs only once, for to read them takes the webserver half a second.
    server.ask_until(
        _STATUS,
        lambda data: data["partitionBackfillOrError"].get("status", "FAILED") in ENDED,
        within_s=BACKFILL_WITHIN_S,
        backfillId=backfill_id,
    )
    backfill = server.ask(_BACKFILL, backfillId=backfill_id)["partitionBackfillOrError"]
    assert backfill["__typename"] == "PartitionBackfill", backfill
    assert backfill["error"] is None, backfill["error"]
    runs = {_day(run): _read(run) for run in backfill["runs"]}
    assert len(runs) == len(backfill["runs"]), "one run a day"
    return str(backfill["status"]), runs


def _read(run: dict[str, Any]) -> BackfillRun:
    events = run["eventConnection"]["events"]
    return BackfillRun(
        run["runId"],
        run["status"],
        {
            event["stepKey"]: event["failureMetadata"]["description"]
            for event in events
            if event["__typename"] == "ExecutionStepFailureEvent" and event["failureMetadata"]
        },
        [event["message"] for event in events if "message" in event],
        {
            "/".join(made["assetKey"]["path"]): {
                entry["label"]: entry["intValue"]
                for entry in made["metadataEntries"]
                if "intValue" in entry
            }
            for made in run["assetMaterializations"]
        },
    )


def _day(run: dict[str, Any]) -> str:
    """The one day of a run; a backfill of assets names it as a range."""
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    first, last = (tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    assert first == last, "one day a run"
    return str(first)
