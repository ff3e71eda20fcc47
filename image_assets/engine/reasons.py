"""The closed list of reasons for which a source is not compressed.

``REJECTED`` reasons are the image's own and stay true until its bytes or the policy change;
``FAILED`` reasons are accidents that the next run tries again.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a source has no renditions."""

    # rejected: decided by the image's bytes
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    LINK = "link"
    NOT_A_FILE = "not_a_file"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_FRAMES = "too_many_frames"
    TOO_MANY_SCANS = "too_many_scans"
    FILE_TOO_LARGE = "file_too_large"
    NEEDS_TOO_MUCH_MEMORY = "needs_too_much_memory"
    UNSUPPORTED_PIXELS = "unsupported_pixels"
    # failed: an accident of this run
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    CHANGED_WHILE_READ = "changed_while_read"
    TIME_LIMIT = "time_limit"
    WORKER_DIED = "worker_died"
    OUT_OF_MEMORY = "out_of_memory"
    ENCODER_FAILED = "encoder_failed"
    DEFECT = "defect"
    UNWRITABLE = "unwritable"
    CODEC_MISSING = "codec_missing"


FAILED_REASONS = frozenset(
    {
        Reason.UNREADABLE,
        Reason.VANISHED,
        Reason.CHANGED_WHILE_READ,
        Reason.TIME_LIMIT,
        Reason.WORKER_DIED,
        Reason.OUT_OF_MEMORY,
        Reason.ENCODER_FAILED,
        Reason.DEFECT,
        Reason.UNWRITABLE,
        Reason.CODEC_MISSING,
    }
)

ATTEMPT_REASONS = frozenset(
    {
        Reason.TIME_LIMIT,
        Reason.WORKER_DIED,
        Reason.OUT_OF_MEMORY,
        Reason.ENCODER_FAILED,
        Reason.DEFECT,
    }
)
"""Accidents that are counted as attempts at an image, and end in its quarantine."""

NO_IMAGE_REASONS = frozenset({Reason.LINK, Reason.NOT_A_FILE})
"""What lies there is no file, so no image is lost: not counted in ``rejected_share``."""


class NotCompressedError(Exception):
    """One source cannot be compressed; becomes a row, never a failed run.

    Args:
        reason: From the closed list.
        message: One sentence for a person.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message

    @property
    def status(self) -> str:
        """``failed`` for accidents of this run, ``rejected`` for what the bytes decide."""
        return "failed" if self.reason in FAILED_REASONS else "rejected"
