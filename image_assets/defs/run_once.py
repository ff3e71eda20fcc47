"""``make run``: the nightly job for one partition, through Dagster, from a terminal.

The run is recorded in the Dagster instance that ``make ui`` opens. Dagster is imported late, so
that a wrong setting is answered at once.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from image_assets.defs.instance import close_dead_runs, prepare_home, process_tag, remember_library
from image_assets.engine.errors import ImageAssetsError, RunError, SettingError, expected

if TYPE_CHECKING:
    import dagster as dg

    from image_assets.engine.planning.settings import Settings

EXIT_DONE: Final = 0
EXIT_NOT_COMPLETED: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
# What Dagster makes of Ctrl-C.
_INTERRUPTIONS: Final = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
_SAMPLES: Final = Path("samples")
_OUTPUT: Final = Path("output")


@dataclass(frozen=True, slots=True)
class _Request:
    """What is to be run, checked."""

    source: Path
    output: Path
    layout: str
    partition_key: str
    config: Mapping[str, object]
    settings: "Settings"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the job for one partition; return the exit status.

    0: done, rejected images are listed. 1: the run could not be completed. 2: wrong usage.
    130: stopped by Ctrl-C; what is finished is kept.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(_check(options))
    except SettingError as error:
        print(f"image-assets: {error}", file=sys.stderr)
        return EXIT_WRONG_USAGE
    except ImageAssetsError as error:
        print(f"image-assets: {error}", file=sys.stderr)
        return EXIT_NOT_COMPLETED
    except KeyboardInterrupt:
        print(
            "image-assets: stopped. What is finished is kept; the same command goes on from there.",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    from image_assets.engine.planning.presets import DEFAULT_PRESET

    parser = argparse.ArgumentParser(
        prog="python -m image_assets.defs.run_once",
        description="Run the nightly job for one partition, through Dagster.",
    )
    parser.add_argument(
        "--source", type=Path, help="folder of images; without it, samples are rendered"
    )
    parser.add_argument("--output", type=Path, help="default: output/<name of the source folder>")
    parser.add_argument("--preset", default=DEFAULT_PRESET)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="pairs",
        metavar="KEY=VALUE",
        help="one setting in the preset's place, such as full_px=1600",
    )
    parser.add_argument(
        "--partition",
        metavar="YYYY-MM-DD",
        help="the day; of a source without day folders, the day that its images become",
    )
    return parser


def _check(options: argparse.Namespace) -> _Request:
    """Check all that can be checked without Dagster, and find the partition.

    Raises:
        SettingError: Something is wrong; nothing was started.
    """
    from image_assets.engine.planning.settings import load_settings
    from image_assets.engine.run.partition import check_folders

    settings = load_settings()
    config = _config(options.preset, options.pairs, settings)
    day = _day(options.partition)
    source = options.source or _make_samples()
    source = source.expanduser().absolute()
    output = options.output or _OUTPUT / (source.resolve().name or "root")
    output = output.expanduser().absolute()
    check_folders(source, output)
    layout, partition_key = _find_partition(source, output, day)
    return _Request(source, output, layout, partition_key, config, settings)


def _config(preset: str, pairs: list[str], settings: "Settings") -> dict[str, object]:
    from image_assets.engine.planning.presets import override_fields, parse_set, resolve_preset

    overrides = parse_set(pairs)
    resolve_preset(preset, settings, overrides)
    readers: dict[str, Any] = {"int": int, "float": float, "bool": _truth, "str": str}
    types = {field.name: field.type for field in override_fields(settings)}
    # Run config is typed where the command line has text; the engine has accepted the text above.
    typed = {key: readers[types[key]](value) for key, value in overrides.items()}
    return {"preset": preset, **typed}


def _truth(text: str) -> bool:
    return text.strip().lower() in ("true", "1", "yes")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise SettingError(expected("a day as YYYY-MM-DD", text, "--partition")) from error


def _make_samples() -> Path:
    if not _SAMPLES.is_dir():
        print(f"No source was named: rendering sample photographs into {_SAMPLES}/ ...", flush=True)
    # In a process of its own: drawing takes 380 MB, which the run's memory figures would hold.
    command = [sys.executable, "-m", "image_assets.samples", str(_SAMPLES)]
    status = subprocess.run(command, check=False).returncode
    if status != 0:
        raise RunError(
            f"Expected sample photographs in {_SAMPLES}/, received exit status {status} from "
            "drawing them; what it says stands above."
        )
    return _SAMPLES


def _find_partition(source: Path, output: Path, day: date | None) -> tuple[str, str]:
    """The layout to ask for and the day to run.

    A folder is one partition, the day of its first run, whatever lies in it. An output that was
    begun with day folders keeps them; naming a day asks for them too, where they exist.
    """
    from image_assets.defs import partitions
    from image_assets.defs.resources import LAYOUT_VARIABLE
    from image_assets.engine.storage.layout import AUTO, FLAT, resolve_layout
    from image_assets.engine.storage.naming import LAYOUT_RECORD

    today = partitions.today()
    is_new = not (output / LAYOUT_RECORD).exists()
    asked = os.environ.get(LAYOUT_VARIABLE) or (FLAT if is_new and day is None else AUTO)
    layout = resolve_layout(source, output, asked, day or today, record=False)
    found = layout.partitions(source)
    key = day.isoformat() if day else (found[-1] if found else today.isoformat())
    first = partitions.start_date().isoformat()
    if not first <= key <= today.isoformat():
        raise SettingError(expected(f"a day from {first} to {today}", key, "partition"))
    if layout.is_flat and key != layout.flat_partition:
        raise SettingError(
            expected(
                f"{layout.flat_partition}, the one partition of a source without day folders",
                key,
                f"--partition; {output / LAYOUT_RECORD}",
            )
        )
    # Recorded only now, when nothing speaks against it.
    resolve_layout(source, output, asked, day or today, record=True)
    return layout.template, key


def _run(request: _Request) -> int:
    print(f"Compressing {request.source} ({request.partition_key}) with Dagster ...", flush=True)
    home = prepare_home()
    library = {
        "IMAGE_ASSETS_SOURCE": str(request.source),
        "IMAGE_ASSETS_OUTPUT": str(request.output),
        "IMAGE_ASSETS_LAYOUT": request.layout,
    }
    remember_library(home, library)

    import dagster as dg

    from image_assets.definitions import build_definitions
    from image_assets.defs.resources import LibraryResource

    resource = LibraryResource(
        source=str(request.source), output=str(request.output), layout=request.layout
    )
    definitions = build_definitions(request.settings, resource)
    with dg.DagsterInstance.get() as instance:
        close_dead_runs(instance)
        result = definitions.resolve_job_def("nightly_compression").execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            run_config={
                "ops": {"compress": {"config": request.config}},
                "loggers": {"console": {}},
            },
            # Whoever started it at a terminal starts it again; no daemon does so behind them.
            tags={**process_tag(), "dagster/max_retries": "0"},
            raise_on_error=False,
        )
    if not result.success:
        return _explain(result)
    _print_result(request, result)
    return EXIT_DONE


def _explain(result: "dg.ExecuteInProcessResult") -> int:
    """Say in one sentence why the run failed.

    Raises:
        KeyboardInterrupt: Somebody stopped it; Dagster has recorded that as a failure.
    """
    from image_assets.defs.failures import KIND, SETTING

    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failure = event.step_failure_data
        if failure.error and failure.error.cls_name in _INTERRUPTIONS:
            raise KeyboardInterrupt
        told = failure.user_failure_data
        if told is not None:
            print(f"image-assets: {told.description}", file=sys.stderr)
            kind = told.metadata.get(KIND)
            wrong_setting = kind is not None and kind.value == SETTING
            return EXIT_WRONG_USAGE if wrong_setting else EXIT_NOT_COMPLETED
        cause = failure.error.cause if failure.error and failure.error.cause else failure.error
        print(f"image-assets: {cause.to_string() if cause else event.message}", file=sys.stderr)
    return EXIT_NOT_COMPLETED


def _print_result(request: _Request, result: "dg.ExecuteInProcessResult") -> None:
    from image_assets.engine.run.report import summary_lines
    from image_assets.engine.run.result import load_result

    run = load_result(request.output, request.partition_key, result.run_id)
    print()
    for line in summary_lines(run):
        print(line)
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            name = f"{check.asset_key.to_user_string()}: {check.check_name}"
            print(f"Check missed: {name}: {check.description}")
    print("See it in the Dagster UI: make ui")


if __name__ == "__main__":
    sys.exit(main())
