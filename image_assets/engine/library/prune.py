"""Orphans: renditions whose source is gone. Listed by default, removed only under guards.

An unmounted disk looks like a folder whose sources are all gone, so nothing is removed where the
partition's folder is missing, the listing is empty or has an unreadable part, none of its sources
is there any more, or more than a tenth would go. What was listed without is looked for once more:
a listing may be older than the run.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from image_assets.engine.errors import RunError
from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.storage.layout import Layout
from image_assets.engine.storage.ledger import SOURCES_AT_ONCE, Key, LedgerIndex
from image_assets.engine.storage.naming import rendition_folder, rendition_path, source_path
from image_assets.engine.storage.store import LocalStore, remove_temporary

if TYPE_CHECKING:
    from image_assets.engine.run.partition import PartitionJob

REMOVED_SHARE_MAX: Final = 0.1

_MISSING: Final = "the partition's source folder is missing"
_EMPTY: Final = "the listing of its sources is empty"


@dataclass(frozen=True, slots=True)
class Orphans:
    """Sources that the ledger knows and the catalogue does not.

    Attributes:
        source_keys: Sorted.
        paths: Their renditions below the output folder, by (source_key, variant, format).
    """

    source_keys: tuple[str, ...]
    paths: dict[Key, str]


def find_orphans(
    output: Path, partition_key: str, index: LedgerIndex, there: Collection[str]
) -> Orphans:
    """List the orphans of a partition: what the ledger knows of sources that are not ``there``."""
    store = LocalStore(output)
    paths: dict[Key, str] = {}
    gone = sorted(index.source_keys().difference(there))
    for start in range(0, len(gone), SOURCES_AT_ONCE):
        for key, row in index.known(gone[start : start + SOURCES_AT_ONCE]).rows.items():
            path = rendition_path(partition_key, *key)
            if row["status"] != "rejected" and store.size_of(path) is not None:
                paths[key] = path
    return Orphans(tuple(sorted({key[0] for key in paths})), paths)


def refuse_missing_source(
    source: Path, output: Path, layout: Layout, partition_key: str, root: Path | None
) -> None:
    """For a run that is to prune, before it lists the sources: look whether they can be there.

    So an unmounted disk ends the run at its first step, with the last catalogue as it was; a
    run that is re-executed from that step lists the sources anew.

    Args:
        source: Source folder of the library.
        output: Output folder.
        layout: How partitions lie in the source.
        partition_key: The partition.
        root: Folder of its sources; None where it has none.

    Raises:
        RunError: The folder is missing or empty, and the partition has renditions.
    """
    is_there = root is not None and root.is_dir()
    if root is not None and is_there and not _is_empty(root):
        return
    if find_orphans(output, partition_key, LedgerIndex(output, partition_key), ()).source_keys:
        where = layout.folder_of(source, partition_key)
        raise RunError(_stop(partition_key, where, _EMPTY if is_there else _MISSING))


def prune_orphans(
    job: "PartitionJob",
    root: Path | None,
    index: LedgerIndex,
    catalogue: list[CatalogueRow],
    orphans: Orphans,
) -> frozenset[Key]:
    """Remove the orphans of the selected variants and formats.

    A folder that this empties goes too, and so do temporary files left in it.

    Returns:
        What was removed: the ledger is to forget it.

    Raises:
        RunError: A guard stops it; nothing was removed.
    """
    where = job.layout.folder_of(job.source, job.partition_key)

    def stop(why: str) -> RunError:
        return RunError(_stop(job.partition_key, where, why))

    if root is None or not root.is_dir():
        raise stop(_MISSING)
    if not catalogue:
        raise stop(_EMPTY)
    unread = [row.source_key for row in catalogue if row.status == "failed"]
    if unread:
        raise stop(f"{len(unread)} entries could not be read, such as {unread[0]}")
    if not any(_is_there(root, row.source_key) for row in catalogue):
        raise stop("none of the sources that were listed is there any more")
    wanted = set(job.wanted())
    doomed = {
        key: path
        for key, path in orphans.paths.items()
        if key[1:] in wanted and not _is_there(root, key[0])
    }
    # Of what is selected only: else a run of one format in six may remove six tenths of it.
    made = sum(
        1
        for known in index.pieces()
        for key, row in known.rows.items()
        if row["status"] != "rejected" and key[1:] in wanted
    )
    if len(doomed) > REMOVED_SHARE_MAX * made and not job.preset.prune_force:
        raise stop(
            f"{len(doomed)} of {made} renditions would go, more than {REMOVED_SHARE_MAX:.0%}; "
            "prune_force allows it"
        )
    store = LocalStore(job.output)
    for path in doomed.values():
        store.delete(path)
    for source_key in {key[0] for key in doomed}:
        remove_empty_folders(job.output, job.partition_key, source_key)
    return frozenset(doomed)


def remove_empty_folders(output: Path, partition_key: str, source_key: str) -> None:
    """Remove a source's rendition folder where nothing is in it, and its parents likewise."""
    top = output / "renditions" / partition_key
    folder = output / rendition_folder(partition_key, source_key)
    remove_temporary(folder)
    while folder != top:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # not empty
            return
        folder = folder.parent


def _is_there(root: Path, source_key: str) -> bool:
    try:
        return os.path.lexists(root / source_path(source_key))
    except (OSError, ValueError):
        return True  # nobody can tell, so nothing is removed


def _is_empty(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return False  # the listing says what is wrong with it


def _stop(partition_key: str, where: Path, why: str) -> str:
    return (
        f"Expected a safe prune of partition {partition_key}, received that {why} ({where}). "
        "Nothing was removed."
    )
