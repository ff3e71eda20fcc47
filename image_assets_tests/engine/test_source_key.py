import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.source_key import from_path, is_safe, to_path

# Any name that a file system may hold, as the operating system spells it.
PATHS = st.binary(min_size=1, max_size=30).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)


@given(PATHS)
def test_a_key_is_reversible(path: str) -> None:
    assert to_path(from_path(path)) == path


@given(PATHS)
def test_a_key_is_inert(path: str) -> None:
    key = from_path(path)
    assert key.encode().decode() == key, "it is valid UTF-8, which parquet and JSON demand"
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in key)


@given(PATHS)
def test_a_key_keeps_its_folders(path: str) -> None:
    assert from_path(path).count("/") == path.count("/")


@given(PATHS, PATHS)
def test_two_paths_never_share_a_key(one: str, other: str) -> None:
    assert (from_path(one) == from_path(other)) == (one == other)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("Ørsted/søndag 1.jpg", "Ørsted/søndag 1.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("100%25.jpg", "100%2525.jpg"),
        ("a\nb\x7f.jpg", "a%0Ab%7F.jpg"),
        ("next\u0085line.jpg", "next%C2%85line.jpg"),
        (os.fsdecode(b"caf\xe9.jpg"), "caf%E9.jpg"),
        ('quote"\\back.jpg', 'quote"\\back.jpg'),
        ("😀.jpg", "😀.jpg"),
    ],
)
def test_only_what_tables_and_urls_refuse_is_escaped(path: str, key: str) -> None:
    assert from_path(path) == key


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/", "./a", "a/./b", "..", "a/../b"])
def test_keys_with_empty_or_dot_segments_are_unsafe(key: str) -> None:
    assert not is_safe(key)


@pytest.mark.parametrize("key", ["a", "a/b.jpg", "...", "a/..b", ".hidden", "a/. "])
def test_other_keys_are_safe(key: str) -> None:
    assert is_safe(key)
