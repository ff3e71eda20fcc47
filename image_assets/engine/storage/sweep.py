"""Leftovers of runs that were killed: temporary files that nobody will take over.

A run killed while it writes leaves a hidden ``.<name>.tmp``. The rerun takes it over, unless the
source has gone meanwhile or the part had a name of its own run; so a run leaves a mark when it
begins work, and the next one to publish looks through the partition only where the mark says that
a run did not come to its end.
"""

import os
from pathlib import Path

from image_assets.engine.storage.naming import rendition_folder, table_folder
from image_assets.engine.storage.store import remove_temporary

_MARK = "begun"


def begin(output: Path, partition_key: str, run_id: str, shard: int) -> None:
    """Leave the mark, under the lease, before the first file is written."""
    with open(_mark(output, partition_key), "a", encoding="utf-8") as file:
        file.write(f"{run_id} {shard}\n")


def sweep_after_killed_runs(output: Path, partition_key: str, run_id: str) -> int:
    """Remove what killed runs left of a partition, and the mark; under the lease, nobody writes.

    Returns:
        Number of temporary files removed.
    """
    mark = _mark(output, partition_key)
    try:
        lines = mark.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return 0
    # Each shard of this run leaves one line; a second one is that of a run that was re-executed.
    undisturbed = len(lines) == len(set(lines)) and all(
        line.rpartition(" ")[0] == run_id for line in lines
    )
    removed = 0 if undisturbed else sweep_partition(output, partition_key)
    mark.unlink(missing_ok=True)
    return removed


def sweep_partition(output: Path, partition_key: str) -> int:
    """Remove every temporary file of a partition that no live process writes; return how many."""
    folders = [
        output / "renditions" / partition_key,
        output / table_folder("ledger", partition_key),
        output / table_folder("outcomes", partition_key),
        output / table_folder("performance", partition_key),
        output / "tables" / "catalogue",
        output / "tables" / "variants",
        output / "web" / partition_key,
    ]
    return sum(remove_temporary(found) for folder in folders for found, _, _ in os.walk(folder))


def sweep_source(output: Path, partition_key: str, source_key: str) -> int:
    """Remove the temporary files of one source's renditions, after its worker has ended."""
    return remove_temporary(output / rendition_folder(partition_key, source_key))


def _mark(output: Path, partition_key: str) -> Path:
    return output / table_folder("ledger", partition_key) / _MARK
