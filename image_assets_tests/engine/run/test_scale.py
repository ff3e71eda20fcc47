"""What may not grow with the number of images: counted, not timed."""

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from image_assets.engine.storage import tables
from image_assets.engine.storage.ledger import read_ledger
from image_assets.engine.storage.naming import table_folder
from image_assets_tests.libraries import DAY, Library
from image_assets_tests.photographs import save_photograph


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library.below(tmp_path)


@pytest.fixture
def piped_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the messages between this process and its workers, both ways."""
    sizes: list[int] = []
    receive, send = Connection._recv_bytes, Connection._send_bytes  # type: ignore[attr-defined]

    def counted_receive(self: Connection, *arguments: Any) -> Any:
        found = receive(self, *arguments)
        sizes.append(len(found.getbuffer()))
        return found

    def counted_send(self: Connection, data: Any) -> None:
        sizes.append(len(data))
        send(self, data)

    monkeypatch.setattr(Connection, "_recv_bytes", counted_receive)
    monkeypatch.setattr(Connection, "_send_bytes", counted_send)
    return sizes


def test_no_pixel_goes_through_a_pipe(library: Library, piped_bytes: list[int]) -> None:
    for index in range(4):
        save_photograph(library.source / f"{index}.jpg", (1500, 1000), seed=index)

    assert library.compress({"max_workers": 1}).counts.written == 24

    # Six rows with their names, digests and times; its pixels are 4.5 MB, its file 100 kB and more.
    assert sum(piped_bytes) / 4 < 12_000
    assert max(piped_bytes) < 12_000


def test_shards_leave_one_part_each_and_publishing_one_of_all(library: Library) -> None:
    library.fill(6)
    folder = library.output / table_folder("ledger", DAY)

    result = library.compress({"images_per_shard": 2, "max_workers": 1, "chunk_size": 1})

    assert result.counts.written == 36
    assert len(list(folder.glob("part-*"))) == 1
    (part,) = folder.glob("part-*")
    keys = tables.read(part, tables.LEDGER).column("source_key").to_pylist()
    assert keys == sorted(keys), "so that a shard finds its sources in few row groups"
    assert len(keys) == 36


def test_a_run_in_shards_comes_to_the_same_as_in_one(library: Library) -> None:
    library.fill(5)
    (library.source / "text.jpg").write_text("no picture")
    whole = library.compress({"max_workers": 1})
    ledger = read_ledger(library.output, DAY).rows
    again = library.compress({"images_per_shard": 2, "max_workers": 1})

    assert (again.counts.written, again.counts.skipped) == (0, 30)
    assert read_ledger(library.output, DAY).rows == ledger
    cells = ("format", "variant", "images", "source_bytes", "output_bytes", "rejected")
    assert [[row[name] for name in cells] for row in again.table] == [
        [row[name] for name in cells] for row in whole.table
    ]
    assert again.not_compressed == whole.not_compressed
    rows = library.rows(again).renditions.to_pylist()
    assert len({(row["source_key"], row["variant"], row["format"]) for row in rows}) == 36
