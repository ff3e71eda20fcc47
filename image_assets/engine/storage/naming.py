"""Where things lie below the output folder."""

import hashlib

from image_assets.engine.pixels.formats import OUTPUT_FORMATS
from image_assets.engine.source_key import to_path

# File systems allow 255 bytes a segment; renditions add a dot and ``.tmp`` to their own names only.
_SEGMENT_MAX_BYTES = 255

TABLES = ("catalogue", "variants", "ledger", "outcomes", "performance")
LAYOUT_RECORD = "tables/layout.json"


def rendition_path(partition_key: str, source_key: str, variant: str, format_name: str) -> str:
    """Return a rendition's path below the output folder.

    It depends on nothing but its arguments, and no two sources share one.
    """
    extension = ".master.webp" if format_name == "master" else OUTPUT_FORMATS[format_name].extension
    return f"{rendition_folder(partition_key, source_key)}/{variant}{extension}"


def rendition_folder(partition_key: str, source_key: str) -> str:
    """Return the folder, below the output, of all renditions of a source."""
    segments = [_fit(segment) for segment in source_key.split("/")]
    return f"renditions/{partition_key}/{'/'.join(segments)}"


def _fit(segment: str) -> str:
    """Shorten a segment that escaping made too long, keeping it unlike any other."""
    encoded = segment.encode()
    if len(encoded) <= _SEGMENT_MAX_BYTES:
        return segment
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return encoded[:200].decode(errors="ignore") + "%~" + digest


def source_path(source_key: str) -> str:
    """Return a source's path below its partition's root, as the operating system spells it."""
    return to_path(source_key)


def table_folder(table: str, partition_key: str) -> str:
    """Return the folder, below the output, of a table's files for a partition."""
    return f"tables/{table}/{partition_key}"
