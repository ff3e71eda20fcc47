"""Resources: where the library is, and how ops hand shards to one another."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from image_assets.defs import partitions
from image_assets.engine.planning.settings import OUTPUT_VARIABLE
from image_assets.engine.run.partition import check_folders
from image_assets.engine.storage.layout import Layout, resolve_layout

SOURCE_VARIABLE: Final = "IMAGE_ASSETS_SOURCE"
LAYOUT_VARIABLE: Final = "IMAGE_ASSETS_LAYOUT"
DEFAULT_SOURCE: Final = "samples"
DEFAULT_OUTPUT: Final = "output/samples"
DEFAULT_LAYOUT: Final = "auto"


@dataclass(frozen=True, slots=True)
class Library:
    """A checked pair of folders and how days lie in the source."""

    source: Path
    output: Path
    layout: Layout


class LibraryResource(dg.ConfigurableResource[Any]):
    """Where the originals lie and where everything made of them goes.

    Set by the environment of the code location, not per run: the ledger, the layout's record and
    the history belong to one pair of folders.
    """

    source: str = Field(
        default=DEFAULT_SOURCE,
        description=(
            f"Folder of originals, read only, never written. From {SOURCE_VARIABLE}, default "
            f"'{DEFAULT_SOURCE}' below the working directory."
        ),
    )
    output: str = Field(
        default=DEFAULT_OUTPUT,
        description=(
            f"Folder for renditions and tables, outside the source. From {OUTPUT_VARIABLE}, "
            f"default '{DEFAULT_OUTPUT}'."
        ),
    )
    layout: str = Field(
        default=DEFAULT_LAYOUT,
        description=(
            "How days lie in the source: 'auto', 'flat' (the folder is one partition), or a "
            f"template like '%Y/%m/%d'. From {LAYOUT_VARIABLE}, default '{DEFAULT_LAYOUT}'."
        ),
    )

    @classmethod
    def from_environment(cls) -> "LibraryResource":
        """The library that the environment names; empty variables count as not set."""
        return cls(
            source=os.environ.get(SOURCE_VARIABLE) or DEFAULT_SOURCE,
            output=os.environ.get(OUTPUT_VARIABLE) or DEFAULT_OUTPUT,
            layout=os.environ.get(LAYOUT_VARIABLE) or DEFAULT_LAYOUT,
        )

    @property
    def output_path(self) -> Path:
        """The output folder, absolute."""
        return Path(self.output).expanduser().absolute()

    def open_library(self) -> Library:
        """Check the folders and find the layout; the first to do so records it in the output.

        Raises:
            SettingError: A folder or the layout is wrong; nothing was written.
        """
        source, output = Path(self.source).expanduser().absolute(), self.output_path
        check_folders(source, output)
        layout = resolve_layout(source, output, self.layout, partitions.today(), record=True)
        return Library(source, output, layout)


class ShardHandover(dg.IOManager):
    """Keeps what one op hands to the next (plans and counts, never pixels) with the run.

    Like Dagster's own file IO manager, but with no settings: a built-in one fills the launchpad's
    schema with options that nobody should set there. Files stay, so that a run can be re-executed
    from its failed step.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Write one value below the run's folder."""
        path = self._path(context)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(pickle.dumps(obj, protocol=pickle.HIGHEST_PROTOCOL))
        partial.replace(path)

    def load_input(self, context: dg.InputContext) -> object:
        """Read what an upstream op of this run, or of the run it re-executes, wrote."""
        upstream = context.upstream_output
        if upstream is None:
            raise dg.DagsterInvariantViolationError("An op's input has no op upstream.")
        # Our own file, in the instance's own storage.
        return pickle.loads(self._path(upstream).read_bytes())  # noqa: S301

    def _path(self, context: dg.OutputContext) -> Path:
        return Path(self._folder, *context.get_identifier()).with_suffix(".pickle")


@dg.io_manager(config_schema={}, description="Keeps plans and counts between the ops of a run.")
def shard_handover(context: dg.InitResourceContext) -> ShardHandover:
    """A `ShardHandover` below the Dagster instance's own storage folder."""
    if context.instance is None:
        raise dg.DagsterInvariantViolationError("A run has no Dagster instance.")
    return ShardHandover(Path(context.instance.storage_directory()))
