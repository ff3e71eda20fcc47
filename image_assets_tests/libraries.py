"""A photograph library of a test: its source, its output, and what is to be seen in them."""

import itertools
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings
from image_assets.engine.run.monitor import Progress
from image_assets.engine.run.partition import PartitionJob, compress_partition
from image_assets.engine.run.result import PartitionResult, RunRows, read_rows
from image_assets.engine.storage.layout import FLAT, resolve_layout
from image_assets_tests.photographs import save_photograph

DAY: Final = "2015-06-01"
FILES: Final = tuple(
    f"{variant}{extension}"
    for variant in ("full", "thumbnail")
    for extension in (".avif", ".jpg", ".webp")
)
"""Names of a source's renditions under the packaged settings, sorted."""

_run_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Library:
    """A source folder and an output folder."""

    source: Path
    output: Path

    @classmethod
    def below(cls, folder: Path, name: str = "") -> "Library":
        """A library in a folder of a test; several of them by name."""
        library = cls(folder / f"{name}source", folder / f"{name}output")
        library.source.mkdir(parents=True)
        return library

    def fill(self, count: int, size: tuple[int, int] = (48, 32), *, prefix: str = "") -> list[str]:
        """Save that many different photographs; return their keys."""
        keys = [f"{prefix}{index:02d}.jpg" for index in range(count)]
        for seed, key in enumerate(keys):
            save_photograph(self.source / key, size, seed=seed)
        return keys

    def job(
        self,
        overrides: dict[str, object] | None = None,
        *,
        preset: str = "balanced",
        variants: tuple[str, ...] | None = None,
        formats: tuple[str, ...] | None = None,
    ) -> PartitionJob:
        """A job on the whole source as one partition, in a run of its own."""
        settings = load_settings(DEFAULT_SETTINGS_PATH)
        return PartitionJob(
            source=self.source,
            output=self.output,
            partition_key=DAY,
            layout=resolve_layout(
                self.source, self.output, FLAT, date.fromisoformat(DAY), record=False
            ),
            settings=settings,
            preset=resolve_preset(preset, settings, overrides),
            variants=settings.variant_names if variants is None else variants,
            formats=settings.formats if formats is None else formats,
            run_id=f"run-{next(_run_numbers):04d}",
        )

    def compress(
        self,
        overrides: dict[str, object] | None = None,
        *,
        preset: str = "balanced",
        variants: tuple[str, ...] | None = None,
        formats: tuple[str, ...] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> PartitionResult:
        """Run the whole story of the partition once."""
        job = self.job(overrides, preset=preset, variants=variants, formats=formats)
        return compress_partition(job, on_progress=on_progress)

    def rows(self, result: PartitionResult) -> RunRows:
        """The full rows of a run."""
        return read_rows(self.output, result.partition_key, result.run_id)

    def by_status(self, result: PartitionResult) -> dict[str, set[str]]:
        """Renditions of a run as ``<source_key>/<variant>/<format>``, by status."""
        found: dict[str, set[str]] = {}
        for row in self.rows(result).renditions.to_pylist():
            name = f"{row['source_key']}/{row['variant']}/{row['format']}"
            found.setdefault(row["status"], set()).add(name)
        return found

    def folder_of(self, source_key: str) -> Path:
        """The folder of a source's renditions."""
        return self.output / "renditions" / DAY / source_key

    def rendition_paths(self) -> dict[str, Path]:
        """Every file below the partition's renditions, by its path there; hidden ones too."""
        root = self.output / "renditions" / DAY
        return {
            path.relative_to(root).as_posix(): path
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }

    def rendition_bytes(self) -> dict[str, bytes]:
        """The same with what is in them."""
        return {name: path.read_bytes() for name, path in self.rendition_paths().items()}

    def identities(self) -> dict[str, tuple[int, int]]:
        """Inode and date of every rendition: equal means untouched."""
        return {
            name: (path.stat().st_ino, path.stat().st_mtime_ns)
            for name, path in self.rendition_paths().items()
        }


def changed(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[str]:
    """Names of the renditions that are new, gone or not the same file as before."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def listing(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    """Everything below a folder and itself: mode, size, date and inode by path."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
        found[os.fspath(path)] = (status.st_mode, size, status.st_mtime_ns, status.st_ino)
    return found


def files_of(key: str) -> set[str]:
    """The names, as in `Library.identities`, of all renditions of a source."""
    return {f"{key}/{name}" for name in FILES}


def first_row(rows: list[dict[str, Any]], **wanted: object) -> dict[str, Any]:
    """The row that has these values."""
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))
