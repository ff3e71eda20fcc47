"""The ledger: what has been made of which bytes by which recipe, per partition.

Append-only parquet parts, one per finished chunk, compacted when a partition is published. A part
is named by generation, run and sequence, never by the clock: the generation is one more than the
largest that its run found, and runs of one partition follow each other under the lease.

Beside what was made it remembers what was tried in vain: rows of status ``failed`` are attempts
(`image_assets.engine.library.quarantine`). Each carries the number so far, so reading one twice, as
after a run that was killed while compacting, counts nothing twice.
"""

import re
from collections.abc import Iterable
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
        self._folder = table_folder("ledger", partition_key)
        self._name = f"part-{generation:08d}-{run_id}-{shard:04d}"
        self._sequence = 0

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write one part. Rows of skipped renditions keep what the ledger knew of them."""
        table = tables.to_table(rows, tables.LEDGER)
        if table.num_rows:
            self._sequence += 1
            name = f"{self._name}-{self._sequence:06d}.parquet"
            tables.write(self._store, f"{self._folder}/{name}", table)


def compact(output: Path, partition_key: str, ledger: Ledger, run_id: str) -> None:
    """Write a ledger's rows as one part and delete exactly the parts that they came from.

    Killed between the two, the old parts stay beside the new one and say the same. Damaged parts
    are set aside as ``<name>.damaged`` for a person to look at.
    """
    if len(ledger.parts) < 2 and not ledger.damaged and not ledger.changed:
        return
    store = LocalStore(output)
    folder = table_folder("ledger", partition_key)
    name = f"part-{ledger.generation + 1:08d}-{run_id}-{9999:04d}-{0:06d}.parquet"
    # Attempts last: a row of something made, read after them, would end them.
    rows = [*ledger.rows.values(), *ledger.attempts.values()]
    tables.write(store, f"{folder}/{name}", tables.to_table(rows, tables.LEDGER))
    for part in ledger.parts:
        store.delete(f"{folder}/{part}")
    for part in ledger.damaged:
        damaged = output / folder / part
        damaged.replace(damaged.with_name(f"{part}.damaged"))
