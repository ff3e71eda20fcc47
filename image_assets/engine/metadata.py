"""What metadata a rendition keeps: copyright and creator, nothing else."""

from PIL import Image

_ARTIST_TAG = 0x013B
_COPYRIGHT_TAG = 0x8298


def kept_exif(image: Image.Image) -> bytes:
    """Return an EXIF block of the source's copyright and creator; empty where it states neither."""
    try:
        source = image.getexif()
        kept = {tag: source.get(tag) for tag in (_ARTIST_TAG, _COPYRIGHT_TAG)}
    except Exception:  # EXIF is parsed in Python: whatever breaks it, it is only metadata
        return b""
    block = Image.Exif()
    for tag, value in kept.items():
        if isinstance(value, str) and value.strip():
            # Pillow reads EXIF text as Latin-1 and would write it as ASCII with question marks: as
            # bytes it stays what the source has, UTF-8 too.
            block[tag] = value.encode("latin-1", errors="replace")
    return block.tobytes() if len(block) else b""
