"""Day-partitioned web renditions of a photograph library, remembered and measured.

``image_assets.compress_folder`` compresses a folder from Python without Dagster; the Dagster
definitions are in ``image_assets.definitions``. This module imports nothing, because every worker
process imports it: names are resolved on first use.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from image_assets.engine.api import FolderResult, compress_folder
    from image_assets.engine.errors import ImageAssetsError, RunError, SettingError

__version__ = "0.1.0"

__all__ = [
    "FolderResult",
    "ImageAssetsError",
    "RunError",
    "SettingError",
    "__version__",
    "compress_folder",
]

_HOMES = {
    "compress_folder": "image_assets.engine.api",
    "FolderResult": "image_assets.engine.api",
    "ImageAssetsError": "image_assets.engine.errors",
    "RunError": "image_assets.engine.errors",
    "SettingError": "image_assets.engine.errors",
}


def __getattr__(name: str) -> Any:
    """Resolve a public name on first use, so that importing the package costs nothing."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(home), name)
