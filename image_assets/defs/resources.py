"""Resources: where the library is, and how ops hand shards to one another."""

import os
import pickle
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

SOURCE_VARIABLE: Final = "IMAGE_ASSETS_SOURCE"
OUTPUT_VARIABLE: Final = "IMAGE_ASSETS_OUTPUT"
LAYOUT_VARIABLE: Final = "IMAGE_ASSETS_LAYOUT"
DEFAULT_SOURCE: Final = "samples"
DEFAULT_OUTPUT: Final = "output/samples"
DEFAULT_LAYOUT: Final = "auto"


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
    def source_path(self) -> Path:
        """The source folder, absolute."""
        return Path(self.source).expanduser().absolute()

    @property
    def output_path(self) -> Path:
        """The output folder, absolute."""
        return Path(self.output).expanduser().absolute()


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
        assert upstream is not None  # only ops are wired to ops
        return pickle.loads(self._path(upstream).read_bytes())

    def _path(self, context: dg.OutputContext) -> Path:
        return Path(self._folder, *context.get_identifier()).with_suffix(".pickle")


@dg.io_manager(config_schema={}, description="Keeps plans and counts between the ops of a run.")
def shard_handover(context: dg.InitResourceContext) -> ShardHandover:
    """A `ShardHandover` below the Dagster instance's own storage folder."""
    assert context.instance is not None  # runs always have one
    return ShardHandover(Path(context.instance.storage_directory()))
