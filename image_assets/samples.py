"""Sample photographs for a first run: rendered, deterministic, varied as a camera roll is.

What varies is what breaks image pipelines: EXIF orientation, colour profiles, alpha, grey and CMYK,
progressive files, a picture smaller than any rendition, a position in the metadata, folders and
names with spaces and umlauts. How the pictures look is in `image_assets.sample_scenes`.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from PIL import ExifTags, Image, UnidentifiedImageError

from image_assets.engine.pixels.profiles import display_p3_profile

# Raised by every change to a picture: samples of an older version are rendered again.
SAMPLES_VERSION: Final = 1

# How stored pixels are turned from the upright picture, so that a viewer that obeys the EXIF
# orientation turns them back: the inverse of what `ImageOps.exif_transpose` does.
_STORED_FROM_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

_CUT_OUT: Final = "cut_out"
_MAKER: Final = "image_assets samples"  # in the metadata of every sample


@dataclass(frozen=True, slots=True)
class Sample:
    """One photograph of the set, upright.

    Attributes:
        key: Path below the folder of samples; the ending decides the file format.
        scene: What is on it, a name in `sample_scenes.SCENES` or `cut_out`.
        width_px: Width when upright.
        height_px: Height when upright.
        look: Which of the scene's lights or colours.
        orientation: EXIF orientation, 1 to 8; above 1 the stored pixels are turned.
        mode: Pillow mode of the file.
        display_p3: Whether the colours are Display P3, with the profile that says so.
        progressive: Whether a JPEG is progressive.
        located: Whether the metadata name a position, a camera and a copyright.
    """

    key: str
    scene: str
    width_px: int
    height_px: int
    look: int = 0
    orientation: int = 1
    mode: str = "RGB"
    display_p3: bool = False
    progressive: bool = False
    located: bool = False


# The first few show most of the variety, for whoever asks for few.
SAMPLES: Final[tuple[Sample, ...]] = (
    Sample("Alpine lake/morning calm.jpg", "lake", 2400, 1600, located=True),
    Sample("Alpine lake/from the shore.jpg", "lake", 1500, 2000, look=2, orientation=6),
    Sample("Küste/Abendlicht.jpg", "sea", 2400, 1600, display_p3=True, progressive=True),
    Sample("market/oranges.jpg", "fruit_bowl", 2400, 1600, look=1, display_p3=True),
    Sample("market/plum, cut out.png", _CUT_OUT, 1300, 1300, mode="RGBA"),
    Sample("forest/autumn.jpg", "forest", 2100, 1400, look=1, progressive=True),
    Sample("garden/dahlia.jpg", "dahlia", 1800, 1800),
    Sample("night/city lights.jpg", "lights", 2400, 1600),
    Sample("from above/islands.webp", "from_above", 2400, 1600, look=2),
    Sample("small/icon-sized.jpg", "mountains", 400, 300),
    Sample("forest/fog.jpg", "forest", 2100, 1400, look=2, mode="L"),
    Sample("market/printed page.jpg", "fruit_bowl", 1800, 1350, mode="CMYK"),
    Sample("Alpine lake/ridges.jpg", "mountains", 3000, 2000, look=1, progressive=True),
    Sample("night/milky way.jpg", "stars", 2100, 1400, orientation=3),
    Sample("Küste/panorama.jpg", "sea", 3200, 1066, look=1),
    Sample("from above/desert.jpg", "from_above", 2000, 2000, look=1),
    Sample("forest/tall.jpg", "forest", 1300, 1950, orientation=8),
    Sample(
        "garden/dahlia, mirrored.jpg", "dahlia", 2000, 1333, look=1, orientation=2, display_p3=True
    ),
    Sample("from above/delta.tif", "from_above", 1500, 1000),
    Sample("night/blue hour.png", "lights", 1500, 1000, look=1),
    Sample("Küste/grey day.webp", "sea", 2000, 1333, look=2),
    Sample("market/lemons.jpg", "fruit_bowl", 1500, 2000, look=2, orientation=5),
    Sample("Alpine lake/summit.jpg", "mountains", 2400, 1350, orientation=7, display_p3=True),
    Sample(
        "night/street corner.jpg", "lights", 1400, 2100, look=2, orientation=4, progressive=True
    ),
)


def make_samples(folder: Path, *, count: int = 24, seed: int = 20150101) -> list[Path]:
    """Render a set of sample photographs, or find it there already.

    The same `count`, `seed` and library versions give the same bytes. A file appears whole or not
    at all, so an interrupted call is completed by the next one, which renders only what is missing.

    Args:
        folder: Where they go, in sub-folders; made if absent. Other files in it are left alone.
        count: How many, at least 1. Beyond the 24 of the set, scenes return with new weather.
        seed: What the pictures vary with. Samples of another seed in the folder are replaced.

    Returns:
        Their paths, the same on every call, in the order of the set.

    Raises:
        ValueError: `count` is below 1.
        FileExistsError: A file that is no sample of ours has a sample's name.
    """
    if count < 1:
        raise ValueError(f"Expected a count of samples of at least 1, received {count}.")
    samples = [numbered(index) for index in range(count)]
    paths = [folder / sample.key for sample in samples]
    jobs = [
        (sample, path, seed + index)
        for index, (sample, path) in enumerate(zip(samples, paths, strict=True))
        if not _is_there(path, seed + index)
    ]
    if jobs:
        # Two: numpy and Pillow let go of the interpreter lock, and each holds up to 200 MB.
        with ThreadPoolExecutor(max_workers=2) as pool:
            list(pool.map(lambda job: _make(*job), jobs))
    return paths


def numbered(index: int) -> Sample:
    """The sample at this place: the set over and over, its names numbered from the second time."""
    sample = SAMPLES[index % len(SAMPLES)]
    again = index // len(SAMPLES)
    if again == 0:
        return sample
    stem, dot, ending = sample.key.rpartition(".")
    return replace(sample, key=f"{stem} {again + 1}{dot}{ending}")


def _signature(seed: int) -> str:
    """What a sample's metadata say made it."""
    return f"{_MAKER} {SAMPLES_VERSION}, seed {seed}"


def _is_there(path: Path, seed: int) -> bool:
    """Whether this very sample is there; one of another seed or version is not it."""
    try:
        with Image.open(path) as image:
            software = str(image.getexif().get(ExifTags.Base.Software, ""))
    except FileNotFoundError:
        return False
    except UnidentifiedImageError:
        software = ""
    if not software.startswith(_MAKER):
        raise FileExistsError(
            f"Expected a free name or a sample photograph at '{path}', received a file that "
            "`make_samples` did not write: move it, or name another folder."
        )
    return software == _signature(seed)


def _make(sample: Sample, path: Path, seed: int) -> None:
    """Render one sample and put it in place, whole."""
    from image_assets import sample_scenes  # numpy is wanted only where something is drawn

    if sample.scene == _CUT_OUT:
        image = sample_scenes.cut_out(sample.width_px, sample.height_px, seed=seed)
    else:
        image = sample_scenes.render(
            sample.scene, sample.width_px, sample.height_px, seed=seed, look=sample.look
        )
    image = image.convert(sample.mode)
    if sample.orientation != 1:
        image = image.transpose(_STORED_FROM_UPRIGHT[sample.orientation])

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _save(image, sample, file=file, seed=seed)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _save(image: Image.Image, sample: Sample, *, file: IO[bytes], seed: int) -> None:
    """Write the file format that the key's ending names."""
    exif = _exif(sample, seed)
    profile = display_p3_profile() if sample.display_p3 else None
    match sample.key.rpartition(".")[2]:
        case "jpg":
            image.save(
                file,
                "JPEG",
                quality=90,
                progressive=sample.progressive,
                exif=exif,
                icc_profile=profile,
            )
        case "png":
            image.save(file, "PNG", compress_level=4, exif=exif, icc_profile=profile)
        case "webp":
            image.save(file, "WEBP", quality=88, method=2, exif=exif, icc_profile=profile)
        case "tif":
            image.save(file, "TIFF", compression="tiff_lzw", exif=exif, icc_profile=profile)
        case ending:
            raise ValueError(f"Expected jpg, png, webp or tif, received '{ending}'.")


def _exif(sample: Sample, seed: int) -> Image.Exif:
    """Who made it, how it lies, and on one photograph where it was taken."""
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = _signature(seed)
    if sample.orientation != 1:
        exif[ExifTags.Base.Orientation] = sample.orientation
    if sample.located:
        exif[ExifTags.Base.Make] = "Procedural"
        exif[ExifTags.Base.Model] = "Sample camera"
        exif[ExifTags.Base.DateTime] = "2015:01:01 08:30:00"
        exif[ExifTags.Base.Artist] = "image_assets"
        exif[ExifTags.Base.Copyright] = "image_assets sample, CC0"
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                ExifTags.GPS.GPSLatitudeRef: "N",
                ExifTags.GPS.GPSLatitude: (46.0, 35.0, 12.0),
                ExifTags.GPS.GPSLongitudeRef: "E",
                ExifTags.GPS.GPSLongitude: (8.0, 0.0, 36.0),
            }
        )
    return exif


if __name__ == "__main__":
    make_samples(Path(sys.argv[1]))
