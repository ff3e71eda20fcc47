"""Erasure on request: what is left is looked for as somebody else would, not as the code does."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from image_assets import cli
from image_assets.engine.errors import PartitionBusyError, RunError, SettingError
from image_assets.engine.library.forget import Forgotten, forget_sources
from image_assets.engine.run.result import load_result
from image_assets.engine.source_key import from_path, to_path
from image_assets.engine.storage.layout import FLAT, resolve_layout
from image_assets.engine.storage.lease import hold_lease
from image_assets_tests.libraries import DAY, Library
from image_assets_tests.photographs import save_photograph

ODD_NAMES = [
    "a b.jpg",
    "-rf.jpg",
    "quo\"te's.jpg",
    "new\nline\ttab.jpg",
    "100%.jpg",
    "Ärger é 日本 🎉.jpg",
    os.fsdecode(b"raw-\xff\xfe.jpg"),
    "<b>&amp;.jpg",
    "$(touch x);`id`.jpg",
    "=cmd|' /C calc'!A0.jpg",
    "n" * 240 + ".jpg",
    "%" * 60 + "x" * 60 + ".jpg",
    "sub/deep er/x.jpg",
    ".hidden.jpg",
]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


def record(library: Library) -> None:
    """What `compress_folder` and Dagster do first."""
    resolve_layout(library.source, library.output, FLAT, date.fromisoformat(DAY), record=True)


def everything(output: Path) -> Iterator[tuple[Path, bytes]]:
    """All bytes below a folder: files as they are, tables decoded too, and every path."""
    for path in sorted(output.rglob("*")):
        yield path, os.fsencode(path)
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield path, data
        if data[:4] == b"PAR1":
            with pq.ParquetFile(path) as file:
                table = file.read()
                metadata = file.metadata
            yield (
                path,
                json.dumps(table.to_pylist(), ensure_ascii=False).encode(errors="surrogateescape"),
            )
            for value in (table.schema.metadata or {}).values():
                yield path, value
                text = json.dumps(json.loads(value), ensure_ascii=False)
                yield path, text.encode(errors="surrogateescape")
            for group in range(metadata.num_row_groups):
                for column in range(metadata.num_columns):
                    statistics = metadata.row_group(group).column(column).statistics
                    yield path, repr(statistics).encode()


def grep(output: Path, needle: str | bytes) -> list[Path]:
    raw = os.fsencode(needle)
    escaped = json.dumps(os.fsdecode(raw), ensure_ascii=False)[1:-1]
    needles = {raw, escaped.encode(errors="surrogateescape")}
    return sorted({path for path, data in everything(output) if any(n in data for n in needles)})


def facts(library: Library, key: str) -> set[str]:
    """Every hash that any table has of a source."""
    found = set()
    for path in (library.output / "tables").rglob("*.parquet"):
        with pq.ParquetFile(path) as file:
            rows: list[dict[str, Any]] = file.read().to_pylist()
        for row in rows:
            if row.get("source_key") == key:
                found |= {row.get("source_sha256"), row.get("sha256"), row.get("placeholder")}
    return {value for value in found if value}


def forget(library: Library, *sources: str, **options: Any) -> Forgotten:
    return forget_sources(library.output, sources, **options)


def test_nothing_of_a_source_is_found_afterwards_and_the_others_are_whole(
    library: Library,
) -> None:
    record(library)
    for seed, name in enumerate(("a.jpg", "aa.jpg", "sub/a.jpg", "a.jpg.png", "b.jpg")):
        image_format = "PNG" if name.endswith("png") else "JPEG"
        save_photograph(library.source / name, (48, 32), seed=seed, format=image_format)
    (library.source / "bad.jpg").write_bytes(b"no image, and its row has a message")
    library.compress()
    library.compress({"full_webp_quality": 60})
    others = {n: d for n, d in library.rendition_bytes().items() if not n.startswith("a.jpg/")}
    hashes = facts(library, "a.jpg")
    assert len(hashes) > 5, "of its bytes, of its renditions, and its placeholder"
    (library.source / "a.jpg").unlink()

    result = forget(library, "a.jpg")

    assert result.left == []
    assert result.source_keys == {DAY: ["a.jpg"]}
    [said] = result.removed
    assert said.startswith(f"{DAY}: 6 renditions, ")
    for needle in hashes:
        assert grep(library.output, needle) == [], needle
    named = {path for path, data in everything(library.output) if b'"a.jpg"' in data}
    assert named == set()
    assert not library.folder_of("a.jpg").exists()
    assert library.rendition_bytes() == others
    again = library.compress({"full_webp_quality": 60})
    assert (again.counts.skipped, again.counts.written) == (4 * 6, 0)
    assert again.counts.rejected == 1


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Library:
    library = Library.below(tmp_path_factory.mktemp("odd"))
    record(library)
    for seed, name in enumerate([*ODD_NAMES, "other.jpg"]):
        save_photograph(library.source / name, (40, 30), seed=seed)
    library.compress()
    return library


@pytest.mark.parametrize("spelling", ["key", "raw", "original"])
def test_odd_names_are_forgotten_in_their_escaped_and_their_raw_form(
    odd: Library, tmp_path: Path, spelling: str
) -> None:
    library = Library(odd.source, tmp_path / "output")
    shutil.copytree(odd.output, library.output)
    keys = [from_path(name) for name in ODD_NAMES]
    hashes = {value for key in keys for value in facts(library, key)}
    hashes -= facts(library, "other.jpg")
    words = {
        "key": keys,
        "raw": ODD_NAMES,
        "original": [os.fspath(library.source / name) for name in ODD_NAMES],
    }[spelling]

    result = forget(library, *words)

    assert result.left == []
    assert result.source_keys == {DAY: sorted(keys)}
    assert len(result.elsewhere) == len(keys), "every original is still there, and told"
    assert all(os.fspath(library.source) in told for told in result.elsewhere)
    for needle in (*hashes, *keys, *ODD_NAMES):
        assert grep(library.output, needle) == [], needle
    assert {name.split("/")[0] for name in library.rendition_paths()} == {"other.jpg"}


def test_messages_and_lists_of_a_runs_result_are_scrubbed_and_it_still_loads(
    library: Library,
) -> None:
    record(library)
    library.fill(3)
    (library.source / "secret name.jpg").write_bytes(b"no image")
    save_photograph(library.source / "gone secret.jpg", (48, 32), seed=7)
    library.compress()
    (library.source / "gone secret.jpg").unlink()
    result = library.compress()
    assert result.orphans == ["gone secret.jpg"]
    before = load_result(library.output, DAY, result.run_id)
    assert "secret name.jpg" in {bad.source_key for bad in before.not_compressed}

    forget(library, "secret name.jpg", "gone secret.jpg")

    after = load_result(library.output, DAY, result.run_id)
    assert (after.orphans, after.not_compressed) == ([], [])
    assert after.counts == before.counts, "numbers stay"
    assert (after.table, after.verdict) == (before.table, before.verdict)
    assert grep(library.output, "secret") == []


def test_what_nobody_can_search_goes_and_what_can_be_verified_stays(library: Library) -> None:
    record(library)
    keys = library.fill(3)
    library.compress()
    ledger = library.output / "tables/ledger" / DAY
    [part] = ledger.glob("part-*.parquet")
    (ledger / "part-00000001-x-0000-000001.parquet.damaged").write_bytes(b"any")
    part.write_bytes(part.read_bytes()[:-9])
    half = library.output / "renditions" / DAY / "gone.jpg"
    half.mkdir()
    (half / ".full.avif.tmp").write_bytes(b"half")
    (ledger / ".part-00000009-x-0000-000001.parquet.tmp").write_bytes(keys[0].encode())

    listing = library.output / "tables/catalogue" / f".{DAY}.parquet.tmp"
    listing.write_bytes(keys[0].encode())

    result = forget(library, keys[0])

    assert "2 damaged files" in result.removed[0]
    assert "3 temporary files" in result.removed[0]
    assert grep(library.output, keys[0]) == []
    (library.source / keys[0]).unlink()
    again = library.compress()
    assert (again.counts.skipped, again.counts.written, again.messages) == (12, 0, [])


MANIFESTS: list[Any] = [
    {"images": [{"key": "{}", "url": "x"}, {"key": "b.jpg", "url": "y"}]},
    {"{}": {"width": 3}, "b.jpg": {"width": 4}},
    {"images": [{"src": f"/i/renditions/{DAY}/{{}}/full.avif", "w": 1}, {"src": "b.jpg"}]},
    {"a": [{"w": 1, "files": {"full": {"avif": f"{DAY}/{{}}/full.avif"}}}, {"src": "b.jpg"}]},
    ["{}", "b.jpg"],
]


@pytest.mark.parametrize("name", ["a.jpg", "Ä <1> %.jpg"])
def test_manifest_entries_go_and_those_of_others_stay(library: Library, name: str) -> None:
    record(library)
    save_photograph(library.source / name, (48, 32))
    library.compress()
    key = from_path(name)
    web = library.output / "web" / DAY
    web.mkdir(parents=True)
    before = []
    for number, manifest in enumerate(MANIFESTS):
        text = json.dumps(manifest).replace("{}", key).replace("b.jpg", f"sub/{key}")
        (web / f"{number}.json").write_text(text)
        before.append(json.loads(text))

    result = forget(library, name)

    assert result.left == []
    for number, manifest in enumerate(before):
        after = json.loads((web / f"{number}.json").read_text())
        # The list of entries, or what holds them itself.
        kept, was = (
            document if number in (1, 4) else next(iter(document.values()))
            for document in (after, manifest)
        )
        assert (len(kept), len(was)) == (1, 2), number
        assert f"sub/{key}" in json.dumps(kept, ensure_ascii=False)


def test_a_page_that_names_it_is_told_as_not_removable(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    record(library)
    library.fill(2)
    library.compress()
    page = library.output / "web" / DAY / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<img src="../../renditions/{DAY}/00.jpg/full.avif"><p>01.jpg')

    assert cli.main(["forget", "--output", str(library.output), "00.jpg"]) == 1

    shown = capsys.readouterr().out
    assert f"LEFT  {page} still names it" in shown
    page.write_text("<p>100.jpg 00.jpg.png x/00.jpg 01.jpg")
    (library.source / "00.jpg").unlink()
    save_photograph(library.source / "00.jpg", (48, 32))
    library.compress()
    assert cli.main(["forget", "--output", str(library.output), "00.jpg"]) == 0


def test_a_source_that_is_known_nowhere_is_one_sentence_and_removes_nothing(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    record(library)
    library.fill(2)
    library.compress()
    before = library.identities()
    for word in ("0.jpg", "../../../etc/passwd", "..", "", "balanced", "thumbnail", "sub"):
        status = cli.main(["forget", "--output", str(library.output), "00.jpg", word])
        told = capsys.readouterr().err
        assert status == 2
        assert told.count("\n") == 1
        assert repr(word) in told
    assert library.identities() == before
    with pytest.raises(SettingError, match="the output folder of a library"):
        forget_sources(library.source, ["00.jpg"])
    with pytest.raises(SettingError, match=r"a partition of 2015-06-01.*'2015-06-02'"):
        forget(library, "00.jpg", partition_key="2015-06-02")


def test_one_partition_or_all_of_them(library: Library, tmp_path: Path) -> None:
    record(library)
    library.fill(1)
    library.compress()
    for folder in ("renditions", "tables/ledger", "tables/outcomes", "tables/performance"):
        shutil.copytree(library.output / folder / DAY, library.output / folder / "2015-06-02")
    other = library.output / "renditions/2015-06-02/00.jpg"

    result = forget(library, "00.jpg", partition_key=DAY)

    assert result.source_keys == {DAY: ["00.jpg"]}
    assert not library.folder_of("00.jpg").exists()
    assert len(list(other.iterdir())) == 6
    assert forget(library, "00.jpg").source_keys == {"2015-06-02": ["00.jpg"]}
    assert not other.exists()
    with pytest.raises(SettingError, match=r"knows, received '00.jpg' .*looked in 2 partitions"):
        forget(library, "00.jpg")


def test_equal_files_and_dagsters_history_are_told(library: Library, tmp_path: Path) -> None:
    record(library)
    library.fill(1)
    shutil.copy(library.source / "00.jpg", library.source / "copy.jpg")
    library.compress()
    home = tmp_path / "home"
    home.mkdir()
    with sqlite3.connect(home / "runs.db") as database:
        database.execute("create table event (body text)")
        body = json.dumps({"metadata": json.dumps([{"source_key": "00.jpg"}])})
        database.execute("insert into event values (?)", (body,))
    database.close()

    result = forget(library, "00.jpg", dagster_home=home)

    assert result.left == []
    said = "\n".join(result.elsewhere)
    assert "copy.jpg: a source of the same bytes" in said
    assert f"1 files below {home}, such as {home / 'runs.db'}" in said
    assert len(library.rendition_paths()) == 6, "those of the copy"


def test_a_partition_at_work_is_left_alone(library: Library) -> None:
    record(library)
    library.fill(1)
    library.compress()
    before = library.identities()
    with hold_lease(library.output, DAY, "the-run", 0), pytest.raises(PartitionBusyError):
        forget(library, "00.jpg")
    assert library.identities() == before


def test_stopped_after_any_step_it_is_finished_by_the_same_call(
    library: Library, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record(library)
    keys = library.fill(3)
    library.compress()
    library.compress({"full_webp_quality": 60})
    hashes = facts(library, keys[0])
    whole = tmp_path / "whole"
    shutil.copytree(library.output, whole)

    from image_assets.engine.library import forget as module

    step, real = 0, module._write_table
    finished = False
    while not finished:
        shutil.rmtree(library.output)
        shutil.copytree(whole, library.output)
        countdown = [step]

        def stop(output: Path, path: Path, table: Any, left: list[int] = countdown) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise RunError("the disk is full")
            real(output, path, table)

        monkeypatch.setattr(module, "_write_table", stop)
        try:
            forget(library, keys[0])
            finished = True
        except RunError:
            monkeypatch.setattr(module, "_write_table", real)
            forget(library, keys[0])
        assert grep(library.output, keys[0]) == [], f"stopped at table {step}"
        assert not any(grep(library.output, value) for value in hashes)
        step += 1
    assert step > 5
    (library.source / keys[0]).unlink()
    assert library.compress({"full_webp_quality": 60}).counts.skipped == 12


def test_a_name_is_known_and_found_as_it_is_printed(library: Library, tmp_path: Path) -> None:
    record(library)
    library.fill(1)
    (library.source / "00.jpg").rename(library.source / "a\u202egpj.exe")
    library.compress()
    home = tmp_path / "home"
    home.mkdir()
    (home / "log.json").write_text(json.dumps({"message": "rejected a\\u202egpj.exe: empty"}))

    result = forget(library, "a\\u202egpj.exe", dagster_home=home)

    assert result.source_keys == {DAY: ["a\u202egpj.exe"]}
    assert library.rendition_paths() == {}
    assert any(f"1 files below {home}" in said for said in result.elsewhere)


def test_a_key_is_its_bytes() -> None:
    assert [to_path(from_path(name)) for name in ODD_NAMES] == ODD_NAMES
