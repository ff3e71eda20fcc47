"""Names that people, cameras and attackers give to files, through the whole engine."""

import json
import os
import subprocess
import unicodedata
from pathlib import Path
from typing import Final

import pytest

from image_assets.engine.library.catalogue import read_catalogue
from image_assets.engine.source_key import from_path, to_path
from image_assets.engine.storage.ledger import read_ledger
from image_assets_tests.libraries import DAY, FILES, Library
from image_assets_tests.photographs import encode_photograph
from image_assets_tests.processes import command, environment

NAMES: Final = {
    "spaces": b"a photo  of mine.jpg",
    "a newline": b"two\nlines.jpg",
    "a tab": b"tab\there.jpg",
    "a return": b"carriage\rreturn.jpg",
    "quotes": b'it\'s "quoted" `so`.jpg',
    "a shell's words": b"$(touch pwned);rm -rf ..;&&.jpg",
    "a leading dash": b"-rf.jpg",
    "an option": b"--output=x.jpg",
    "bytes that are not UTF-8": b"caf\xe9 \xff\xfe.jpg",
    "composed": unicodedata.normalize("NFC", "Zoë.jpg").encode(),
    "decomposed": unicodedata.normalize("NFD", "Zoë.jpg").encode(),
    "right-to-left marks": "invoice\u202egpj.exe\u200f.jpg".encode(),
    "emoji": "👩‍👩‍👧 🏳️‍🌈.jpg".encode(),
    "251 bytes": b"x" * 247 + b".jpg",
    "255 bytes": b"y" * 251 + b".jpg",
    "255 bytes that are not UTF-8": b"\xff" * 255,
    "another 255 bytes that are not UTF-8": b"\xff" * 254 + b"\xfe",
    "255 bytes of signs": ("é" * 125).encode() + b"z.jpg",
    "a trailing dot": b"dot.",
    "a trailing space": b"space ",
    "a device of DOS": b"CON",
    "two dots": b"..jpg",
    "three dots": b"...",
    "hidden": b".hidden.jpg",
    "a folder with an extension": b"dir.jpg/inside.jpg",
    "one stem": b"stem.png",
    "the same stem": b"stem.jpg",
    "no extension": b"stem",
    "one case": b"IMG_1.JPG",
    "the other case": b"img_1.jpg",
    "a formula": b"=cmd|' C calc'!A0.jpg",
    "another formula": b"@SUM(1+1)*cmd.jpg",
    "HTML": b"<img src=x onerror=alert(1)>.jpg",
    "rich's markup": b"[bold red]alarm[/][link=file:x].jpg",
    "Markdown": b"**bold** | cell [x](http:) .jpg",
    "per cent": b"100%25 %00.jpg",
    "an escape sequence": b"\x1b[31mred\x1b]0;title\x07.jpg",
    "a backslash": b"back\\slash.jpg",
    "a name of ours": b".full.avif.tmp",
    "a name like a key's": b"a%~0123456789abcdef.jpg",
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    found = Library.below(tmp_path)
    data = encode_photograph((24, 16))
    for name in NAMES.values():
        path = Path(os.fsdecode(os.fsencode(found.source) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    return found


def test_every_name_has_its_renditions_its_rows_and_its_way_back(library: Library) -> None:
    result = library.compress()

    assert (result.counts.images, result.not_compressed) == (len(NAMES), [])
    assert result.counts.written == len(NAMES) * len(FILES)
    rows = read_catalogue(library.output, DAY) or []
    assert {os.fsencode(to_path(row.source_key)) for row in rows} == set(NAMES.values())
    ledger = read_ledger(library.output, DAY)
    assert {key[0] for key in ledger.rows} == {row.source_key for row in rows}
    folders = {path.parent for path in library.rendition_paths().values()}
    assert len(folders) == len(NAMES), "no two share one"
    for row in rows:
        # What a table, a terminal or a page could take for more than text is gone from keys.
        assert not any(unicodedata.category(sign) == "Cc" for sign in row.source_key)
        assert json.loads(json.dumps(row.source_key)) == row.source_key
        row.source_key.encode()  # no bytes in disguise
        assert from_path(to_path(row.source_key)) == row.source_key
    assert not any(path.name == "pwned" for path in library.output.rglob("*"))
    # And nothing is made again.
    assert library.compress().counts.skipped == result.counts.written


HOSTILE: Final = (
    "a newline", "a return", "a shell's words", "bytes that are not UTF-8", "right-to-left marks",
    "a formula", "HTML", "rich's markup", "Markdown", "per cent", "an escape sequence",
)  # fmt: skip


def test_the_command_line_prints_hostile_names_as_text(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in HOSTILE:
        path = Path(os.fsdecode(os.fsencode(source) + b"/" + NAMES[name]))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no photograph")

    done = subprocess.run(
        command("compress", source, tmp_path / "output", "--json", tmp_path / "report.json"),
        env=environment({"FORCE_COLOR": "1"}),
        capture_output=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    printed = (done.stdout + done.stderr).decode()  # valid UTF-8, whatever the names
    assert "\x1b]0;title" not in printed
    assert "\x1b[31mred" not in printed
    assert "\u202e" not in printed, "no name turns the rest of its line around"
    assert printed.count("not_an_image") == len(HOSTILE), "a line each"
    assert "[bold red]alarm[/]" in printed
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    keys = {entry["source_key"] for entry in report["not_compressed"]}
    assert {os.fsencode(to_path(key)) for key in keys} == {NAMES[name] for name in HOSTILE}
