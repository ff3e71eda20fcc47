from pathlib import Path

import pytest

from image_assets.engine.doctor import (
    Finding,
    codec_findings,
    diagnose,
    disk_finding,
    format_findings,
    handle_finding,
    memory_finding,
    plugin_findings,
)
from image_assets.engine.pixels.codecs import codec_versions
from image_assets.engine.planning.machine import Machine
from image_assets.engine.planning.plan import make_plan
from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings

ALL = {
    "pillow": "13.0",
    "svt": "4.1",
    "aom": "3.14",
    "libwebp": "1.6",
    "libjpeg_turbo": "3.1",
    "littlecms": "2.17",
}


def findings(**without: bool) -> dict[str, Finding]:
    """What is found where the named codecs are missing."""
    codecs = {name: version for name, version in ALL.items() if name not in without}
    return {finding.name: finding for finding in codec_findings(codecs)}


def test_with_every_codec_all_is_well() -> None:
    found = findings()
    assert {finding.status for finding in found.values()} == {"ok"}
    assert found["avif"].value == "SVT-AV1 4.1, aom 3.14"
    assert {"avif", "webp", "jpeg", "colour", "pillow"} == set(found)


def test_without_svt_aom_takes_its_place_at_a_price() -> None:
    finding = findings(svt=True)["avif"]
    assert finding.status == "warning"
    assert "aom 3.14 takes the place" in finding.value
    assert "pillow-avif-plugin" in finding.advice


def test_without_aom_some_images_fail() -> None:
    found = findings(aom=True)
    assert found["avif"].status == "ok"
    assert found["avif fallback"].status == "problem"
    assert found["avif fallback"].advice


def test_without_any_avif_encoder_avif_cannot_be_made() -> None:
    finding = findings(svt=True, aom=True)["avif"]
    assert finding.status == "problem"
    assert "leave avif out of formats" in finding.advice


@pytest.mark.parametrize(
    ("codec", "name"), [("libwebp", "webp"), ("libjpeg_turbo", "jpeg"), ("littlecms", "colour")]
)
def test_a_missing_codec_of_pillows_is_a_problem_with_advice(codec: str, name: str) -> None:
    found = findings(**{codec: True})
    assert found[name].status == "problem"
    assert codec in found[name].value
    assert found[name].advice
    assert sum(finding.status != "ok" for finding in found.values()) == 1


def test_optional_formats_are_said_to_be_there_or_not_and_neither_is_wrong() -> None:
    there = {finding.name: finding for finding in plugin_findings({"HEIF": True, "JXL": True})}
    assert there["heic"].value.startswith("HEIC sources: read, pillow-heif ")
    assert there["jpeg xl"].value.startswith("JPEG XL sources and renditions: read and written, ")
    absent = {finding.name: finding for finding in plugin_findings({"HEIF": False, "JXL": False})}
    assert absent["heic"].value == "HEIC sources: not read; pip install 'image-assets[heic]'"
    assert absent["jpeg xl"].value == (
        "JPEG XL sources and renditions: not read or written; pip install 'image-assets[jxl]'"
    )
    assert {finding.status for finding in (*there.values(), *absent.values())} == {"ok"}


def test_a_format_of_the_settings_that_nothing_makes_is_a_problem() -> None:
    assert format_findings(("avif", "webp", "jpeg"), ALL) == []
    [finding] = format_findings(("avif", "jxl"), ALL)
    assert (finding.name, finding.status) == ("format jxl", "problem")
    assert "image-assets[jxl]" in finding.advice


def test_a_settings_file_that_cannot_be_read_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("formats = [")
    monkeypatch.setenv("IMAGE_ASSETS_SETTINGS", str(path))
    finding = next(finding for finding in diagnose() if finding.name == "settings file")
    assert finding.status == "problem"
    assert "valid TOML" in finding.value
    assert "IMAGE_ASSETS_SETTINGS" in finding.advice


@pytest.mark.parametrize("available_bytes", [0, 100_000_000, 267_499_999])
def test_too_little_memory_is_a_problem_where_a_run_would_refuse_it(available_bytes: int) -> None:
    machine = Machine(2, 8_000_000_000, available_bytes)
    assert memory_finding(machine).status == "problem"
    assert "MB available" in memory_finding(machine).advice
    settings = load_settings(DEFAULT_SETTINGS_PATH)
    with pytest.raises(Exception, match="memory budget"):
        make_plan(resolve_preset("balanced", settings), machine, [1])


def test_enough_memory_is_well_where_a_run_would_take_it() -> None:
    machine = Machine(2, 8_000_000_000, 267_500_003)
    finding = memory_finding(machine)
    assert (finding.status, finding.advice) == ("ok", "")
    assert "0.3 GB available of 8.0 GB" in finding.value
    settings = load_settings(DEFAULT_SETTINGS_PATH)
    assert make_plan(resolve_preset("balanced", settings), machine, [1]).max_workers == 1


@pytest.mark.parametrize(
    ("free_bytes", "status"), [(999_999_999, "warning"), (1_000_000_000, "ok")]
)
def test_little_disk_is_a_warning(free_bytes: int, status: str) -> None:
    assert disk_finding(free_bytes).status == status
    assert bool(disk_finding(free_bytes).advice) == (status != "ok")


@pytest.mark.parametrize(("limit", "status"), [(64, "warning"), (255, "warning"), (256, "ok")])
def test_few_file_handles_are_a_warning(limit: int, status: str) -> None:
    assert handle_finding(limit).status == status
    assert ("ulimit -n" in handle_finding(limit).advice) == (status != "ok")


def test_a_diagnosis_looks_at_everything_and_gives_advice_for_all_that_is_not_well(
    tmp_path: Path,
) -> None:
    found = diagnose(tmp_path / "not made yet")
    names = [finding.name for finding in found]
    assert len(names) == len(set(names))
    assert {"python", "pillow", "avif", "webp", "jpeg", "cores", "memory", "disk"} < set(names)
    assert all(finding.advice for finding in found if finding.status != "ok")
    assert any(codec_versions()["libwebp"] in finding.value for finding in found)
