from pathlib import Path

import pytest

from image_assets.engine.errors import SettingError
from image_assets.engine.planning.settings import SETTINGS_VARIABLE, VariantSetting, load_settings

GOOD = 'formats = ["avif"]\n[variants.full]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_packaged_file_makes_two_sizes_in_three_formats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(SETTINGS_VARIABLE, raising=False)
    settings = load_settings()
    assert settings.variant_names == ("thumbnail", "full")
    assert settings.formats == ("avif", "webp", "jpeg")
    assert all(not variant.numbers for variant in settings.variants)


def test_the_environment_names_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTINGS_VARIABLE, str(write(tmp_path, GOOD)))
    assert load_settings().variant_names == ("full",)


def test_a_path_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTINGS_VARIABLE, str(tmp_path / "missing.toml"))
    assert load_settings(write(tmp_path, GOOD)).formats == ("avif",)


def test_order_and_numbers_are_the_files(tmp_path: Path) -> None:
    text = (
        'formats = ["jpeg", "avif"]\n[variants.hero]\npx = 1600\njpeg_quality = 88\n'
        "[variants.full]\n"
    )
    settings = load_settings(write(tmp_path, text))
    assert settings.formats == ("jpeg", "avif")
    assert settings.variants == (
        VariantSetting("hero", {"px": 1600, "jpeg_quality": 88}),
        VariantSetting("full", {}),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('size = 1\nformats = ["avif"]', "Expected only 'formats' and 'variants', received 'size'"),
        ("[variants.full]", "Expected a list of different formats of avif, webp, jpeg"),
        ("formats = []\n[variants.full]", "Expected a list of different formats"),
        ('formats = "avif"\n[variants.full]', "Expected a list of different formats"),
        ('formats = ["avif", "avif"]\n[variants.full]', "Expected a list of different formats"),
        (
            'formats = ["gif"]\n[variants.full]',
            "Expected a format of avif, webp, jpeg, jxl, received",
        ),
        ('formats = [["avif"]]\n[variants.full]', "Expected a format of avif, webp, jpeg"),
        ('formats = ["avif"]', "Expected at least one [variants.<name>] table, received None"),
        ('formats = ["avif"]\nvariants = 3', "Expected at least one [variants.<name>] table"),
        ('formats = ["avif"]\n[variants]\nfull = 3', "Expected a table, received 3"),
        ('formats = ["avif"]\n[variants.Full]', "lower-case letters, digits and underscores"),
        ('formats = ["avif"]\n[variants."a/b"]', "lower-case letters, digits and underscores"),
        (
            GOOD + "width = 3",
            "Expected a key of px, animation, avif_quality, webp_quality, jpeg_quality",
        ),
        (GOOD + 'px = "1600"', "Expected a whole number, received '1600'"),
        (GOOD + "px = true", "Expected a whole number, received True"),
        (GOOD + "px = 16.5", "Expected a whole number, received 16.5"),
        ("formats = [", "Expected valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence_that_names_it(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(write(tmp_path, text))
    assert sentence in str(caught.value)
    assert "settings.toml" in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match="Expected valid TOML"):
        load_settings(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(SettingError, match="Expected a readable settings file") as caught:
            load_settings(path)
        assert str(path) in str(caught.value)
