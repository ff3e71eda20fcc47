"""Small libraries of photographs, and the job run on them in this process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from PIL import Image

from image_assets.definitions import build_definitions
from image_assets.defs.resources import LibraryResource
from image_assets.engine.planning.settings import Settings, load_settings

DAY = "2026-03-01"


def draw_image(path: Path, *, seed: int = 0, size: tuple[int, int] = (320, 240)) -> Path:
    """Write one image whose pixels depend on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = Image.linear_gradient("L").resize(size)
    turned = ramp.transpose(Image.Transpose.ROTATE_180).rotate(17 * seed)
    Image.merge("RGB", (ramp, turned, ramp.rotate(40 + seed))).save(path, quality=92)
    return path


@dataclass
class DayLibrary:
    """A source with day folders, an output, and a Dagster instance that lives as long."""

    folder: Path
    instance: dg.DagsterInstance
    settings: Settings = field(default_factory=load_settings)

    @property
    def source(self) -> Path:
        return self.folder / "source"

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def add_images(
        self, count: int = 2, *, day: str = DAY, size: tuple[int, int] = (320, 240)
    ) -> None:
        for index in range(count):
            draw_image(self.source / day / f"photo {index}.jpg", seed=index, size=size)

    def definitions(self) -> dg.Definitions:
        library = LibraryResource(source=str(self.source), output=str(self.output))
        return build_definitions(self.settings, library)

    def run(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        day: str = DAY,
        selection: Sequence[Sequence[str]] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run the nightly job, or some of its assets, as the UI does."""
        job = self.definitions().resolve_job_def("nightly_compression")
        return job.execute_in_process(
            instance=self.instance,
            partition_key=day,
            asset_selection=None if selection is None else [dg.AssetKey(k) for k in selection],
            run_config={"ops": {"compress": {"config": dict(config)}}} if config else None,
            raise_on_error=False,
        )

    def renditions(self, day: str = DAY) -> list[str]:
        """Paths of all files made for a day, sorted."""
        root = self.output / "renditions" / day
        return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def materialised(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """Metadata values by asset, of what a run materialised."""
    return {
        event.materialization.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in (
            e.step_materialization_data for e in result.get_asset_materialization_events()
        )
    }


def failure_sentence(result: dg.ExecuteInProcessResult) -> str:
    """What the first failed step said."""
    failure = next(event for event in result.all_events if event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told is not None, failure.message
    assert told.description is not None
    return told.description
