"""Source keys: a source's path below its partition as inert, reversible text.

A key is a POSIX path in which bytes that are not UTF-8, control characters and ``%`` are ``%XX``,
because parquet, JSON and URLs refuse or reinterpret them.
"""

import os
import re
import unicodedata

_ESCAPED = re.compile(rb"%([0-9A-F]{2})")


def from_path(relative: str) -> str:
    """Return the source key of a relative path as the operating system spells it.

    Args:
        relative: Path below the partition, ``/``-separated; bytes that are not UTF-8 are
            surrogate-escaped, as `os.fsdecode` leaves them.
    """
    out: list[str] = []
    for character in relative:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"%{code - 0xDC00:02X}")
        elif character == "%" or unicodedata.category(character) == "Cc":
            out.extend(f"%{byte:02X}" for byte in character.encode())
        else:
            out.append(character)
    return "".join(out)


def to_path(source_key: str) -> str:
    """Return the relative path that `from_path` made into ``source_key``."""
    raw = _ESCAPED.sub(lambda m: bytes([int(m.group(1), 16)]), source_key.encode())
    return os.fsdecode(raw)


def is_safe(source_key: str) -> bool:
    """Tell whether no segment of the key is empty, ``.`` or ``..``."""
    return all(segment not in ("", ".", "..") for segment in source_key.split("/"))


def printable(text: str) -> str:
    """Return a sentence with names in it as one line that does nothing to a terminal or a reader.

    Control characters, line separators and marks that turn the direction of writing around become
    Python's escapes. For people only: a key is shown so, never stored.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
