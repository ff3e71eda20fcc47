"""Erasure on request: everything that an output knows of a source goes.

Renditions, rows of every table, what messages say of it, manifest entries, quarantine, files that
cannot be searched. Each file is replaced whole or removed, the ledger last, so that a run of this
that is killed is finished by the same call. At the end the output is searched: what is still found
is told, and so is what lies elsewhere (the original, Dagster's history).
"""

import contextlib
import html
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from image_assets.engine.errors import RunError, SettingError, expected
from image_assets.engine.library.catalogue import read_catalogue
from image_assets.engine.library.prune import remove_empty_folders
from image_assets.engine.library.rebuild import take_back
from image_assets.engine.source_key import from_path, is_safe, printable, to_path
from image_assets.engine.storage.layout import Layout, is_output, recorded_layout
from image_assets.engine.storage.lease import hold_lease
from image_assets.engine.storage.ledger import LedgerWriter, read_ledger
from image_assets.engine.storage.naming import (
    TABLES,
    rendition_folder,
    rendition_path,
    table_folder,
)
from image_assets.engine.storage.store import LocalStore
from image_assets.engine.storage.sweep import sweep_partition
from image_assets.engine.storage.tables import DamagedError

_KEY: Final = "source_key"
_HASHES: Final = ("source_sha256", "sha256", "placeholder")
# Columns of few or fixed values, or that are looked at by row: no text that could name a source.
_NO_TEXT: Final = frozenset(
    {_KEY, *_HASHES, "variant", "format", "status", "reason", "recipe_digest", "encoder", "colour"}
    | {"source_format", "source_mode", "content", "failing_since_run"}
)
# Of a run's result: numbers, names of settings and paths of tables. The rest may name sources.
_NO_SOURCES: Final = frozenset(
    {"partition_key", "run_id", "preset", "machine", "counts", "stages_s", "table", "verdict"}
    | {"plan", "outcomes_path", "renditions_path"}
)
# By which an object says what it is about, where it does.
_IDENTITIES: Final = (_KEY, "key")
_READ_BYTES: Final = 8_000_000
# Longer than any path with its escapes: a name across two readings is found in the second.
_OVERLAP_BYTES: Final = 64_000


@dataclass(slots=True)
class Forgotten:
    """What became of a request.

    Attributes:
        source_keys: The sources, by partition.
        removed: What was removed, one sentence a partition and kind.
        left: What still names them below the output; empty where nothing does.
        elsewhere: What this cannot remove: originals, equal files, Dagster's history.
    """

    source_keys: dict[str, list[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)


def forget_sources(
    output: Path,
    sources: Sequence[str],
    *,
    partition_key: str | None = None,
    source_folder: Path | None = None,
    dagster_home: Path | None = None,
    lease_wait_s: float = 0.0,
) -> Forgotten:
    """Remove everything that an output knows of some sources.

    Args:
        output: Output folder of a library.
        sources: Source keys as tables show them, or paths below the partition as a shell spells
            them, or whole paths of originals.
        partition_key: Only there; default is every partition.
        source_folder: Where originals lie, if the output's first run did not record it.
        dagster_home: Dagster's storage, to be searched; it is not changed.
        lease_wait_s: How long to wait where a run is at work.

    Raises:
        SettingError: The output is none, or a source is known nowhere; nothing was removed.
        PartitionBusyError: A run is at work; the partitions before it are done.
        RunError: The machine refuses; the same call goes on from there.
    """
    if not is_output(output):
        raise SettingError(expected("the output folder of a library", str(output), "--output"))
    recorded = None
    with contextlib.suppress(RunError):
        recorded = recorded_layout(output)
    layout = recorded[0] if recorded else None
    if recorded is not None and recorded[1] is not None:
        source_folder = recorded[1]
    partitions = _partitions(output)
    if partition_key is not None:
        if partition_key not in partitions:
            raise SettingError(
                expected(
                    f"a partition of {', '.join(partitions[-5:]) or 'none'}",
                    partition_key,
                    f"--partition; {output}",
                )
            )
        partitions = [partition_key]
    known = {name: _Partition(output, name, layout, source_folder) for name in partitions}
    result = Forgotten()
    for word in sources:
        found = False
        for partition in known.values():
            found |= partition.take(word)
        if not found:
            where = f"partition {partition_key}" if partition_key else f"{len(known)} partitions"
            raise SettingError(
                expected(f"a source that {output} knows", word, f"SOURCE; looked in {where}")
            )
    run_id = f"forget-{uuid.uuid4().hex[:8]}"
    for name, partition in known.items():
        if partition.keys:
            result.source_keys[name] = sorted(partition.keys)
            with hold_lease(output, name, run_id, lease_wait_s):
                partition.forget(result)
    _search_rest(output, list(known.values()), result)
    if dagster_home is not None:
        _search_dagster(dagster_home, list(known.values()), result)
    return result


def _partitions(output: Path) -> list[str]:
    """Every partition that any part of an output knows of, sorted."""
    found: set[str] = set()
    for folder in (output / "renditions", output / "web", *(output / "tables" / t for t in TABLES)):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if not path.name.startswith(".") and (path.is_dir() or path.suffix == ".parquet"):
                    found.add(path.name.removesuffix(".parquet"))
    return sorted(found)


class _Partition:
    """What one partition knows of the sources to forget."""

    def __init__(
        self, output: Path, name: str, layout: Layout | None, source_folder: Path | None
    ) -> None:
        self.output, self.name = output, name
        self.keys: set[str] = set()
        self.hashes: set[str] = set()
        self.shared: set[str] = set()
        self.equal: set[str] = set()
        self.files: set[str] = set()
        self._all_keys: set[str] | None = None
        self.root: Path | None = None
        with contextlib.suppress(SettingError, ValueError):
            if layout is not None and source_folder is not None:
                self.root = layout.partition_root(source_folder, name)

    # -- what is known -------------------------------------------------------------------------

    def take(self, word: str) -> bool:
        """Add the source that a word names to those to forget; False where there is none."""
        for key in self._spelled(word):
            if self._knows(key):
                self.keys.add(key)
                return True
        # As a line of ours shows it, where that can mean one source only.
        printed = [key for key in self._all_keys or () if printable(key) == word]
        if len(printed) != 1:
            return False
        self.keys.add(printed[0])
        return True

    def _spelled(self, word: str) -> list[str]:
        """The source keys that a word may mean; never one that leads out of the partition."""
        forms = [word, from_path(word), from_path(os.path.normpath(word))]
        if self.root is not None:
            for root in (self.root, Path(os.path.realpath(self.root))):
                with contextlib.suppress(ValueError):
                    forms.append(from_path(Path(word).absolute().relative_to(root).as_posix()))
        return [form for form in forms if is_safe(form)]

    def _knows(self, key: str) -> bool:
        if self._all_keys is None:
            self._all_keys = set()
            for path in self._tables():
                for table in _read_columns(path, [_KEY]):
                    self._all_keys.update(k for k in table.column(_KEY).to_pylist() if k)
        if key in self._all_keys:
            return True
        # What no table speaks of any more.
        with contextlib.suppress(OSError, ValueError):
            folder = self.output / rendition_folder(self.name, key)
            if any(not entry.is_dir(follow_symlinks=False) for entry in os.scandir(folder)):
                return True
        return any(
            key in set(_strings(_read_json(path)))
            for path in (self.output / "web" / self.name).rglob("*.json")
        )

    def _tables(self) -> list[Path]:
        """Every table of the partition, those last by which a source is known."""
        tables = self.output / "tables"
        last = ("outcomes", "catalogue", "ledger")
        found = [
            path
            for table in (*(t for t in TABLES if t not in last), *last[:-1])
            for path in (
                tables / table / f"{self.name}.parquet",
                *sorted((tables / table / self.name).rglob("*.parquet")),
            )
        ]
        parts = sorted((tables / "ledger" / self.name).glob("*.parquet"))
        return [path for path in (*found, *parts) if path.is_file()]

    def _scope(self) -> list[Path]:
        """Every file that may name a source of this partition; not what renditions contain."""
        folders = [self.output / "tables" / t / self.name for t in TABLES]
        files = [self.output / "tables" / t / f"{self.name}.parquet" for t in TABLES]
        folders.append(self.output / "web" / self.name)
        found = [path for path in files if path.is_file()]
        for folder in folders:
            found.extend(p for p in sorted(folder.rglob("*")) if p.is_file() or p.is_symlink())
        return found

    # -- forgetting ----------------------------------------------------------------------------

    def forget(self, result: Forgotten) -> None:
        """Remove all of it; under the lease."""
        self._learn()
        names = self.names
        done: list[str] = []
        renditions = sum(self._remove_renditions(key) for key in sorted(self.keys))
        _say(done, renditions, "rendition")
        _say(done, sweep_partition(self.output, self.name), "temporary file")
        for path in sorted((self.output / "web" / self.name).rglob("*.json")):
            _say(done, _scrub_json_file(self.output, path, names), "entry", f" of {path.name}")
        rows = tables = damaged = 0
        for path in sorted((self.output / table_folder("ledger", self.name)).glob("*.damaged")):
            path.unlink()
            damaged += 1
        for path in self._tables():
            is_part = path.parent.parent.name == "ledger"
            try:
                changed = _scrub_table(self.output, path, names)
            except DamagedError:
                if is_part:
                    self._rebuild()
                path.unlink()
                damaged += 1
                continue
            if changed is not None:
                rows, tables = rows + changed, tables + 1
        _say(done, rows, "table row", f" in {tables} tables")
        _say(done, damaged, "damaged file", " that nobody could search")
        result.removed.append(f"{self.name}: {', '.join(done) or 'nothing was left'}.")
        for key in sorted(self.keys):
            self._tell(key, result)

    @property
    def names(self) -> "_Names":
        """What to look for."""
        return _Names(self.keys, self.hashes - self.shared, self.name, self.root, self.files)

    def _learn(self) -> None:
        """Find the hashes of the sources, and whether others have the same."""
        tables = [t for path in self._tables() for t in _read_columns(path, [_KEY, *_HASHES])]
        keys = pa.array(sorted(self.keys), pa.string())
        others = []
        for table in tables:
            mine = pc.is_in(table.column(_KEY), value_set=keys)
            for name in set(table.column_names) & set(_HASHES):
                values = table.filter(mine).column(name).to_pylist()
                self.hashes.update(value for value in values if value)
            others.append(table.filter(pc.invert(mine)))
        wanted = pa.array(sorted(self.hashes), pa.string())
        for table in others:
            for name in set(table.column_names) & set(_HASHES):
                same = table.filter(pc.is_in(table.column(name), value_set=wanted))
                pairs = zip(
                    same.column(name).to_pylist(), same.column(_KEY).to_pylist(), strict=True
                )
                for value, key in pairs:
                    self.shared.add(value)
                    if name == "source_sha256":
                        self.equal.add(key)
        for key in self.keys:
            folder = self.output / rendition_folder(self.name, key)
            with contextlib.suppress(OSError):
                self.files.update(path.name for path in folder.iterdir() if not path.is_dir())
        for path in self._tables():
            for table in _read_columns(path, ["variant", "format"]):
                if table.num_columns == 2:
                    pairs = table.group_by(["variant", "format"]).aggregate([]).to_pylist()
                    for pair in pairs:
                        with contextlib.suppress(KeyError, TypeError):
                            full = rendition_path("-", "-", pair["variant"], pair["format"])
                            self.files.add(full.rsplit("/", 1)[1])

    def _remove_renditions(self, key: str) -> int:
        """Remove every file directly in a source's folder; a folder in it is another source's."""
        removed = 0
        try:
            with os.scandir(self.output / rendition_folder(self.name, key)) as found:
                paths = [Path(e) for e in found if not e.is_dir(follow_symlinks=False)]
            for path in paths:
                path.unlink()
                removed += 1
        except (FileNotFoundError, NotADirectoryError):
            return removed
        except OSError as error:
            raise _refused(error) from error
        remove_empty_folders(self.output, self.name, key)
        return removed

    def _rebuild(self) -> None:
        """Before a damaged ledger part goes: keep what can be verified of the other sources."""
        ledger = read_ledger(self.output, self.name)
        with contextlib.suppress(DamagedError):
            rows = read_catalogue(self.output, self.name) or []
            others = [row for row in rows if row.source_key not in self.keys]
            taken = take_back(self.output, self.name, ledger, others, {})
            run_id = f"forget-{uuid.uuid4().hex[:8]}"
            LedgerWriter(self.output, self.name, run_id, ledger.generation + 1, 0).append(taken)

    def _tell(self, key: str, result: Forgotten) -> None:
        if self.root is not None and os.path.lexists(self.root / to_path(key)):
            result.elsewhere.append(
                f"{key}: the original is still there ({self.root / to_path(key)}); the next run "
                "makes its renditions again unless it is removed there too."
            )
        elif self.root is None:
            result.elsewhere.append(
                f"{key}: where the original lies is not known; if it is still in the source of "
                f"partition {self.name}, the next run makes its renditions again."
            )

    def tell_shared(self, result: Forgotten) -> None:
        """Other sources of the same bytes were not named, so they stay."""
        for key in sorted(self.equal):
            result.elsewhere.append(
                f"{key}: a source of the same bytes in partition {self.name}; it was not named and "
                "stays."
            )


def _say(done: list[str], count: int, what: str, more: str = "") -> None:
    if count:
        plural = what[:-1] + "ies" if what.endswith("y") else f"{what}s"
        done.append(f"{count} {what if count == 1 else plural}{more}")


def _refused(error: OSError) -> RunError:
    return RunError(
        f"Expected to be able to remove {error.filename}, received {error.strerror!r} (output "
        "folder)."
    )


# -- names -----------------------------------------------------------------------------------------


class _Names:
    """Every spelling of some sources, to be found in text and bytes.

    ``a.jpg`` is not found in ``aa.jpg``, ``a.jpg.bak``, ``sub/a.jpg`` or ``a.jpg/b.jpg``: those are
    other sources.
    """

    def __init__(
        self,
        keys: Iterable[str],
        hashes: Iterable[str],
        partition_key: str,
        root: Path | None,
        files: Iterable[str],
    ) -> None:
        self.keys = frozenset(keys)
        self.hashes = frozenset(hashes)
        bare: set[str] = set()
        paths: set[str] = set()
        for key in self.keys:
            raw = to_path(key)
            bare |= {form for name in (key, raw) for form in _spellings(name)}
            folder = rendition_folder(partition_key, key).removeprefix("renditions/")
            paths |= {f for name in (folder, f"{partition_key}/{raw}") for f in _spellings(name)}
            if root is not None:
                paths |= set(_spellings(os.fspath(root / raw)))
        self._text = _pattern(bare, paths, self.hashes, files)
        self._bytes = _pattern(
            *([os.fsencode(form) for form in forms] for forms in (bare, paths, self.hashes, files))
        )

    def in_text(self, text: str) -> bool:
        """Tell whether a text names one of the sources or has one of their hashes."""
        return self._text.search(text) is not None

    def in_bytes(self, data: bytes) -> bool:
        """The same of bytes."""
        return self._bytes.search(data) is not None


def _spellings(name: str) -> set[str]:
    """A name as tables, URLs, HTML, JSON and what is printed write it."""
    plain = name.encode(errors="surrogateescape")
    forms = {quote(plain), quote(plain, safe="")}
    for shown in {name, printable(name)}:
        forms |= {shown, html.escape(shown), html.escape(shown, quote=False)}
        for ascii_only in (True, False):
            once = json.dumps(shown, ensure_ascii=ascii_only)[1:-1]
            forms |= {once, json.dumps(once, ensure_ascii=ascii_only)[1:-1]}
    return forms


def _pattern(
    bare: Iterable[Any], paths: Iterable[Any], hashes: Iterable[Any], files: Iterable[Any]
) -> "re.Pattern[Any]":
    """The pattern of text or of bytes: what may stand before and after a name decides."""
    bare, paths, hashes, files = (
        sorted(map(re.escape, forms), key=len, reverse=True)
        for forms in (bare, paths, hashes, files)
    )
    is_bytes = any(isinstance(form, bytes) for form in (*bare, *paths))
    part = r"\w.%~\-" + (r"\x80-\xff" if is_bytes else "")

    def text(pattern: str) -> Any:
        return pattern.encode("latin-1") if is_bytes else pattern

    def one_of(forms: Iterable[Any]) -> Any:
        return text("(?:") + text("|").join(forms) + text(")")

    end = text(rf"(?![{part.replace('.', '')}/]|\.\w)")
    tail = text("(?:/") + one_of(files) + text(")?") if files else text("/?")
    # Or after a line break, a tab or the like as JSON writes them.
    escaped = text(r"|(?<=\\[nrt]))")
    found = [
        text(rf"(?:(?<![{part}/])") + escaped + one_of(bare) + tail + end,
        text(rf"(?:(?<![{part}])") + escaped + one_of(paths) + tail + end,
    ]
    if hashes:
        found.append(one_of(hashes))
    return re.compile(text("|").join(found))


# -- files -----------------------------------------------------------------------------------------


def _read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a table of any version, so far as it can be read.

    Raises:
        DamagedError: It cannot.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = file.schema_arrow.names
            return file.read(
                columns=None if columns is None else [n for n in columns if n in names]
            )
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DamagedError(f"Expected a whole parquet file, received {error} ({path}).") from error


def _read_columns(path: Path, columns: list[str]) -> list[pa.Table]:
    """The table in a list; nothing where it is damaged or has not the first of the columns."""
    try:
        table = _read_table(path, columns)
    except DamagedError:
        return []
    return [table] if columns[0] in table.column_names else []


def _scrub_table(output: Path, path: Path, names: _Names) -> int | None:
    """Write a table again without what names the sources.

    Returns:
        How many rows went; None where it names none of them.
    """
    table = _read_table(path)
    changed, before = False, table.num_rows
    if _KEY in table.column_names:
        mine = pc.is_in(table.column(_KEY), value_set=pa.array(sorted(names.keys), pa.string()))
        table = table.filter(pc.invert(mine))
    changed = table.num_rows < before
    for index, column in enumerate(table.schema):
        if column.name in _NO_TEXT or column.type != pa.string():
            continue
        values = table.column(index)
        named = [text for text in pc.unique(values).to_pylist() if text and names.in_text(text)]
        if named:
            hit = pc.is_in(values, value_set=pa.array(named, pa.string()))
            values = pc.if_else(hit, pa.scalar(None, pa.string()), values)
            table, changed = table.set_column(index, column, values), True
    metadata = dict(table.schema.metadata or {})
    for name, value in list(metadata.items()):
        if not _holds(value, names):
            continue
        try:
            document = json.loads(value)
        except ValueError:
            del metadata[name]
        else:
            scrubbed, _ = _scrub(_sources_of(document), names)
            metadata[name] = json.dumps({**document, **scrubbed}).encode()
        changed = True
    if not changed:
        return None
    _write_table(output, path, table.replace_schema_metadata(metadata))
    return int(before - table.num_rows)


def _write_table(output: Path, path: Path, table: pa.Table) -> None:
    relative = path.relative_to(output).as_posix()
    with LocalStore(output).publishing(relative) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _holds(value: bytes, names: _Names) -> bool:
    """Whether metadata of a table name a source; a run's result is JSON."""
    try:
        document = json.loads(value)
    except ValueError:
        return names.in_bytes(value)
    return any(map(names.in_text, _strings(_sources_of(document))))


def _sources_of(document: Any) -> Any:
    """The part of a run's result that may name sources."""
    if not isinstance(document, dict):
        return document
    return {name: value for name, value in document.items() if name not in _NO_SOURCES}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)


def _scrub_json_file(output: Path, path: Path, names: _Names) -> int:
    """Write a JSON document again without its entries of the sources; return how many went."""
    document = _read_json(path)
    if not any(map(names.in_text, _strings(document))):
        return 0
    document, removed = _scrub(document, names)
    data = json.dumps(document, indent=2).encode()
    LocalStore(output).publish(path.relative_to(output).as_posix(), data + b"\n")
    return removed


def _scrub(node: Any, names: _Names) -> tuple[Any, int]:
    """Return a document without what names a source, and how many entries that were.

    An entry is the largest object that speaks of the source and is one of several in a list or
    under names; the document itself stays.
    """
    if isinstance(node, list):
        kept, removed = [], 0
        for item in node:
            if _speaks(item, names):
                removed += 1
            else:
                item, count = _scrub(item, names)
                kept.append(item)
                removed += count
        return kept, removed
    if isinstance(node, dict):
        entries, removed = {}, 0
        for key, value in node.items():
            if names.in_text(key):
                removed += 1
            elif _speaks(value, names):
                removed += 1
                if isinstance(value, str):
                    entries[key] = ""
            else:
                entries[key], count = _scrub(value, names)
                removed += count
        return entries, removed
    return node, 0


def _speaks(node: Any, names: _Names) -> bool:
    """Whether a value is about a source: names it itself, or in the objects directly in it."""
    if isinstance(node, str):
        return names.in_text(node)
    if not isinstance(node, dict):
        return False
    for identity in _IDENTITIES:
        if isinstance(node.get(identity), str):
            return names.in_text(node[identity])
    own = [value for value in node.values() if not isinstance(value, dict | list)]
    if any(names.in_text(value) for value in own if isinstance(value, str)):
        return True
    # {"width_px": 9, "files": {"full": {"avif": ".../a.jpg/full.avif"}}}: all of it is about one.
    links = _links(list(node.values()))
    return bool(own and links) and all(map(names.in_text, links))


def _links(node: Any) -> list[str]:
    """Texts of a document that are paths."""
    return [text for text in _strings(node) if "/" in text]


# -- searching -------------------------------------------------------------------------------------


def _search_rest(output: Path, partitions: list[_Partition], result: Forgotten) -> None:
    """Search the output for what is left, once all is done."""
    for partition in partitions:
        if not partition.keys:
            continue
        names = partition.names
        for path in _mentions(partition._scope(), names):
            result.left.append(f"{path} still names it")
        for path in _mentions([output / "tables" / "layout.json", *_top_files(output)], names):
            result.left.append(f"{path} still names it")
        for key in sorted(partition.keys):
            folder = output / rendition_folder(partition.name, key)
            with contextlib.suppress(OSError):
                for path in folder.iterdir():
                    if not path.is_dir():
                        result.left.append(f"{path} is still there")
        partition.tell_shared(result)


def _top_files(output: Path) -> list[Path]:
    """Files that belong to no partition."""
    found = []
    for folder in (output, output / "web", output / "tables", *(output / "tables").glob("*")):
        with contextlib.suppress(OSError):
            found += [p for p in sorted(folder.iterdir()) if p.is_file() and p.suffix != ".parquet"]
    return found


def _mentions(paths: Iterable[Path], names: _Names) -> Iterator[Path]:
    """Files that name a source: tables and JSON by what they say, all others by their bytes."""
    for path in dict.fromkeys(paths):
        try:
            if path.suffix == ".parquet":
                named = _table_mentions(path, names)
            elif path.is_symlink():
                named = names.in_bytes(os.fsencode(path.readlink()))
            else:
                named = _file_mentions(path, names)
        except OSError:
            continue
        if named or names.in_bytes(os.fsencode(path.name)):
            yield path


def _table_mentions(path: Path, names: _Names) -> bool:
    try:
        table = _read_table(path)
    except DamagedError:
        return False
    for name in table.column_names:
        values = table.column(name)
        if values.type != pa.string():
            continue
        if name == _KEY:
            if names.keys & set(values.to_pylist()):
                return True
        elif name in _HASHES:
            if names.hashes & set(values.to_pylist()):
                return True
        elif name not in _NO_TEXT and any(
            text and names.in_text(text) for text in pc.unique(values).to_pylist()
        ):
            return True
    return any(_holds(value, names) for value in (table.schema.metadata or {}).values())


def _file_mentions(path: Path, names: _Names) -> bool:
    if path.suffix == ".json":
        with contextlib.suppress(ValueError):
            return any(map(names.in_text, _strings(json.loads(path.read_bytes()))))
    with open(path, "rb") as file:
        before = b""
        while data := file.read(_READ_BYTES):
            if names.in_bytes(before + data):
                return True
            before = data[-_OVERLAP_BYTES:]
    return False


def _search_dagster(home: Path, partitions: list[_Partition], result: Forgotten) -> None:
    """Say where Dagster's own history names a source; it is Dagster's to change."""
    paths = [path for path in sorted(home.rglob("*")) if path.is_file()]
    found: dict[Path, None] = {}
    for partition in partitions:
        if partition.keys:
            found.update(dict.fromkeys(_mentions(paths, partition.names)))
    if found:
        result.elsewhere.append(
            f"Dagster's history names it in {len(found)} files below {home}, such as "
            f"{next(iter(found))}: delete the runs of that partition (`dagster run delete`, or "
            "Runs in the UI), then `VACUUM` its SQLite files."
        )
