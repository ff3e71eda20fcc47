"""Who takes part in a comparison: how each is run on a folder, and where its renditions are."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from bench.contenders import SUFFIXES, Contender, Job, write_job
from bench.process_trees import TreeCost, measure
from bench.processes import REPOSITORY

Renditions = dict[tuple[str, str, str], Path]
"""By (source's stem, variant, format)."""

FORMATS: Final = tuple(SUFFIXES)
VARIANTS: Final = ("full", "thumbnail")


@dataclass(frozen=True, slots=True)
class Work:
    """What is made of every source.

    Attributes:
        variants_px: Longest side of each variant.
        formats: Formats of each.
        cores: Of the machine.
    """

    variants_px: Mapping[str, int]
    formats: tuple[str, ...]
    cores: int


class Entrant(Protocol):
    """One program at one setting and one quality per format."""

    @property
    def name(self) -> str:
        """In tables."""

    @property
    def slow(self) -> bool:
        """Whether fewer images do."""

    @property
    def quality(self) -> Mapping[str, int]:
        """By format, on its own scale."""

    def about(self) -> str:
        """Versions and settings, for a person."""

    def with_quality(self, quality: Mapping[str, int]) -> "Entrant":
        """The same at other qualities."""

    def run(
        self, source: Path, output: Path, work: Work, *, sample_memory: bool = False
    ) -> TreeCost:
        """Make all renditions of a folder into another, emptied first."""

    def renditions(self, output: Path, work: Work) -> Renditions:
        """What a run has made."""


@dataclass(frozen=True)
class Other:
    """A contender."""

    contender: Contender
    quality: Mapping[str, int]

    @property
    def name(self) -> str:
        """In tables."""
        return self.contender.name

    @property
    def slow(self) -> bool:
        """Whether fewer images do."""
        return self.contender.slow

    def about(self) -> str:
        """Versions and settings, for a person."""
        return f"{self.contender.versions}. {self.contender.settings}"

    def with_quality(self, quality: Mapping[str, int]) -> "Other":
        """The same at other qualities."""
        return replace(self, quality={**self.quality, **quality})

    def run(
        self, source: Path, output: Path, work: Work, *, sample_memory: bool = False
    ) -> TreeCost:
        """Make all renditions of a folder into another, emptied first."""
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        files = tuple(str(path) for path in sorted(source.iterdir()))
        job = Job(
            files,
            str(output),
            work.variants_px,
            work.formats,
            self.quality,
            work.cores,
            self.contender.options,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "job.json"
            write_job(job, path)
            return measure(
                [*self.contender.command, str(path)],
                environment=self.contender.environment,
                sample_memory=sample_memory,
            )

    def renditions(self, output: Path, work: Work) -> Renditions:
        """What a run has made."""
        found = {}
        for path in output.iterdir():
            stem, _, variant = path.stem.rpartition("_")
            found[stem, variant, _format(path)] = path
        return found


@dataclass(frozen=True)
class Ours:
    """`image-assets compress` of a checkout, with a preset.

    Attributes:
        name: In tables.
        python: Interpreter.
        checkout: Root of the repository that it imports.
        preset: Its name.
        settings: Further `--set KEY=VALUE`.
        quality: By format, the same for every variant; none: the preset's own numbers, sizes too.
    """

    name: str
    python: str
    preset: str
    quality: Mapping[str, int]
    settings: tuple[str, ...] = ()
    checkout: Path = REPOSITORY
    slow: bool = field(default=False)

    def about(self) -> str:
        """Versions and settings, for a person."""
        given = "".join(f" --set {pair}" for pair in self.settings)
        return f"image-assets compress --preset {self.preset}{given}"

    def with_quality(self, quality: Mapping[str, int]) -> "Ours":
        """The same at other qualities."""
        return replace(self, quality={**self.quality, **quality})

    def run(
        self, source: Path, output: Path, work: Work, *, sample_memory: bool = False
    ) -> TreeCost:
        """Make all renditions of a folder into another, emptied first."""
        shutil.rmtree(output, ignore_errors=True)
        pairs = []
        if self.quality:
            pairs = [
                f"{variant}_{format_name}_quality={self.quality[format_name]}"
                for variant in work.variants_px
                for format_name in work.formats
            ]
            pairs += [f"{variant}_px={px}" for variant, px in work.variants_px.items()]
        words = ["--preset", self.preset]
        for pair in (*pairs, *self.settings):
            words += ["--set", pair]
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder) / "image_assets.toml"
            formats = ", ".join(f'"{format_name}"' for format_name in work.formats)
            tables = "".join(f"[variants.{variant}]\n" for variant in work.variants_px)
            settings.write_text(f"formats = [{formats}]\n{tables}")
            return measure(
                [self.python, "-m", "image_assets", "compress", str(source), str(output), *words],
                environment={
                    "IMAGE_ASSETS_SETTINGS": str(settings),
                    "PYTHONPATH": str(self.checkout),
                },
                sample_memory=sample_memory,
            )

    def renditions(self, output: Path, work: Work) -> Renditions:
        """What a run has made."""
        found = {}
        for path in (output / "renditions").rglob("*.*"):
            if path.is_file() and path.stem in work.variants_px:
                found[Path(path.parent.name).stem, path.stem, _format(path)] = path
        return found


def _format(path: Path) -> str:
    return {suffix: name for name, suffix in SUFFIXES.items()}[path.suffix[1:]]


def read_preset(name: str, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """A preset's numbers, those of `--set` in their place."""
    numbers: dict[str, Any] = yaml.safe_load(
        (REPOSITORY / "image_assets" / "presets" / f"{name}.yaml").read_text()
    )
    for pair in settings:
        key, _, value = pair.partition("=")
        numbers[key] = yaml.safe_load(value)
    return numbers
