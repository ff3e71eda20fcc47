"""A damaged ledger is rebuilt from what can be verified; nothing is trusted that cannot.

Every run leaves its full rows beside the ledger (``tables/outcomes``), and each row of a rendition
has the sha256 of its file. A rendition whose bytes have that sha256 is what the row says, whoever
wrote the row and whenever: it is taken back. All else is made again.
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from image_assets.engine.library.catalogue import CatalogueRow
from image_assets.engine.storage import tables
from image_assets.engine.storage.ledger import Key, Ledger, LedgerIndex
from image_assets.engine.storage.naming import rendition_path, table_folder
from image_assets.engine.storage.store import LocalStore

Row = dict[str, Any]


def is_lost(ledger: Ledger | LedgerIndex, output: Path, partition_key: str) -> bool:
    """Tell whether a part of a ledger is damaged, or all of it gone though runs have finished."""
    if ledger.damaged:
        return True
    return not ledger.parts and (output / table_folder("outcomes", partition_key)).is_dir()


def take_back(
    output: Path,
    partition_key: str,
    ledger: Ledger,
    sources: list[CatalogueRow],
    digests: Mapping[tuple[str, str], str],
) -> list[Row]:
    """Rebuild a ledger that is damaged or gone; nothing happens to one that is whole.

    Its rows of these sources are compared with the bytes on disk too, for the lost part may have
    said otherwise: one that does not fit is dropped from ``ledger``, one that is found is added.

    Args:
        output: Output folder.
        partition_key: The partition.
        ledger: As read.
        sources: Those to look at; a shard looks at its own.
        digests: Recipe digests of the run, by (variant, format). Where several rows say true of a
            file, the one that the run can use is taken.

    Returns:
        The rows that were added, to be written as a part.
    """
    if not is_lost(ledger, output, partition_key):
        return []
    known = {source.source_key: source for source in sources}
    bytes_of = _Hashes(output, partition_key)
    for key, row in list(ledger.rows.items()):
        if key[0] in known and row["status"] != "rejected" and not bytes_of.are(key, row):
            del ledger.rows[key]
    found: dict[Key, tuple[tuple[bool, bool], Row]] = {}
    for row in _rows_of_all_runs(output, partition_key, known):
        key = row["source_key"], row["variant"], row["format"]
        if key in ledger.rows or row["status"] not in ("written", "skipped"):
            continue
        source = known[key[0]]
        is_file = (row["source_bytes"], row["source_mtime_ns"])
        rank = (
            row["recipe_digest"] == digests.get(key[1:]),
            is_file == (source.size_bytes, source.mtime_ns),
        )
        if (key not in found or rank > found[key][0]) and bytes_of.are(key, row):
            found[key] = rank, {**row, "status": "written"}
    taken = [row for _, row in found.values()]
    for row in taken:
        ledger.take_in(row)
    return taken


def file_sha256(path: Path) -> str | None:
    """The sha256 of a file's bytes; None where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


class _Hashes:
    """What is on disk, each file read once."""

    def __init__(self, output: Path, partition_key: str) -> None:
        self._output, self._partition_key = output, partition_key
        self._store = LocalStore(output)
        self._found: dict[Key, str | None] = {}

    def are(self, key: Key, row: Row) -> bool:
        """Tell whether a rendition has the bytes that a row says."""
        try:
            path = rendition_path(self._partition_key, *key)
        except KeyError:  # a format of a newer version
            return False
        if not row["sha256"] or self._store.size_of(path) != row["size_bytes"]:
            return False
        if key not in self._found:
            self._found[key] = file_sha256(self._output / path)
        return bool(self._found[key] == row["sha256"])


def _rows_of_all_runs(
    output: Path, partition_key: str, source_keys: Collection[str]
) -> Iterator[Row]:
    folder = output / table_folder("outcomes", partition_key)
    for path in sorted(folder.glob("*/renditions-*.parquet")):
        try:
            with tables.TableFile(path, tables.OUTCOMES) as file:
                found: list[Row] = []
                for group in range(file.metadata.num_row_groups):
                    table = file.read([group])
                    keys = table.column("source_key").to_pylist()
                    here = [place for place, key in enumerate(keys) if key in source_keys]
                    found.extend(tables.take(table, here).to_pylist())
        except (tables.DamagedError, tables.NewerSchemaError):
            continue
        yield from found
