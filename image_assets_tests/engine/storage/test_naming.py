import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.source_key import from_path
from image_assets.engine.storage.naming import (
    rendition_folder,
    rendition_path,
    source_path,
    table_folder,
)
from image_assets.engine.storage.store import LocalStore

DAY = "2015-01-02"

# Segments as a file system may hold them: up to 255 bytes, some of which need escaping. Few
# different bytes, so that names come out alike.
SEGMENTS = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.builds(
        lambda head, byte, tail: (head + byte * 255)[: 255 - len(tail)] + tail,
        st.sampled_from([b"", b"a"]),
        st.sampled_from([b"a", b"%", b"\xff", "é".encode()]),
        st.sampled_from([b"", b"%", b"x", b"~"]),
    ),
).filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b".."))
KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map(
    lambda segments: from_path(os.fsdecode(b"/".join(segments)))
)
VARIANTS = st.sampled_from(["full", "thumbnail"])
FORMATS = st.sampled_from(["avif", "webp", "jpeg", "master"])


def test_a_rendition_lies_below_its_sources_own_name() -> None:
    assert rendition_path(DAY, "a/b.jpg", "full", "jpeg") == f"renditions/{DAY}/a/b.jpg/full.jpg"
    assert rendition_path(DAY, "b.png", "full", "avif") == f"renditions/{DAY}/b.png/full.avif"
    assert rendition_path(DAY, "b.png", "full", "webp") == f"renditions/{DAY}/b.png/full.webp"
    assert table_folder("ledger", DAY) == f"tables/ledger/{DAY}"


def test_a_lossless_master_is_not_the_webp_rendition() -> None:
    assert rendition_path(DAY, "a", "full", "master") == f"renditions/{DAY}/a/full.master.webp"


@given(KEYS, KEYS, VARIANTS, VARIANTS, FORMATS, FORMATS)
def test_no_two_renditions_share_a_path(
    key: str, other: str, variant: str, other_variant: str, name: str, other_name: str
) -> None:
    same = (key, variant, name) == (other, other_variant, other_name)
    path = rendition_path(DAY, key, variant, name)
    assert (path == rendition_path(DAY, other, other_variant, other_name)) == same


@given(KEYS)
def test_every_segment_fits_a_file_system(key: str) -> None:
    folder = rendition_folder(DAY, key)
    assert all(0 < len(segment.encode()) <= 255 for segment in folder.split("/"))
    assert folder.count("/") == key.count("/") + 2


@given(KEYS)
def test_a_source_is_found_again_by_its_key(key: str) -> None:
    assert from_path(source_path(key)) == key


@pytest.mark.parametrize("name", [b"%" * 255, b"\xff" * 255, "é".encode() * 127, b"a" * 255])
def test_the_longest_names_can_be_written(tmp_path: Path, name: bytes) -> None:
    # 255 bytes are the most that a segment may have; escaped they are up to 765.
    key = from_path(os.fsdecode(name))
    path = rendition_path(DAY, key, "thumbnail", "master")
    LocalStore(tmp_path).publish(path, b"picture")
    assert (tmp_path / path).read_bytes() == b"picture"


def test_long_names_that_differ_at_the_end_only_stay_apart() -> None:
    one, other = (rendition_folder(DAY, from_path("%" * 250 + end)) for end in ("a", "b"))
    assert one != other
