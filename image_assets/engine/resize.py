"""Sizes of variants, and the resize itself. Never enlarged."""

from PIL import Image


def variant_size(width_px: int, height_px: int, px: int) -> tuple[int, int]:
    """Return the size of a variant of an upright image: longest side ``px``, at least 1 pixel.

    Args:
        width_px: Upright width of the source.
        height_px: Upright height of the source.
        px: Longest side of the variant; a smaller source keeps its size.
    """
    longest = max(width_px, height_px)
    if longest <= px:
        return width_px, height_px
    scale = px / longest
    return max(1, round(width_px * scale)), max(1, round(height_px * scale))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize with LANCZOS; alpha is premultiplied meanwhile, so that edges get no halo."""
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS)
