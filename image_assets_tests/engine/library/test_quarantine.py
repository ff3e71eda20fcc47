import shutil
from pathlib import Path
from typing import Any

import pytest

from image_assets.cli import main
from image_assets.engine.errors import PartitionBusyError, SettingError
from image_assets.engine.library.quarantine import (
    counted,
    is_attempt,
    list_suspects,
    retry,
    suspects_of,
)
from image_assets.engine.planning.presets import resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings
from image_assets.engine.run.result import NotCompressed, PartitionResult
from image_assets.engine.storage.lease import hold_lease
from image_assets.engine.storage.ledger import read_ledger
from image_assets_tests.faulty_decoders import CRASHES, EATS_MEMORY, HANGS, make_decoders_faulty
from image_assets_tests.libraries import DAY, Library
from image_assets_tests.photographs import save_photograph

CRASH = "crash =cmd|' /C calc'!A0.jpg"
SETTINGS: dict[str, object] = {"max_workers": 1, "quarantine_attempts": 2}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Two good photographs and one whose decoder crashes."""
    make_decoders_faulty(monkeypatch, tmp_path)
    found = Library.below(tmp_path)
    found.fill(2)
    save_photograph(found.source / CRASH, (CRASHES, 60))
    return found


def bad_of(result: PartitionResult) -> dict[str, NotCompressed]:
    return {bad.source_key: bad for bad in result.not_compressed}


def test_crash_hang_and_greed_cost_their_image_alone_and_are_told_apart(library: Library) -> None:
    save_photograph(library.source / "hang.jpg", (HANGS, 60))
    save_photograph(library.source / "greed.jpg", (EATS_MEMORY, 60))

    result = library.compress(
        {"max_workers": 2, "image_time_limit_s": 2.0, "memory_budget_bytes": 400_000_000}
    )

    bad = bad_of(result)
    assert {key: (found.status, found.reason) for key, found in bad.items()} == {
        CRASH: ("failed", "worker_died"),
        "hang.jpg": ("failed", "time_limit"),
        "greed.jpg": ("failed", "out_of_memory"),
    }
    assert "SIGSEGV" in bad[CRASH].message
    assert "at most 2 s" in bad["hang.jpg"].message
    assert "MB" in bad["greed.jpg"].message
    assert (result.counts.written, result.counts.failed, result.counts.quarantined) == (12, 3, 0)
    hashes = {
        row["source_key"]: row["source_sha256"]
        for row in library.rows(result).renditions.to_pylist()
    }
    assert all(len(sha256) == 64 for sha256 in hashes.values()), "of the dead one by the parent"


def test_an_image_that_hangs_is_the_verdict_and_no_slow_start_of_workers(
    library: Library,
) -> None:
    (library.source / CRASH).unlink()
    save_photograph(library.source / "hang.jpg", (HANGS, 60))

    result = library.compress({"max_workers": 1, "image_time_limit_s": 3.0})

    assert result.verdict.name == "time_limit", result.verdict.sentence
    assert result.verdict.sentence.startswith("1 images that came to no end within 3 s")


def test_after_so_many_attempts_it_is_held_and_no_worker_has_it_again(library: Library) -> None:
    first, second, third = (library.compress(SETTINGS) for _ in range(3))

    assert [bad_of(result)[CRASH].attempts for result in (first, second, third)] == [1, 2, 2]
    assert [result.counts.quarantined for result in (first, second, third)] == [0, 1, 1]
    assert [result.counts.failed for result in (first, second, third)] == [1, 1, 1]
    assert library.rows(third).sources.num_rows == 0, "no worker had anything to do"
    assert third.peak_memory_bytes == 0, "none was even started"
    message = bad_of(third)[CRASH].message
    assert "SIGSEGV" in message
    assert "Held in quarantine after 2 attempts" in message
    assert "quarantine --retry" in message
    assert bad_of(third)[CRASH].reason == "worker_died"


def _hold(library: Library) -> None:
    for _ in range(2):
        library.compress(SETTINGS)


def test_other_bytes_release_it_and_a_new_date_alone_does_not(library: Library) -> None:
    _hold(library)
    path = library.source / CRASH
    path.touch()
    assert bad_of(library.compress(SETTINGS))[CRASH].attempts == 2, "held: the hash decides"
    save_photograph(path, (CRASHES, 60), seed=5)
    assert bad_of(library.compress(SETTINGS))[CRASH].attempts == 1, "tried: other bytes"
    save_photograph(path, (48, 32), seed=6)
    result = library.compress(SETTINGS)
    assert (result.counts.written, result.not_compressed) == (6, [])
    assert suspects_of(library.output, DAY, 1) == [], "what is made has no attempts"


@pytest.mark.parametrize(
    "setting",
    [{"full_jpeg_quality": 50}, {"image_time_limit_s": 60.0}, {"memory_budget_bytes": 900_000_000}],
)
def test_another_setting_or_limit_releases_it(library: Library, setting: dict[str, object]) -> None:
    _hold(library)
    bad = bad_of(library.compress({**SETTINGS, **setting}))[CRASH]
    # Of one changed rendition only that one is tried; the others are held as before.
    assert bad.attempts == (2 if "full_jpeg_quality" in setting else 1)
    rows = read_ledger(library.output, DAY).attempts
    assert rows[CRASH, "full", "jpeg"]["attempts"] == 1


def test_more_attempts_may_be_allowed(library: Library) -> None:
    _hold(library)
    result = library.compress({**SETTINGS, "quarantine_attempts": 3})
    assert bad_of(result)[CRASH].attempts == 3


def test_a_mended_decoder_finds_it_when_it_is_retried(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hold(library)
    monkeypatch.delenv("PYTHONPATH")
    assert library.compress(SETTINGS).counts.quarantined == 1, "nothing says that it is mended"
    [cleared] = retry(library.output, None, [CRASH], "retry-1")
    assert cleared.source_key == CRASH
    result = library.compress(SETTINGS)
    assert (result.counts.written, result.counts.skipped, result.counts.failed) == (6, 12, 0)


def test_renditions_of_before_stay_known_while_a_new_recipe_crashes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    library.compress(SETTINGS)
    before = library.rendition_bytes()
    monkeypatch.undo()
    make_decoders_faulty(monkeypatch, library.source.parent)
    other = {**SETTINGS, "full_avif_quality": 40}
    for _ in range(3):
        result = library.compress(other)
    assert result.counts.quarantined == 1
    assert (CRASH, "full", "avif") in read_ledger(library.output, DAY).rows
    assert library.rendition_bytes()[f"{CRASH}/full.avif"] == before[f"{CRASH}/full.avif"]
    # And with the old recipe they are current without work.
    back = library.compress(SETTINGS)
    assert (back.counts.failed, back.counts.written) == (0, 2)


def test_the_ledger_keeps_attempts_through_compaction_and_counts_none_twice(
    library: Library,
) -> None:
    for _ in range(4):
        library.compress({**SETTINGS, "quarantine_attempts": 100})
    folder = library.output / "tables" / "ledger" / DAY
    [part] = folder.glob("part-*.parquet")
    attempts = read_ledger(library.output, DAY).attempts
    assert {row["attempts"] for row in attempts.values()} == {4}
    assert len(attempts) == 6
    # A run that was killed between writing the compacted part and removing the old ones.
    shutil.copy(part, folder / part.name.replace("part-0", "part-1"))
    again = read_ledger(library.output, DAY).attempts
    assert {row["attempts"] for row in again.values()} == {4}


def test_suspects_are_listed_with_what_a_person_asks(library: Library) -> None:
    result = library.compress(SETTINGS)
    [suspect] = list_suspects(library.output, DAY, [], 2)
    assert (suspect.partition_key, suspect.source_key, suspect.reason) == (
        DAY,
        CRASH,
        "worker_died",
    )
    assert (suspect.attempts, suspect.held, suspect.since_run) == (1, False, result.run_id)
    assert len(suspect.renditions) == 6
    library.compress(SETTINGS)
    [suspect] = list_suspects(library.output, None, [CRASH], 2)
    assert (suspect.attempts, suspect.held, suspect.since_run) == (2, True, result.run_id)


def test_a_source_is_found_by_its_key_its_raw_name_and_the_path_of_the_original(
    library: Library,
) -> None:
    raw = b"caf\xe9 100%\n.jpg".decode("utf-8", "surrogateescape")
    save_photograph(library.source / "trip" / raw, (CRASHES, 60))
    library.compress(SETTINGS)
    key = "trip/caf%E9 100%25%0A.jpg"
    for spelled in (key, f"trip/{raw}", str(library.source / "trip" / raw)):
        [suspect] = list_suspects(library.output, None, [spelled], 2)
        assert suspect.source_key == key


def test_an_unknown_source_partition_or_output_is_a_wrong_setting(
    library: Library, tmp_path: Path
) -> None:
    library.compress(SETTINGS)
    with pytest.raises(SettingError, match=r"00\.jpg"):
        list_suspects(library.output, None, ["00.jpg"], 2)
    with pytest.raises(SettingError, match="1999-01-01"):
        list_suspects(library.output, "1999-01-01", [], 2)
    with pytest.raises(SettingError, match="nowhere"):
        list_suspects(tmp_path / "nowhere", None, [], 2)


def test_a_retry_waits_for_no_run_and_says_so(library: Library) -> None:
    library.compress(SETTINGS)
    with hold_lease(library.output, DAY, "another", 0.0), pytest.raises(PartitionBusyError):
        retry(library.output, None, [], "retry-1")


def test_a_source_is_found_by_its_name_as_it_is_printed(library: Library) -> None:
    turned = "crash\u202egpj.exe"
    (library.source / CRASH).rename(library.source / turned)
    _hold(library)

    for name in (turned, "crash\\u202egpj.exe"):
        [suspect] = list_suspects(library.output, None, [name], 2)
        assert suspect.source_key == turned


def test_the_output_is_named_by_the_environment_or_must_be_given(
    library: Library, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _hold(library)
    monkeypatch.setenv("IMAGE_ASSETS_OUTPUT", str(library.output))
    assert main(["quarantine"]) == 0
    assert CRASH in capsys.readouterr().out
    assert main(["forget", CRASH]) == 0
    capsys.readouterr()
    assert main(["quarantine"]) == 0
    assert CRASH not in capsys.readouterr().out
    monkeypatch.delenv("IMAGE_ASSETS_OUTPUT")
    with pytest.raises(SystemExit) as caught:
        main(["quarantine"])
    assert caught.value.code == 2
    assert "--output" in capsys.readouterr().err


def test_the_command_lists_and_retries(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    _hold(library)
    arguments = ["quarantine", "--output", str(library.output), "--attempts", "2"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"held   {DAY}  {CRASH}" in printed
    assert "worker_died, 2 attempts since run" in printed
    assert "1 sources held in quarantine, 0 on their way there." in printed
    assert main([*arguments, "nobody.jpg"]) == 2
    assert "nobody.jpg" in capsys.readouterr().err
    assert main([*arguments, "--retry", CRASH]) == 0
    assert "1 sources are tried again" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "0 sources held" in capsys.readouterr().out
    assert main(["quarantine", "--output", "/nowhere"]) == 2


ROW: dict[str, Any] = {
    "status": "failed",
    "reason": "worker_died",
    "source_sha256": "ab" * 32,
    "recipe_digest": "cd" * 8,
}


@pytest.mark.parametrize(
    ("change", "is_one"),
    [
        ({}, True),
        ({"reason": "encoder_failed"}, True),
        ({"reason": "vanished"}, False),
        ({"reason": "codec_missing"}, False),
        ({"source_sha256": None}, False),
        ({"status": "rejected", "reason": "truncated"}, False),
    ],
)
def test_an_attempt_is_what_ended_a_worker_on_known_bytes(
    change: dict[str, object], is_one: bool
) -> None:
    assert is_attempt({**ROW, **change}) is is_one


def test_attempts_are_counted_on_only_for_the_same_bytes_and_settings() -> None:
    settings = load_settings(DEFAULT_SETTINGS_PATH)
    preset = resolve_preset("balanced", settings)
    first = counted(ROW, None, preset, "run-1")
    second = counted(ROW, first, preset, "run-2")
    assert (first["attempts"], second["attempts"]) == (1, 2)
    assert second["failing_since_run"] == "run-1"
    other = counted({**ROW, "source_sha256": "ef" * 32}, second, preset, "run-3")
    assert (other["attempts"], other["failing_since_run"]) == (1, "run-3")
    longer = resolve_preset("balanced", settings, {"image_time_limit_s": 99.0})
    assert counted(ROW, second, longer, "run-4")["attempts"] == 1
