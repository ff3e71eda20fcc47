"""The catalogue of a partition: one row per source found, good or rejected, with the reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from image_assets.engine.errors import SettingError, expected
from image_assets.engine.faults import SourceDisk
from image_assets.engine.pixels.opening import PREFIX_BYTES, sniff
from image_assets.engine.reasons import NotCompressedError, Reason
from image_assets.engine.source_key import from_path, is_safe
from image_assets.engine.storage import tables
from image_assets.engine.storage.layout import is_output, output_around
from image_assets.engine.storage.store import Entry, LocalStore


@dataclass(frozen=True, slots=True)
class CatalogueRow:
    """One source.

    Attributes:
        source_key: Path below the partition, escaped.
        size_bytes: Size at listing.
        mtime_ns: Modification time at listing.
        status: ``found``; ``rejected`` by its content; ``failed`` where it could not be read.
        reason: From the closed list, or None.
        message: One sentence, or None.
        source_format: What its first bytes announce, or None.
        sha256: Of a rejected file, so that its row says which bytes were meant; else None.
    """

    source_key: str
    size_bytes: int
    mtime_ns: int
    status: str
    reason: str | None = None
    message: str | None = None
    source_format: str | None = None
    sha256: str | None = None


_COLUMNS: Final = tuple(CatalogueRow.__dataclass_fields__)


def _path(partition_key: str) -> str:
    return f"tables/catalogue/{partition_key}.parquet"


def build_catalogue(
    root: Path | None, output: Path, partition_key: str, *, follow_links: bool = False
) -> list[CatalogueRow]:
    """List a partition's sources, look at each one's first bytes, and write the table.

    What the previous catalogue says of a file of the same size and date is not looked up again;
    what it rejected is looked at again, for a decoder may have come since, but not hashed again.

    Args:
        root: Folder of the partition's sources; None where it has none (the catalogue is empty).
        output: Output folder.
        partition_key: The partition.
        follow_links: Follow links below the folder rather than list them as rejected.

    Returns:
        Rows sorted by path.

    Raises:
        RunError: The folder cannot be listed or the table cannot be written.
        SettingError: Below the folder lies the output of a run.
    """
    try:
        known = {row.source_key: row for row in read_catalogue(output, partition_key) or ()}
    except tables.DamagedError:  # it only saved looking up again
        known = {}
    rows = []
    if root is not None:
        store = LocalStore(root, follow_links=follow_links)
        disk = SourceDisk(root)
        rows = [_look_at(store, entry, known, disk) for entry in store.list(_refuse_output)]
    writer = tables.TableWriter(LocalStore(output), _path(partition_key), tables.CATALOGUE)
    for row in rows:
        writer.add_row({name: getattr(row, name) for name in _COLUMNS})
    writer.close()
    return rows


def _refuse_output(folder: Path) -> None:
    # A link may lead into the middle of an output; a folder has what is above it behind it.
    if is_output(folder) or (folder.is_symlink() and output_around(folder) is not None):
        raise SettingError(
            expected("a source without renditions below it", str(folder), "source; a run's output")
        )


def _look_at(
    store: LocalStore, entry: Entry, known: dict[str, CatalogueRow], disk: SourceDisk
) -> CatalogueRow:
    key = from_path(entry.path)
    before = known.get(key)
    if before is not None and (before.size_bytes, before.mtime_ns) != (
        entry.size_bytes,
        entry.mtime_ns,
    ):
        before = None
    if before is not None and before.status == "found" and entry.reason is None:
        return before
    sha256 = None
    try:
        if entry.reason is not None:
            raise NotCompressedError(entry.reason, entry.problem or "")
        if not is_safe(key):
            raise NotCompressedError(Reason.UNREADABLE, "The path has an empty or dot segment.")
        try:
            announced = sniff(store.read_prefix(entry.path, PREFIX_BYTES))
        except NotCompressedError:
            sha256 = before.sha256 if before is not None else None
            sha256 = sha256 or store.sha256(entry.path)
            raise
    except NotCompressedError as error:
        status, reason, message = error.status, error.reason.value, error.message
    except OSError as error:
        disk.met(error.errno, key)
        status, reason = "failed", Reason.UNREADABLE.value
        message = f"The file cannot be read: {error.strerror}."
    else:
        disk.was_read()
        return CatalogueRow(key, entry.size_bytes, entry.mtime_ns, "found", source_format=announced)
    return CatalogueRow(
        key, entry.size_bytes, entry.mtime_ns, status, reason, message, sha256=sha256
    )


def read_catalogue(
    output: Path, partition_key: str, part: tuple[int, int] | None = None
) -> list[CatalogueRow] | None:
    """Return the stored catalogue of a partition, or None where there is none.

    Args:
        output: Output folder.
        partition_key: The partition.
        part: ``(index, count)``: of so many parts of equal size, only this one is read.

    Raises:
        DamagedError: It cannot be read.
    """
    path = output / _path(partition_key)
    if not path.is_file():
        return None
    with tables.TableFile(path, tables.CATALOGUE) as file:
        table = _part(file, *part) if part is not None else file.read()
    columns: dict[str, list[Any]] = table.to_pydict()
    return [
        CatalogueRow(*values) for values in zip(*(columns[name] for name in _COLUMNS), strict=True)
    ]


def _part(file: tables.TableFile, index: int, count: int) -> pa.Table:
    per_part = -(-file.num_rows // count)
    start, stop = index * per_part, min((index + 1) * per_part, file.num_rows)
    groups, first = file.groups(start, stop)
    return file.read(groups).slice(max(0, start - first), max(0, stop - start))


def read_source_keys(output: Path, partition_key: str) -> set[str]:
    """Return the keys of the stored catalogue, bad sources included; empty where there is none.

    Raises:
        DamagedError: It cannot be read.
    """
    path = output / _path(partition_key)
    if not path.is_file():
        return set()
    with tables.TableFile(path, tables.CATALOGUE) as file:
        return set(file.read(columns=["source_key"]).column("source_key").to_pylist())
