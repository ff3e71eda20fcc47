"""How partitions lie in a source folder: one folder a day, or no day structure at all."""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from image_assets.engine.errors import RunError, SettingError, expected
from image_assets.engine.source_key import is_safe
from image_assets.engine.storage.naming import LAYOUT_RECORD
from image_assets.engine.storage.store import LocalStore

TEMPLATES: Final = ("%Y-%m-%d", "%Y/%m/%d", "dt=%Y-%m-%d")
AUTO: Final = "auto"
FLAT: Final = "flat"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a partition's sources are.

    Attributes:
        template: A strftime pattern of the day folders below the source, or ``flat``.
        flat_partition: With ``flat``, the day that all images belong to: that of the first run.
    """

    template: str
    flat_partition: str | None = None

    @property
    def is_flat(self) -> bool:
        """Whether the whole source folder is one partition."""
        return self.template == FLAT

    def partition_root(self, source: Path, partition_key: str) -> Path | None:
        """Return the folder of a partition's sources; None where it has none.

        Raises:
            SettingError: It lies in the output of a run, through a link too.
        """
        if self.is_flat:
            return source if partition_key == self.flat_partition else None
        root = self.folder_of(source, partition_key)
        if not root.is_dir():
            return None
        refuse_output_as_source(root)
        return root

    def folder_of(self, source: Path, partition_key: str) -> Path:
        """Return the folder where a partition's sources would be, whether or not it is there."""
        if self.is_flat:
            return source
        return source / date.fromisoformat(partition_key).strftime(self.template)

    def partitions(self, source: Path) -> list[str]:
        """Return the keys of all partitions that have a folder, sorted."""
        if self.is_flat:
            return [self.flat_partition] if self.flat_partition else []
        depth = self.template.count("/") + 1
        found = []
        for folder in source.glob("/".join("*" * depth)):
            day = _parse_day(folder.relative_to(source).as_posix(), self.template)
            if day is not None and folder.is_dir():
                found.append(day)
        return sorted(found)


def is_output(folder: Path) -> bool:
    """Tell whether a run has written its output here."""
    with contextlib.suppress(OSError):
        if (folder / LAYOUT_RECORD).is_file():
            return True
        # Without its record: the tables of a run and what they are of.
        return (folder / "tables" / "ledger").is_dir() and (folder / "renditions").is_dir()
    return False


def output_around(path: Path) -> Path | None:
    """Return the output that a path is, or lies in, once every link is followed; or None."""
    real = Path(os.path.realpath(path))
    return next((folder for folder in (real, *real.parents) if is_output(folder)), None)


def refuse_output_as_source(folder: Path) -> None:
    """Refuse renditions as sources: what is made from them would be made from again.

    Raises:
        SettingError: The folder is, or lies in, the output of a run.
    """
    output = output_around(folder)
    if output is not None:
        raise SettingError(
            expected(
                "a source folder of originals",
                str(folder),
                f"source; it lies in {output}, the output of a run",
            )
        )


def resolve_layout(
    source: Path, output: Path, requested: str, today: date, *, record: bool
) -> Layout:
    """Find how partitions lie in a source: as asked for, as recorded, or as it looks.

    Args:
        source: Source folder.
        output: Output folder; what its first run found is recorded there and kept.
        requested: ``auto``, ``flat`` or a strftime template with year, month and day.
        today: The day that a folder without day structure becomes at its first run.
        record: Write the finding to the output.

    Raises:
        SettingError: The template is wrong, or contradicts the output's record.
        RunError: The record cannot be read or written.
    """
    if requested not in (AUTO, FLAT) and not _is_template(requested):
        raise SettingError(
            expected(
                f"{AUTO}, {FLAT} or a template with year, month and day such as %Y-%m-%d",
                requested,
                "layout",
            )
        )
    recorded = _read_record(output)
    if recorded is not None:
        if requested not in (AUTO, recorded.template):
            raise SettingError(
                expected(
                    f"layout {recorded.template!r}, with which this output was begun",
                    requested,
                    f"layout; {output / LAYOUT_RECORD}",
                )
            )
        return recorded
    template = _detect(source) if requested == AUTO else requested
    layout = Layout(template, today.isoformat() if template == FLAT else None)
    if record:
        text = json.dumps(
            {
                "layout": layout.template,
                "partition": layout.flat_partition,
                # For a person, and for `forget`, which says where an original still lies.
                "source": os.fspath(source),
            }
        )
        LocalStore(output).publish(LAYOUT_RECORD, text.encode())
    return layout


def recorded_layout(output: Path) -> tuple[Layout, Path | None] | None:
    """Return what an output's first run recorded: the layout and the source, where it is known.

    Raises:
        RunError: The record cannot be read.
    """
    layout = _read_record(output)
    if layout is None:
        return None
    source = json.loads((output / LAYOUT_RECORD).read_text(encoding="utf-8")).get("source")
    return layout, Path(source) if isinstance(source, str) else None


def _detect(source: Path) -> str:
    for template in TEMPLATES:
        if Layout(template).partitions(source):
            return template
    empty = next(source.iterdir(), None) is None
    return TEMPLATES[0] if empty else FLAT


def _is_template(text: str) -> bool:
    """Tell whether a day is known by its folder, and that folder lies below the source."""
    # No first of a month or year: a template that leaves out the day or month gives another day.
    probe = date(2001, 12, 31)
    return is_safe(text) and _parse_day(probe.strftime(text), text) == probe.isoformat()


def _parse_day(text: str, template: str) -> str | None:
    try:
        day = datetime.strptime(text, template).date()  # noqa: DTZ007 - a day has no zone
    except (ValueError, re.error):  # re.error: strptime takes no directive twice
        return None
    return day.isoformat() if day.strftime(template) == text else None


def _read_record(output: Path) -> Layout | None:
    path = output / LAYOUT_RECORD
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Layout(document["layout"], document["partition"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"Expected the record of this output's layout, received {error!r} ({path}). "
            "Restore it, or write it again as "
            '{"layout": "flat", "partition": "<day of the first run>"}.'
        ) from error
