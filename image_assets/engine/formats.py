"""The output formats: the one place where a format is registered.

Adding a format is adding an entry here and an encoder in `image_assets.engine.encode`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What planning and naming need to know of a format.

    Attributes:
        name: The name in settings, tables and asset keys.
        extension: File extension with its dot.
        description: One line for people.
        max_side_px: Longest side the format or its encoder can carry.
        carries_alpha: Whether transparency survives; else the background colour is used.
        carries_animation: Whether ``animation = "keep"`` writes moving pictures in it.
        carries_display_p3: Whether ``keep_display_p3`` holds for it.
        default_quality: On the format's own 1 to 100 scale, where neither preset nor settings say.
    """

    name: str
    extension: str
    description: str
    max_side_px: int
    carries_alpha: bool
    carries_animation: bool
    carries_display_p3: bool
    default_quality: int


OUTPUT_FORMATS: dict[str, OutputFormat] = {
    entry.name: entry
    for entry in (
        # 16,384 is where libavif's default size limit ends; 16,383 is 14 bits, WebP's own.
        OutputFormat(
            "avif",
            ".avif",
            "AVIF: smallest files, all current browsers",
            16_384,
            True,
            True,
            True,
            75,
        ),
        OutputFormat(
            "webp", ".webp", "WebP: small files, nearly all browsers", 16_383, True, True, True, 80
        ),
        OutputFormat("jpeg", ".jpg", "JPEG: read by everything", 65_500, False, False, False, 85),
    )
}
