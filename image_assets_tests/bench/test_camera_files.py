from pathlib import Path

from PIL import Image

from bench import camera_files


def test_scenes_repeat_with_other_bytes_and_the_same_pixels(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    orientation = Image.Exif()
    orientation[0x0112] = 6
    Image.radial_gradient("L").resize((2000, 1500)).convert("RGB").save(
        photographs / "turned.jpg", exif=orientation
    )
    Image.new("RGB", (300, 200)).save(photographs / "too small.png")
    scenes = camera_files.scenes(photographs)
    assert [name for name, _ in scenes] == ["turned"]
    files = camera_files.fill(tmp_path / "files", scenes, 2)
    assert [path.name for path in files] == ["0000-turned.jpg", "0001-turned.jpg"]
    assert files[0].read_bytes() != files[1].read_bytes()
    with Image.open(files[0]) as first, Image.open(files[1]) as second:
        assert 11.9e6 < first.width * first.height < 12.1e6
        assert first.getexif()[0x0112] == 6
        assert first.tobytes() == second.tobytes()
