"""What Dagster sees, pinned in ``definitions.json`` next to this file.

After a change on purpose: ``UPDATE_SNAPSHOT=1 python -m pytest image_assets_tests/defs`` writes it
anew; review the difference.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg

from image_assets.definitions import build_definitions
from image_assets.defs.resources import LibraryResource
from image_assets.engine.planning.settings import load_settings

SNAPSHOT = Path(__file__).with_name("definitions.json")


def _definitions() -> dg.Definitions:
    return build_definitions(load_settings(), LibraryResource())


def _describe(definitions: dg.Definitions) -> dict[str, Any]:
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    return {
        "assets": {
            key.to_user_string(): _describe_asset(graph.get(key))
            for key in sorted(graph.get_all_asset_keys())
        },
        "checks": sorted(
            f"{key.asset_key.to_user_string()}: {key.name}" for key in graph.asset_check_keys
        ),
        "jobs": {
            job.name: {
                "executor": job.executor_def.name,
                "nodes": sorted(node.name for node in job.nodes),
            }
            for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: {
                "cron": schedule.cron_schedule,
                "timezone": schedule.execution_timezone,
                "job": schedule.job_name,
                "on": schedule.default_status.value,
            }
            for schedule in repository.schedule_defs
        },
        "resources": sorted(repository.get_top_level_resources()),
        "config": sorted(_config_fields(repository.get_job("nightly_compression"))),
    }


def _describe_asset(node: Any) -> dict[str, Any]:
    policy = node.backfill_policy
    return {
        "deps": sorted(key.to_user_string() for key in node.parent_keys),
        "partitions": repr(node.partitions_def),
        "partitions_per_backfill_run": policy.max_partitions_per_run,
        "group": node.group_name,
        "owners": sorted(node.owners),
        "kinds": sorted(tag for tag in node.tags if tag.startswith("dagster/kind/")),
        "columns": [column.name for column in node.metadata["dagster/column_schema"].columns],
        "described": bool(node.description),
        "versioned": bool(node.code_version),
    }


def _config_fields(job: dg.JobDefinition) -> list[str]:
    schema: Any = job.run_config_schema.config_type
    return list(
        schema.fields["ops"]
        .config_type.fields["compress"]
        .config_type.fields["config"]
        .config_type.fields
    )


def test_the_definitions_are_what_they_were() -> None:
    text = json.dumps(_describe(_definitions()), indent=1) + "\n"
    if os.environ.get("UPDATE_SNAPSHOT") == "1":
        SNAPSHOT.write_text(text, encoding="utf-8")

    assert json.loads(text) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_they_validate() -> None:
    dg.Definitions.validate_loadable(_definitions())


def test_nothing_is_in_the_launchpad_that_a_person_should_not_set() -> None:
    job = _definitions().resolve_job_def("nightly_compression")
    schema: Any = job.run_config_schema.config_type

    resources = schema.fields["resources"].config_type.fields
    io_manager = resources["io_manager"].config_type.fields["config"].config_type

    assert not schema.fields["ops"].is_required
    assert not resources["library"].is_required
    assert io_manager.fields == {}


def test_loading_says_nothing_and_imports_no_more_than_it_needs() -> None:
    """Every process of Dagster loads them: a warning would be in every log, time lost each time."""
    code = "import sys, image_assets.definitions; print(*sorted(sys.modules))"

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert done.stderr == ""
    assert "rich.console" not in done.stdout.split()
    assert "image_assets.samples" not in done.stdout.split()
