"""The ledger: what has been made of which bytes by which recipe, per partition.

Append-only parquet parts, one per finished chunk. A shard makes one of its own parts when it is
done, and publishing makes one of all, sorted by source key: so a shard reads the row groups of its
own sources only, and neither its time nor anybody's memory grows with the partition. A part is
named by generation, run and sequence, never by the clock: the generation is one more than the
largest that its run found, and runs of one partition follow each other under the lease.

Beside what was made it remembers what was tried in vain: rows of status ``failed`` are attempts
(`image_assets.engine.library.quarantine`). Each carries the number so far, so reading one twice, as
after a run that was killed while compacting, counts nothing twice.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from image_assets.engine.errors import RunError
from image_assets.engine.storage import tables
from image_assets.engine.storage.naming import table_folder
from image_assets.engine.storage.store import LocalStore

Key = tuple[str, str, str]
"""Source key, variant, format."""

_PART: Final = re.compile(r"^part-(\d{8})-(.+)-(\d{4})-(\d{6})\.parquet$")


@dataclass(slots=True)
class Ledger:
    """All that is known of one partition.

    Attributes:
        rows: Latest row by key of what was made or rejected.
        attempts: Latest ``failed`` row by key, where nothing was made or rejected since; its
            ``recipe_digest`` is an `attempt_digest`, its ``attempts`` the number so far.
        parts: File names that the rows came from.
        generation: Largest generation among them; 0 where there is none.
        damaged: Files that could not be read, with the reason; nothing in them is trusted.
        changed: Whether a row was forgotten since the parts were read.
    """

    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[Key, dict[str, Any]] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    generation: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    changed: bool = False

    def forget(self, key: Key) -> None:
        """Drop a row and the attempts at it; compaction makes it last."""
        del self.rows[key]
        self.attempts.pop(key, None)
        self.changed = True

    def release(self, key: Key) -> None:
        """Drop the attempts of a key, so that the next run tries it; compaction makes it last."""
        del self.attempts[key]
        self.changed = True

    def take_in(self, row: dict[str, Any]) -> None:
        """Let a row be the latest of its key."""
        key = row["source_key"], row["variant"], row["format"]
        if row["status"] == "failed":
            self.attempts[key] = row
        else:
            self.rows[key] = row
            self.attempts.pop(key, None)

    def by_source(self) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        """Rows by source key, then by (variant, format)."""
        found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        for (source_key, variant, format_name), row in self.rows.items():
            found.setdefault(source_key, {})[variant, format_name] = row
        return found


def read_ledger(output: Path, partition_key: str) -> Ledger:
    """Read all parts of a partition; later parts win over earlier ones.

    A damaged part is reported and left out: its renditions count as not made.

    Raises:
        RunError: A newer version of this project wrote a part.
    """
    folder = output / table_folder("ledger", partition_key)
    ledger = Ledger()
    found: list[tuple[tuple[int, int], str]] = []
    for path in folder.glob("part-*.parquet") if folder.is_dir() else ():
        match = _PART.match(path.name)
        if match is not None:
            found.append(((int(match[1]), int(match[4])), path.name))
    for (generation, _), name in sorted(found):
        ledger.generation = max(ledger.generation, generation)
        try:
            table = tables.read(folder / name, tables.LEDGER)
            rows = table.to_pylist()
        except tables.NewerSchemaError:
            raise  # not damaged: an older version must not make everything again over it
        except (RunError, pa.ArrowException) as error:
            ledger.damaged[name] = str(error)
            continue
        ledger.parts.append(name)
        for row in rows:
            ledger.take_in(row)
    return ledger


def has_attempts(output: Path, partition_key: str) -> bool:
    """Tell, by one column, whether a partition's ledger may know of attempts in vain."""
    folder = output / table_folder("ledger", partition_key)
    for path in folder.glob("part-*.parquet"):
        try:
            with pq.ParquetFile(path) as file:
                statuses = file.read(columns=["status"]).column("status")
        except (OSError, pa.ArrowException):
            continue  # whoever reads it in full says so
        if "failed" in pc.unique(statuses).to_pylist():
            return True
    return False


SOURCES_AT_ONCE: Final = 2_000
"""Sources whose rows are in memory together where a whole ledger is gone through."""

_LOOKED_AT: Final = (
    "source_key", "variant", "format", "status", "recipe_digest", "size_bytes", "source_bytes",
    "source_mtime_ns", "source_sha256", "sha256",
)  # fmt: skip
"""What the skip rule asks of a row; a dictionary of all 31 columns takes five times as long."""

PLACE: Final = "ledger_place"
"""In a row of `Known.rows`: where `Known.table` has all of it."""


class Known:
    """What the ledger knows of some sources, held as a table.

    Attributes:
        table: Rows as they were read, older ones of a key before newer ones.
        rows: Latest row by key of what was made or rejected: what the skip rule asks of it, and
            its `PLACE`.
        attempts: Latest ``failed`` row by key, whole, where nothing was made or rejected since.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.rows: dict[Key, dict[str, Any]] = {}
        self.attempts: dict[Key, dict[str, Any]] = {}
        columns = [table.column(name).to_pylist() for name in _LOOKED_AT]
        names = (*_LOOKED_AT, PLACE)
        failed: dict[Key, int] = {}
        for place, values in enumerate(zip(*columns, strict=True)):
            key = values[:3]
            if values[3] == "failed":
                failed[key] = place
            else:
                self.rows[key] = dict(zip(names, (*values, place), strict=True))
                failed.pop(key, None)
        if failed:
            whole = tables.take(table, list(failed.values())).to_pylist()
            self.attempts = dict(zip(failed, whole, strict=True))
        self._failed = failed

    @staticmethod
    def of(ledger: Ledger) -> "Known":
        """The same, of a ledger that was read whole."""
        rows = [*ledger.rows.values(), *ledger.attempts.values()]
        return Known(tables.to_table(rows, tables.LEDGER))

    def ledger(self, index: "LedgerIndex") -> Ledger:
        """The same with all columns of every row, and of the parts what `index` knows."""
        ledger = Ledger(
            parts=list(index.parts), generation=index.generation, damaged=dict(index.damaged)
        )
        for row in tables.take(self.table, self.places()).to_pylist():
            ledger.take_in(row)
        return ledger

    def by_source(self) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
        """`rows` by source key, then by (variant, format)."""
        found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        for (source_key, variant, format_name), row in self.rows.items():
            found.setdefault(source_key, {})[variant, format_name] = row
        return found

    def whole(self, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
        """Rows of some keys with all their columns."""
        if not keys:
            return {}
        found = tables.take(self.table, [self.rows[key][PLACE] for key in keys]).to_pylist()
        return dict(zip(keys, found, strict=True))

    def places(self, forgotten: Collection[Key] = ()) -> list[int]:
        """Where the rows are that are worth keeping, sorted by key.

        Attempts come after what was made: a row of something made, read after them, ends them.
        """
        made = [(key, 0, row[PLACE]) for key, row in self.rows.items()]
        tried = [(key, 1, place) for key, place in self._failed.items()]
        both = [each for each in (*made, *tried) if each[0] not in forgotten]
        return [place for _, _, place in sorted(both)]


class LedgerIndex:
    """The parts of a ledger, of which only what is asked for is read.

    A row group that turns out to be damaged is left out and its part reported: what it says
    counts as not known.

    Args:
        output: Output folder.
        partition_key: The partition.
        besides: A run and its shard: what other shards of that run have written is of other
            sources, and passed over.
        only: File names of the parts to look at.

    Raises:
        NewerSchemaError: A newer version of this project wrote a part.

    Attributes:
        parts: File names of all parts, damaged ones excepted, passed over or not.
        generation: Largest generation among them; 0 where there is none.
        damaged: Files of which something could not be read, with the reason.
    """

    def __init__(
        self,
        output: Path,
        partition_key: str,
        *,
        besides: tuple[str, int] | None = None,
        only: Collection[str] | None = None,
    ) -> None:
        self._folder = output / table_folder("ledger", partition_key)
        self.parts: list[str] = []
        self.generation = 0
        self.damaged: dict[str, str] = {}
        self._files: list[tables.TableFile] = []
        found: list[tuple[tuple[int, int], re.Match[str]]] = []
        for path in self._folder.glob("part-*.parquet") if self._folder.is_dir() else ():
            match = _PART.match(path.name)
            if match is not None and (only is None or path.name in only):
                found.append(((int(match[1]), int(match[4])), match))
        for (generation, _), match in sorted(found, key=lambda each: (each[0], each[1][0])):
            self.generation = max(self.generation, generation)
            if besides is not None and match[2] == besides[0] and int(match[3]) != besides[1]:
                self.parts.append(match[0])
                continue
            self._open(match[0])

    def _open(self, name: str) -> None:
        try:
            file = tables.TableFile(self._folder / name, tables.LEDGER)
        except tables.NewerSchemaError:
            raise  # not damaged: an older version must not make everything again over it
        except (RunError, pa.ArrowException) as error:
            self.damaged[name] = str(error)
            return
        file.close()  # there may be more parts than a process may have files open
        self.parts.append(name)
        self._files.append(file)

    def known(self, source_keys: Collection[str]) -> Known:
        """Return what is known of some sources."""
        return Known(self._concat(self._of(set(source_keys))))

    def pieces(self) -> Iterator[Known]:
        """Go through all that is known, `SOURCES_AT_ONCE` sources at a time, by source key."""
        keys = sorted(self.source_keys())
        for start in range(0, len(keys), SOURCES_AT_ONCE):
            yield self.known(set(keys[start : start + SOURCES_AT_ONCE]))

    def source_keys(self) -> set[str]:
        """Return every source that is known; all there is is read, so that damage shows."""
        found: set[str] = set()
        for file in self._files:
            for table in self._groups(file, range(file.metadata.num_row_groups)):
                found.update(pc.unique(table.column("source_key")).to_pylist())
            file.close()
        return found

    def _of(self, wanted: set[str]) -> Iterator[pa.Table]:
        order = sorted(wanted)
        for file in self._files:
            near = [
                group
                for group, ends in enumerate(file.ranges("source_key"))
                if ends is None or bisect_left(order, ends[0]) < bisect_right(order, ends[1])
            ]
            for table in self._groups(file, near):
                keys = table.column("source_key").to_pylist()
                here = [place for place, key in enumerate(keys) if key in wanted]
                if here:
                    yield table if len(here) == table.num_rows else tables.take(table, here)
            file.close()

    def _groups(self, file: tables.TableFile, groups: Iterable[int]) -> Iterator[pa.Table]:
        for group in groups:
            try:
                table = file.read([group])
            except tables.DamagedError as error:
                self._damage(file.path.name, error)
            else:
                yield table

    def _damage(self, name: str, error: Exception) -> None:
        self.damaged.setdefault(name, str(error))
        if name in self.parts:
            self.parts.remove(name)

    def _concat(self, found: Iterable[pa.Table]) -> pa.Table:
        return pa.concat_tables([tables.to_table([], tables.LEDGER), *found])


class LedgerWriter:
    """Appends parts to a partition's ledger.

    Args:
        output: Output folder.
        partition_key: The partition.
        run_id: Of the run.
        generation: One more than the largest of the parts that the run found.
        shard: Index of the shard that writes.
    """

    def __init__(
        self, output: Path, partition_key: str, run_id: str, generation: int, shard: int
    ) -> None:
        self._store = LocalStore(output)
        self._partition_key = partition_key
        self._folder = table_folder("ledger", partition_key)
        self._name = f"part-{generation:08d}-{run_id}-{shard:04d}"
        self._names: list[str] = []
        self._sequence = 0

    def append(self, rows: Iterable[dict[str, Any]] | pa.Table) -> None:
        """Write one part. Rows of skipped renditions keep what the ledger knew of them."""
        table = rows if isinstance(rows, pa.Table) else tables.to_table(rows, tables.LEDGER)
        if table.num_rows:
            tables.write(self._store, self._next(), table)

    def merge(self) -> None:
        """Make one part of those that were appended, sorted by source key.

        Killed before the end, the appended parts stay beside it and say the same.
        """
        if len(self._names) < 2:
            return
        appended = set(self._names)
        index = LedgerIndex(self._store.root, self._partition_key, only=appended)
        _write_whole(self._store, self._next(), index)
        for name in appended.difference(index.damaged):
            self._store.delete(f"{self._folder}/{name}")
        self._names = self._names[-1:]

    def _next(self) -> str:
        self._sequence += 1
        self._names.append(f"{self._name}-{self._sequence:06d}.parquet")
        return f"{self._folder}/{self._names[-1]}"


def compact_parts(
    output: Path,
    partition_key: str,
    index: LedgerIndex,
    run_id: str,
    forgotten: Collection[Key] = (),
) -> None:
    """Write all that an index knows as one part and delete exactly the parts that it came from.

    As `compact`, with no more than some sources in memory. What can be read of a damaged part is
    kept, and the part is set aside.

    Args:
        output: Output folder.
        partition_key: The partition.
        index: Of all parts.
        run_id: Names the new part.
        forgotten: Keys to leave out, with the attempts at them.
    """
    if len(index.parts) < 2 and not index.damaged and not forgotten:
        return
    store = LocalStore(output)
    folder = table_folder("ledger", partition_key)
    _write_whole(store, f"{folder}/{_whole(index.generation, run_id)}", index, forgotten)
    _replace(store, folder, index.parts, index.damaged)


def _write_whole(
    store: LocalStore, path: str, index: LedgerIndex, forgotten: Collection[Key] = ()
) -> None:
    writer = tables.TableWriter(store, path, tables.LEDGER)
    try:
        for known in index.pieces():
            writer.add(tables.take(known.table, known.places(forgotten)))
        writer.close()
    finally:
        writer.discard()


def _whole(generation: int, run_id: str) -> str:
    return f"part-{generation + 1:08d}-{run_id}-{9999:04d}-{0:06d}.parquet"


def _replace(store: LocalStore, folder: str, parts: Iterable[str], damaged: Iterable[str]) -> None:
    for part in parts:
        store.delete(f"{folder}/{part}")
    for part in damaged:
        path = store.root / folder / part
        path.replace(path.with_name(f"{part}.damaged"))


def compact(output: Path, partition_key: str, ledger: Ledger, run_id: str) -> None:
    """Write a ledger's rows as one part and delete exactly the parts that they came from.

    Killed between the two, the old parts stay beside the new one and say the same. Damaged parts
    are set aside as ``<name>.damaged`` for a person to look at.
    """
    if len(ledger.parts) < 2 and not ledger.damaged and not ledger.changed:
        return
    store = LocalStore(output)
    folder = table_folder("ledger", partition_key)
    # Attempts last: a row of something made, read after them, would end them.
    rows = [*ledger.rows.values(), *ledger.attempts.values()]
    path = f"{folder}/{_whole(ledger.generation, run_id)}"
    tables.write(store, path, tables.to_table(rows, tables.LEDGER))
    _replace(store, folder, ledger.parts, ledger.damaged)
