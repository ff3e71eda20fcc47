import hashlib
import io
from pathlib import Path

import pytest
from PIL import ExifTags, Image, ImageCms, ImageOps

from image_assets import sample_scenes
from image_assets.engine.pixels.profiles import display_p3_profile
from image_assets.samples import SAMPLES, Sample, make_samples, numbered


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole set, rendered once for this module; read only."""
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return folder


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.key)
def test_a_sample_is_what_the_set_says(folder: Path, sample: Sample) -> None:
    with Image.open(folder / sample.key) as image:
        image.load()
        assert image.mode == sample.mode
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == sample.orientation
        assert ("icc_profile" in image.info) == sample.display_p3
        assert bool(image.info.get("progressive")) == sample.progressive
        assert ImageOps.exif_transpose(image).size == (sample.width_px, sample.height_px)


def test_the_set_covers_what_breaks_pipelines() -> None:
    assert {sample.orientation for sample in SAMPLES} == set(range(1, 9))
    assert {sample.mode for sample in SAMPLES} == {"RGB", "RGBA", "L", "CMYK"}
    assert {Path(sample.key).suffix for sample in SAMPLES} == {".jpg", ".png", ".webp", ".tif"}
    assert any(" " in sample.key for sample in SAMPLES)
    assert not all(sample.key.isascii() for sample in SAMPLES)
    assert any(sample.width_px < 1024 and sample.height_px < 1024 for sample in SAMPLES)
    assert any(sample.width_px * sample.height_px == 6_000_000 for sample in SAMPLES)
    assert len({sample.key for sample in SAMPLES}) == len(SAMPLES) == 24


def test_the_set_fits_in_40_mb(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 40_000_000
    assert len(files) == len(SAMPLES), "nothing but the samples is left in the folder"


def test_the_transparent_sample_is_opaque_in_the_middle_and_clear_at_the_corner(
    folder: Path,
) -> None:
    with Image.open(folder / "market/plum, cut out.png") as image:
        alpha = image.getchannel("A")
    assert alpha.getpixel((alpha.width // 2, alpha.height // 2)) == 255
    assert alpha.getpixel((0, 0)) == 0


def test_one_sample_tells_where_it_was_taken_and_whose_it_is(folder: Path) -> None:
    with Image.open(folder / "Alpine lake/morning calm.jpg") as image:
        exif = image.getexif()
    assert exif[ExifTags.Base.Copyright] == "image_assets sample, CC0"
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.parametrize(
    "sample",
    [sample for sample in SAMPLES if sample.orientation != 1],
    ids=lambda sample: f"orientation {sample.orientation}",
)
def test_turned_samples_show_upright_what_was_drawn(folder: Path, sample: Sample) -> None:
    seed = 20150101 + SAMPLES.index(sample)
    drawn = sample_scenes.render(
        sample.scene, sample.width_px, sample.height_px, seed=seed, look=sample.look
    )
    with Image.open(folder / sample.key) as image:
        upright = ImageOps.exif_transpose(image)
    # At 8 × 8 px JPEG's own error is below 3 levels; any wrong turn is far off.
    small = [picture.resize((8, 8), Image.Resampling.BOX).tobytes() for picture in (drawn, upright)]
    assert max(abs(a - b) for a, b in zip(*small, strict=True)) <= 3


def test_the_profile_is_read_as_display_p3_by_littlecms() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(display_p3_profile()))
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
    assert profile.profile.xcolor_space.strip() == "RGB"
    # P3's red lies outside sRGB: it clips there. Its greys are sRGB's greys.
    to_srgb = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    assert _one_pixel(to_srgb, (200, 30, 30)) == pytest.approx((218, 0, 9), abs=3)
    assert _one_pixel(to_srgb, (128, 128, 128)) == pytest.approx((128, 128, 128), abs=1)


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = make_samples(tmp_path, count=3)
    assert [_digest(path) for path in again] == [
        _digest(folder / sample.key) for sample in SAMPLES[:3]
    ]


def test_another_seed_replaces_the_pictures_in_place(tmp_path: Path) -> None:
    (first,) = make_samples(tmp_path, count=1)
    before = _digest(first)
    (second,) = make_samples(tmp_path, count=1, seed=7)
    assert second == first
    assert _digest(second) != before


def test_a_complete_set_is_left_alone(folder: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [(str(path), path.stat().st_ino, path.stat().st_mtime_ns) for path in found]

    before = state()
    assert make_samples(folder) == [folder / sample.key for sample in SAMPLES]
    assert state() == before


def test_only_a_missing_sample_is_rendered_again(tmp_path: Path) -> None:
    first, second = make_samples(tmp_path, count=2)
    kept, lost = first.stat(), _digest(second)
    second.unlink()
    make_samples(tmp_path, count=2)
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    assert _digest(second) == lost


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_file_that_is_not_a_sample_is_never_overwritten(tmp_path: Path, content: bytes) -> None:
    own = tmp_path / SAMPLES[0].key
    own.parent.mkdir(parents=True)
    own.write_bytes(content)
    with pytest.raises(FileExistsError, match=r"morning calm\.jpg.*did not write"):
        make_samples(tmp_path, count=1)
    assert own.read_bytes() == content


def test_a_photograph_of_a_person_is_never_overwritten(tmp_path: Path) -> None:
    own = tmp_path / SAMPLES[0].key
    own.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(own)
    before = _digest(own)
    with pytest.raises(FileExistsError, match="did not write"):
        make_samples(tmp_path, count=1)
    assert _digest(own) == before


def test_beyond_the_set_samples_get_numbers() -> None:
    assert numbered(23) == SAMPLES[23]
    assert numbered(24).key == "Alpine lake/morning calm 2.jpg"
    assert len({numbered(index).key for index in range(100)}) == 100


def test_a_count_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1, received 0"):
        make_samples(tmp_path, count=0)
    assert list(tmp_path.iterdir()) == []


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _one_pixel(
    transform: ImageCms.ImageCmsTransform, colour: tuple[int, int, int]
) -> tuple[int, ...]:
    converted = ImageCms.applyTransform(Image.new("RGB", (1, 1), colour), transform)
    assert converted is not None
    return tuple(converted.tobytes())
