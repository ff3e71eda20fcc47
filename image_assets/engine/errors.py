"""The errors a person meets, in one shape: what was expected, what came, where."""


class ImageAssetsError(Exception):
    """Base of all errors raised on purpose by this package. The message is one sentence."""


class SettingError(ImageAssetsError):
    """A setting is wrong. Nothing was read, written or started."""


class RunError(ImageAssetsError):
    """The machine could not complete the run (disk, permission, memory). Finished work is kept."""


class PartitionBusyError(RunError):
    """Another run holds the lease of this partition."""


def expected(what: str, received: object, where: str) -> str:
    """Word an error: ``Expected <what>, received <received> (<where>).``.

    Args:
        what: What would have been right, with its range and unit.
        received: The value that came.
        where: The setting, file or place, for example ``preset 'quality', full_avif_quality``.
    """
    return f"Expected {what}, received {received!r} ({where})."
