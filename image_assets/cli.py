"""The command line: `image-assets compress`, `quarantine`, `forget`, `doctor`. No Dagster."""

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from image_assets import __version__
from image_assets.engine.errors import ImageAssetsError, RunError, SettingError, expected
from image_assets.engine.source_key import printable

if TYPE_CHECKING:
    from image_assets.engine.api import FolderResult
    from image_assets.engine.run.monitor import Progress

EXIT_DONE, EXIT_NOT_COMPLETED, EXIT_WRONG_USAGE = 0, 1, 2
_INTERRUPTED = 130
_LINE_INTERVAL_S = 5.0
"""Seconds between progress lines where the output is no terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status.

    0: done, rejected images are listed. 1: the run could not be completed. 2: wrong usage.
    130: stopped by Ctrl-C; what is finished is kept and the next run goes on from there.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
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
        return _INTERRUPTED
    return status


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    from image_assets.engine.planning.presets import (
        DEFAULT_PRESET,
        PRESET_NAMES,
        preset_description,
    )

    parser = argparse.ArgumentParser(
        prog="image-assets", description="Web renditions of a photograph library."
    )
    parser.add_argument("--version", action="version", version=f"image-assets {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    presets = "\n".join(f"  {name}: {preset_description(name)}" for name in PRESET_NAMES)
    compress = commands.add_parser(
        "compress",
        help="compress a folder of photographs; what is current already is left alone",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compress every photograph below SOURCE into OUTPUT. SOURCE is only read.\n\n"
        f"presets:\n{presets}",
    )
    compress.add_argument("source", metavar="SOURCE", type=Path)
    compress.add_argument("output", metavar="OUTPUT", type=Path)
    compress.add_argument("--preset", default=DEFAULT_PRESET, metavar="P", help="default: balanced")
    compress.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="pairs",
        help="one setting in the preset's place, such as full_px=1600; `--set help` lists them",
    )
    compress.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    compress.add_argument(
        "--partition", metavar="YYYY-MM-DD", help="one day of a SOURCE that has day folders"
    )
    compress.set_defaults(run=_compress)
    _add_quarantine(commands)
    _add_forget(commands)
    doctor = commands.add_parser("doctor", help="look at this machine and say what to do")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_quarantine(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    quarantine = commands.add_parser(
        "quarantine",
        help="list the images that ended their worker too often, or let them be tried again",
        description="List the sources that crashed, hung, ate memory or could not be encoded: "
        "after `quarantine_attempts` runs in a row that tried in vain, a source is held until its "
        "bytes, the encoder or a setting change. Status 0, also where there is none. 1: an output "
        "that cannot be read, or a run that holds the partition. 2: no such output, partition or "
        "source.",
    )
    _add_output(quarantine)
    quarantine.add_argument("--partition", metavar="YYYY-MM-DD", help="default: every partition")
    quarantine.add_argument(
        "--attempts",
        metavar="N",
        type=int,
        default=_default_of("quarantine_attempts"),
        help="the setting quarantine_attempts of your runs; default: %(default)s",
    )
    quarantine.add_argument(
        "--retry", action="store_true", help="clear their attempts: the next run tries them"
    )
    quarantine.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="*",
        help="as tables show it, or its path below the partition; default: all",
    )
    quarantine.set_defaults(run=_quarantine)


def _default_of(name: str) -> object:
    from image_assets.engine.planning.presets import common_default

    return common_default(name)


def _quarantine(options: argparse.Namespace) -> int:
    from image_assets.engine.api import new_run_id
    from image_assets.engine.library.quarantine import list_suspects, retry

    output = options.output.absolute()
    if options.retry:
        cleared = retry(output, options.partition, options.sources, new_run_id())
        for suspect in cleared:
            print(printable(f"retry  {suspect.partition_key}  {suspect.source_key}"))
        print(f"{len(cleared)} sources are tried again by the next run.")
        return EXIT_DONE
    suspects = list_suspects(output, options.partition, options.sources, options.attempts)
    for suspect in suspects:
        state = "held " if suspect.held else "tried"
        since = f" since run {suspect.since_run}" if suspect.since_run else ""
        print(printable(f"{state}  {suspect.partition_key}  {suspect.source_key}"))
        print(
            printable(
                f"       {suspect.reason}, {suspect.attempts} attempts{since} "
                f"({', '.join(suspect.renditions)}): {suspect.message}"
            )
        )
    held = sum(1 for suspect in suspects if suspect.held)
    print(f"{held} sources held in quarantine, {len(suspects) - held} on their way there.")
    return EXIT_DONE


def _add_forget(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    forget = commands.add_parser(
        "forget",
        help="remove everything that an output knows of some sources (erasure on request)",
        description="Remove renditions, table rows, manifest entries and whatever else names the "
        "sources below OUTPUT, and say what this cannot remove. Originals are never touched. "
        "Status 0: nothing of them is found below OUTPUT any more. 1: what is left is listed.",
    )
    _add_output(forget)
    forget.add_argument("--partition", metavar="YYYY-MM-DD", help="default: every partition")
    forget.add_argument(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="as tables show it, or its path below the partition, or the path of the original",
    )
    forget.set_defaults(run=_forget)


def _forget(options: argparse.Namespace) -> int:
    from image_assets.engine.library.forget import forget_sources

    source, home = os.environ.get("IMAGE_ASSETS_SOURCE"), os.environ.get("DAGSTER_HOME")
    result = forget_sources(
        options.output.absolute(),
        options.sources,
        partition_key=options.partition,
        source_folder=Path(source).absolute() if source else None,
        dagster_home=Path(home) if home and Path(home).is_dir() else None,
    )
    for sentence in result.removed:
        print(f"removed  {printable(sentence)}")
    for sentence in result.elsewhere:
        print(f"not here  {printable(sentence)}")
    for sentence in result.left:
        print(f"LEFT  {printable(sentence)}")
    return EXIT_NOT_COMPLETED if result.left else EXIT_DONE


def _add_output(parser: argparse.ArgumentParser) -> None:
    from image_assets.engine.planning.settings import OUTPUT_VARIABLE

    named = os.environ.get(OUTPUT_VARIABLE)
    parser.add_argument(
        "--output",
        metavar="OUTPUT",
        type=Path,
        default=Path(named) if named else None,
        required=not named,
        help=f"output folder of the library; default: what {OUTPUT_VARIABLE} names",
    )


def _doctor(_options: argparse.Namespace) -> int:
    from rich.console import Console

    from image_assets.engine.doctor import diagnose

    findings = diagnose()
    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}
    for finding in findings:
        console.print(f"{marks[finding.status]}  {finding.name:14}{finding.value}", markup=False)
        if finding.advice:
            console.print(f"{'':9}{'':14}-> {finding.advice}", markup=False)
    return EXIT_NOT_COMPLETED if any(f.status == "problem" for f in findings) else EXIT_DONE


def _compress(options: argparse.Namespace) -> int:
    from image_assets.engine.api import compress_folder
    from image_assets.engine.planning.presets import override_fields, parse_set
    from image_assets.engine.planning.settings import load_settings

    settings = load_settings()
    if "help" in options.pairs:
        for field in override_fields(settings):
            print(f"{field.name:28}{field.description}")
        return EXIT_DONE
    overrides = parse_set(options.pairs)
    if options.json is not None:
        _check_json(options.json)
    display = _BarDisplay() if sys.stderr.isatty() else _LineDisplay()
    with display.context():
        result = compress_folder(
            options.source,
            options.output,
            preset=options.preset,
            overrides=overrides,
            settings=settings,
            partition_key=options.partition,
            on_progress=display.show,
            logger=_quiet_logger(),
        )
    if options.json is not None:
        _write_json(options.json, result.to_json_dict())
    print_summary(result)
    return EXIT_DONE


def _check_json(path: Path) -> None:
    """Refuse before the run what could not be written after it."""
    folder = path.absolute().parent
    if not folder.is_dir() or path.is_dir() or not os.access(folder, os.W_OK):
        raise SettingError(expected("a file in a folder that can be written", str(path), "--json"))


def _quiet_logger() -> logging.Logger:
    """Bad images are listed in the summary; only the run's own warnings are printed at once."""
    logger = logging.getLogger("image_assets.cli")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return logger


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"Expected to be able to write {path}, received {error.strerror!r} (--json)."
        ) from error


class _LineDisplay:
    """Plain progress lines, one every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_INTERVAL_S

    def context(self) -> AbstractContextManager[object]:
        return nullcontext()

    def show(self, progress: "Progress") -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _LINE_INTERVAL_S
            print(progress.sentence(), file=sys.stderr, flush=True)


class _BarDisplay:
    """A progress bar with count, rate, savings and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} images/s"),
            TextColumn("{task.fields[saved]:.1f} % saved"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._tasks: dict[str, Any] = {}

    def context(self) -> AbstractContextManager[object]:
        return self._bar

    def show(self, progress: "Progress") -> None:
        fields: dict[str, Any] = {"rate": progress.images_per_s, "saved": progress.saved_pct}
        key = progress.partition_key
        if key not in self._tasks:
            self._tasks[key] = self._bar.add_task(key, total=progress.total, **fields)
        self._bar.update(self._tasks[key], completed=progress.done, total=progress.total, **fields)


def print_summary(result: "FolderResult", echo: Callable[..., None] = print) -> None:
    """Print the performance table, what was saved, the verdict and the images left out."""
    from image_assets.engine.run.report import summary_lines

    for partition in result.partitions:
        for line in summary_lines(partition):
            echo(line)
    if not result.partitions:
        echo("No partition has a folder in this source; nothing to do.")


if __name__ == "__main__":
    sys.exit(main())
