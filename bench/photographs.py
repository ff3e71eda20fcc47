"""Which photographs a measurement uses, and how they are prepared."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageCms, ImageOps

SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".webp"}

# A spread of the project's own corpus: two sharp CLIC scenes, two Kodak scans, three cameras.
PREFERRED: Final = (
    "clic_28d24b9c.png",
    "clic_9466a908.png",
    "kodim05.png",
    "kodim23.png",
    "nol_012mp-bus.jpg",
    "imm_japanese-shop.jpg",
    "11ty_exif-sample-large.jpg",
)


def list_photographs(folder: Path) -> list[Path]:
    """All photographs below `folder`, in a fixed order."""
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
    )


def pick_photographs(folder: Path, count: int) -> list[Path]:
    """`count` photographs of `folder`: the preferred ones first, then an even spread."""
    found = list_photographs(folder)
    if not found:
        raise SystemExit(f"Expected photographs in '{folder}', found none.")
    chosen = [path for path in found if path.name in PREFERRED][:count]
    rest = [path for path in found if path not in chosen]
    wanted = min(count - len(chosen), len(rest))
    chosen += [rest[index * len(rest) // wanted] for index in range(wanted)]
    return chosen


def to_srgb(image: Image.Image) -> Image.Image:
    """Upright, 8 bit, sRGB and without metadata: what an encoder is to be judged on."""
    icc_profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image)
    if upright.mode != "RGB":
        upright = upright.convert("RGB")
    if icc_profile:
        converted = ImageCms.profileToProfile(
            upright,
            ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
        upright = converted if converted is not None else upright
    clean = Image.new("RGB", upright.size)
    clean.paste(upright)
    return clean


def load_masters(paths: Sequence[Path], longest_px: int) -> dict[str, Image.Image]:
    """Each photograph decoded in full and brought below `longest_px` by LANCZOS."""
    masters = {}
    for path in paths:
        with Image.open(path) as opened:
            master = to_srgb(opened)
        scale = longest_px / max(master.size)
        if scale < 1:
            size = (max(1, round(master.width * scale)), max(1, round(master.height * scale)))
            master = master.resize(size, Image.Resampling.LANCZOS)
        masters[path.name] = master
    return masters
