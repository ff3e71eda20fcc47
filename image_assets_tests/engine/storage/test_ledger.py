from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_assets.engine.errors import RunError
from image_assets.engine.storage import ledger as ledger_module
from image_assets.engine.storage import tables
from image_assets.engine.storage.ledger import (
    Ledger,
    LedgerIndex,
    LedgerWriter,
    compact,
    compact_parts,
    read_ledger,
)
from image_assets.engine.storage.store import LocalStore

DAY = "2015-01-02"


def row(source_key: str, format_name: str = "avif", **values: Any) -> dict[str, Any]:
    return {
        "source_key": source_key,
        "variant": "full",
        "format": format_name,
        "status": "written",
        "source_sha256": "ab" * 32,
        "source_mtime_ns": 1_700_000_000_123_456_789,
        "size_bytes": 10,
        **values,
    }


def folder(output: Path) -> Path:
    return output / "tables" / "ledger" / DAY


def files(output: Path) -> set[str]:
    return {path.name for path in folder(output).iterdir()}


def append(
    output: Path, *parts: list[dict[str, Any]], run_id: str = "run", shard: int = 0
) -> LedgerWriter:
    """Write parts as a run does: one generation after what is there."""
    generation = read_ledger(output, DAY).generation + 1
    writer = LedgerWriter(output, DAY, run_id, generation, shard)
    for part in parts:
        writer.append(part)
    return writer


def sizes(ledger: Ledger) -> dict[tuple[str, str], int]:
    return {(key[0], key[2]): kept["size_bytes"] for key, kept in ledger.rows.items()}


def test_a_partition_without_a_ledger_knows_nothing(tmp_path: Path) -> None:
    assert read_ledger(tmp_path, DAY) == Ledger()


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    append(tmp_path, [row("a%FF.jpg", placeholder="LEHV6nWB2yk8pyo0adR*", width_px=1024)])
    (kept,) = read_ledger(tmp_path, DAY).rows.values()
    assert kept["source_mtime_ns"] == 1_700_000_000_123_456_789
    assert (kept["placeholder"], kept["width_px"]) == ("LEHV6nWB2yk8pyo0adR*", 1024)
    assert kept["height_px"] is None


def test_no_rows_make_no_part(tmp_path: Path) -> None:
    append(tmp_path, [])
    assert not folder(tmp_path).exists()


def test_later_parts_of_a_run_win_over_earlier_ones(tmp_path: Path) -> None:
    # more than nine, so that the order is by number and not by text
    append(tmp_path, *([row("a", size_bytes=number)] for number in range(1, 13)))
    assert sizes(read_ledger(tmp_path, DAY)) == {("a", "avif"): 12}


def test_later_runs_win_whatever_their_name_and_sequence(tmp_path: Path) -> None:
    append(tmp_path, [row("a", size_bytes=1)], [row("b", size_bytes=1)], run_id="zzz")
    append(tmp_path, [row("a", size_bytes=2)], run_id="aaa")
    assert sizes(read_ledger(tmp_path, DAY)) == {("a", "avif"): 2, ("b", "avif"): 1}


def test_shards_and_runs_with_dashes_in_their_names_keep_parts_apart(tmp_path: Path) -> None:
    writers = [LedgerWriter(tmp_path, DAY, "a-0001-b", 1, shard) for shard in (0, 1)]
    for number, writer in enumerate(writers):
        writer.append([row(f"source {number}")])
    ledger = read_ledger(tmp_path, DAY)
    assert {key[0] for key in ledger.rows} == {"source 0", "source 1"}
    assert ledger.generation == 1


def test_rows_are_found_by_source(tmp_path: Path) -> None:
    append(tmp_path, [row("a", "avif"), row("a", "webp"), row("b", "avif")])
    found = read_ledger(tmp_path, DAY).by_source()
    assert {key: set(pairs) for key, pairs in found.items()} == {
        "a": {("full", "avif"), ("full", "webp")},
        "b": {("full", "avif")},
    }


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no more", None])
def test_a_damaged_part_is_reported_and_not_trusted(tmp_path: Path, damage: bytes | None) -> None:
    append(tmp_path, [row("a", size_bytes=1)], [row("b")], [row("a", size_bytes=2)])
    newest = sorted(folder(tmp_path).iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:-20] if damage is None else damage)
    ledger = read_ledger(tmp_path, DAY)
    assert sizes(ledger) == {("a", "avif"): 1, ("b", "avif"): 10}
    assert list(ledger.damaged) == [newest.name]
    assert newest.name in ledger.damaged[newest.name]
    assert newest.name not in ledger.parts


def test_a_damaged_part_still_counts_for_the_generation(tmp_path: Path) -> None:
    append(tmp_path, [row("a")], run_id="first")
    append(tmp_path, [row("a")], run_id="second")
    sorted(folder(tmp_path).iterdir())[-1].write_bytes(b"")
    assert read_ledger(tmp_path, DAY).generation == 2


def test_files_that_are_no_parts_are_left_alone(tmp_path: Path) -> None:
    append(tmp_path, [row("a")], [row("b")])
    strangers = {"lease", ".part-00000001-run-0000-000009.parquet.tmp", "part-1.parquet"}
    for name in strangers:
        (folder(tmp_path) / name).write_bytes(b"")
    ledger = read_ledger(tmp_path, DAY)
    assert not ledger.damaged
    compact(tmp_path, DAY, ledger, "run")
    assert strangers <= files(tmp_path)


def test_compaction_makes_one_part_that_says_the_same(tmp_path: Path) -> None:
    append(tmp_path, [row("a", size_bytes=1)], [row("b")], [row("a", size_bytes=2)])
    before = read_ledger(tmp_path, DAY)
    compact(tmp_path, DAY, before, "run")
    after = read_ledger(tmp_path, DAY)
    assert len(files(tmp_path)) == len(after.parts) == 1
    assert after.rows == before.rows
    assert after.generation > before.generation


def test_compacting_again_changes_no_file(tmp_path: Path) -> None:
    append(tmp_path, [row("a")], [row("b")])
    compact(tmp_path, DAY, read_ledger(tmp_path, DAY), "run")
    (part,) = folder(tmp_path).iterdir()
    before = part.stat()
    compact(tmp_path, DAY, read_ledger(tmp_path, DAY), "later")
    assert list(folder(tmp_path).iterdir()) == [part]
    assert (part.stat().st_ino, part.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_compaction_deletes_only_what_it_read(tmp_path: Path) -> None:
    append(tmp_path, [row("a", size_bytes=1)], [row("b")])
    ledger = read_ledger(tmp_path, DAY)
    append(tmp_path, [row("c", size_bytes=3)], run_id="meanwhile")
    compact(tmp_path, DAY, ledger, "run")
    assert len(files(tmp_path)) == 2
    assert {key[0] for key in read_ledger(tmp_path, DAY).rows} == {"a", "b", "c"}


def test_compaction_sets_a_damaged_part_aside_for_a_person_to_look_at(tmp_path: Path) -> None:
    append(tmp_path, [row("a")], [row("b")])
    newest = sorted(folder(tmp_path).iterdir())[-1]
    newest.write_bytes(b"damaged")
    compact(tmp_path, DAY, read_ledger(tmp_path, DAY), "run")
    assert not newest.exists()
    assert newest.with_name(f"{newest.name}.damaged").read_bytes() == b"damaged"
    again = read_ledger(tmp_path, DAY)
    assert again.damaged == {}
    assert {key[0] for key in again.rows} == {"a"}


def test_a_part_that_a_newer_version_wrote_ends_the_run_and_stays(tmp_path: Path) -> None:
    append(tmp_path, [row("a")])
    (part,) = folder(tmp_path).iterdir()
    newer = tables.LEDGER.with_metadata({"schema_version": str(tables.SCHEMA_VERSION + 1)})
    tables.write(LocalStore(part.parent), part.name, tables.to_table([row("a")], newer))
    data = part.read_bytes()
    with pytest.raises(RunError, match="a newer image_assets wrote it"):
        read_ledger(tmp_path, DAY)
    assert part.read_bytes() == data


def test_killed_between_writing_and_deleting_the_parts_say_the_same(tmp_path: Path) -> None:
    append(tmp_path, [row("a", size_bytes=1)], [row("a", size_bytes=2)])
    old = {path: path.read_bytes() for path in folder(tmp_path).iterdir()}
    compact(tmp_path, DAY, read_ledger(tmp_path, DAY), "run")
    for path, data in old.items():
        path.write_bytes(data)
    ledger = read_ledger(tmp_path, DAY)
    assert sizes(ledger) == {("a", "avif"): 2}
    compact(tmp_path, DAY, ledger, "run")
    assert len(files(tmp_path)) == 1


def test_a_forgotten_row_is_gone_after_compaction_even_of_one_part(tmp_path: Path) -> None:
    append(tmp_path, [row("a"), row("b")])
    ledger = read_ledger(tmp_path, DAY)
    ledger.forget(("a", "full", "avif"))
    compact(tmp_path, DAY, ledger, "run")
    assert {key[0] for key in read_ledger(tmp_path, DAY).rows} == {"b"}


PARTS = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), min_size=1, max_size=3),
    max_size=5,
)


@settings(max_examples=12)  # every part is written and flushed to the disk
@given(PARTS, st.integers(0, 5))
def test_compaction_at_any_moment_changes_nothing_that_is_known(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[tuple[str, int]]], moment: int
) -> None:
    output = tmp_path_factory.mktemp("ledger")
    expected: dict[tuple[str, str], int] = {}
    for number, part in enumerate(parts):
        if number == moment:
            compact(output, DAY, read_ledger(output, DAY), f"run{number}")
        append(output, [row(key, size_bytes=size) for key, size in part], run_id=f"run{number}")
        expected.update({(key, "avif"): size for key, size in part})
    assert sizes(read_ledger(output, DAY)) == expected


def many(output: Path, sources: int) -> None:
    append(output, [row(f"{number:06d}") for number in range(sources)])


def test_going_through_a_ledger_holds_some_sources_at_a_time_however_many_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "SOURCES_AT_ONCE", 50)
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 100)
    held: dict[int, int] = {}
    for sources in (500, 5_000):
        many(tmp_path / str(sources), sources)
        pieces = [len(known.rows) for known in LedgerIndex(tmp_path / str(sources), DAY).pieces()]
        assert sum(pieces) == sources
        held[sources] = max(pieces)

    assert held[5_000] == held[500] == 50


def test_a_few_sources_are_found_without_reading_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 100)
    many(tmp_path, 1_000)
    groups: list[int] = []
    read = tables.TableFile.read

    def counted(self: tables.TableFile, *arguments: Any) -> Any:
        groups.extend(arguments[0])
        return read(self, *arguments)

    monkeypatch.setattr(tables.TableFile, "read", counted)
    known = LedgerIndex(tmp_path, DAY).known([f"{number:06d}" for number in range(250, 350)])

    assert len(known.rows) == 100
    assert groups == [2, 3]


def test_a_damaged_row_group_costs_its_own_rows_and_the_part_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 100)
    many(tmp_path, 300)
    (part,) = list(folder(tmp_path).glob("part-*.parquet"))
    group = pq.ParquetFile(part).metadata.row_group(1).column(0)
    data = bytearray(part.read_bytes())
    data[group.data_page_offset + group.total_compressed_size - 3] ^= 255
    part.write_bytes(bytes(data))

    index = LedgerIndex(tmp_path, DAY)
    assert len(index.known(["000001", "000299"]).rows) == 2
    assert not index.damaged
    assert not index.known(["000150"]).rows
    assert list(index.damaged) == [part.name]
    compact_parts(tmp_path, DAY, index, "run")
    assert len(read_ledger(tmp_path, DAY).rows) == 200
    assert part.with_name(f"{part.name}.damaged").is_file()


def test_a_shard_makes_one_part_of_its_own_and_leaves_the_others(tmp_path: Path) -> None:
    other = LedgerWriter(tmp_path, DAY, "run", 1, 1)
    other.append([row("z")])
    own = LedgerWriter(tmp_path, DAY, "run", 1, 0)
    for key in "ba":
        own.append([row(key)])
    own.append([row("a", size_bytes=7)])
    before = read_ledger(tmp_path, DAY)
    own.merge()
    after = read_ledger(tmp_path, DAY)

    assert after.rows == before.rows
    assert len(list(folder(tmp_path).glob("part-*.parquet"))) == 2
    assert len(LedgerIndex(tmp_path, DAY, besides=("run", 0)).known(["a", "b", "z"]).rows) == 2
