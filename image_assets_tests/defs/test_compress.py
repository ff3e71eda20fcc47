from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from image_assets.engine.planning.presets import PRESET_NAMES
from image_assets.engine.planning.settings import Settings, VariantSetting
from image_assets_tests.defs.library import (
    DAY,
    DayLibrary,
    draw_image,
    failure_sentence,
    materialised,
)

ALL_ASSETS = [
    "raw_images",
    "size_variants/thumbnail",
    "size_variants/full",
    "compressed/avif",
    "compressed/webp",
    "compressed/jpeg",
    "performance_statistics",
]


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_one_word_of_config_makes_everything(library: DayLibrary, preset: str) -> None:
    library.add_images(2)

    result = library.run({"preset": preset})

    assert result.success
    found = materialised(result)
    assert list(found) == ALL_ASSETS
    assert found["performance_statistics"]["preset"] == preset
    assert found["performance_statistics"]["written"] == 12
    assert library.renditions() == [
        f"photo {index}.jpg/{variant}.{extension}"
        for index in range(2)
        for variant in ("full", "thumbnail")
        for extension in ("avif", "jpg", "webp")
    ]


def test_no_config_at_all_is_the_default_preset(library: DayLibrary) -> None:
    library.add_images(1)

    found = materialised(library.run())

    assert found["performance_statistics"]["preset"] == "balanced"


def test_an_override_is_one_more_word(library: DayLibrary) -> None:
    library.add_images(1)

    found = materialised(library.run({"full_px": 160}))

    assert found["size_variants/full"]["longest_side_px"] == 160
    (record,) = found["size_variants/full"]["variants"].records
    assert (record.data["width_px"], record.data["height_px"]) == (160, 120)


def test_a_second_run_writes_nothing(library: DayLibrary) -> None:
    library.add_images(2)
    library.run()

    found = materialised(library.run())

    assert list(found) == ALL_ASSETS
    assert found["performance_statistics"]["written"] == 0
    assert found["performance_statistics"]["skipped"] == 12


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ([["compressed", "avif"]], ["full.avif", "thumbnail.avif"]),
        (
            [["compressed", "webp"], ["compressed", "jpeg"]],
            ["full.jpg", "full.webp", "thumbnail.jpg", "thumbnail.webp"],
        ),
        (
            [["size_variants", "full"], ["compressed", "avif"]],
            ["full.avif", "thumbnail.avif"],
        ),
        ([["raw_images"]], []),
    ],
)
def test_a_selection_writes_nothing_else(
    library: DayLibrary, selection: list[list[str]], names: list[str]
) -> None:
    library.add_images(1)

    result = library.run(selection=selection)

    assert result.success
    assert set(materialised(result)) == {"/".join(path) for path in selection}
    assert library.renditions() == [f"photo 0.jpg/{name}" for name in names]


def test_a_size_alone_has_no_files_and_keeps_its_table(library: DayLibrary) -> None:
    library.add_images(2)
    library.run()
    made = library.renditions()

    result = library.run(selection=[["size_variants", "full"]])

    assert result.success
    assert materialised(result)["size_variants/full"]["dagster/row_count"] == 2
    assert library.renditions() == made


def test_a_size_alone_with_masters_has_files(library: DayLibrary) -> None:
    library.add_images(1)

    result = library.run({"keep_masters": True}, selection=[["size_variants", "full"]])

    assert result.success
    assert library.renditions() == ["photo 0.jpg/full.master.webp"]
    assert materialised(result)["size_variants/full"]["dagster/row_count"] == 1


def test_a_job_over_fewer_assets_writes_only_theirs(library: DayLibrary) -> None:
    library.add_images(1)
    only_avif = dg.define_asset_job(
        "only_avif", selection=dg.AssetSelection.assets(["compressed", "avif"])
    )
    definitions = dg.Definitions.merge(library.definitions(), dg.Definitions(jobs=[only_avif]))

    result = definitions.resolve_job_def("only_avif").execute_in_process(
        instance=library.instance, partition_key=DAY
    )

    assert list(materialised(result)) == ["compressed/avif"]
    assert library.renditions() == ["photo 0.jpg/full.avif", "photo 0.jpg/thumbnail.avif"]


@pytest.mark.parametrize("selection", [None, [["compressed", "avif"]]])
@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            {"preset": "quality", "full_avif_quality": 140},
            "Expected quality between 1 and 100, received 140 "
            "(preset 'quality', full_avif_quality).",
        ),
        (
            {"full_px": 0},
            "Expected full_px between 1 and 16383, received 0 (preset 'balanced', full_px).",
        ),
    ],
)
def test_a_wrong_number_fails_in_one_sentence_before_any_image_is_read(
    library: DayLibrary,
    config: dict[str, Any],
    sentence: str,
    selection: list[list[str]] | None,
) -> None:
    library.add_images(1)

    result = library.run(config, selection=selection)

    assert not result.success
    assert failure_sentence(result) == sentence
    # Not even listed: no table, no ledger, no layout's record.
    assert not library.output.exists()


@pytest.mark.parametrize("config", [{"preset": "qualty"}, {"full_pixels": 10}, {"full_px": "10"}])
def test_a_wrong_word_is_refused_at_launch(library: DayLibrary, config: dict[str, Any]) -> None:
    library.add_images(1)

    with pytest.raises(dg.DagsterInvalidConfigError):
        library.run(config)

    assert not library.output.exists()


def test_wrong_folders_fail_in_one_sentence(library: DayLibrary) -> None:
    result = library.run()

    assert failure_sentence(result) == (
        f"Expected an existing source folder, received {str(library.source)!r} (source)."
    )


def test_a_day_without_a_folder_succeeds_with_no_images(library: DayLibrary) -> None:
    library.add_images(1)

    result = library.run(day="2026-03-02")

    assert result.success
    assert materialised(result)["performance_statistics"]["images"] == 0
    assert library.renditions("2026-03-02") == []


def test_a_bad_image_is_listed_and_stops_nothing(library: DayLibrary) -> None:
    library.add_images(1)
    (library.source / DAY / "notes.jpg").write_text("not an image")

    result = library.run({"rejected_share_max": 1})

    assert result.success
    found = materialised(result)
    (record,) = found["performance_statistics"]["not_compressed"].records
    assert record.data["source_key"] == "notes.jpg"
    assert record.data["reason"] == "not_an_image"
    assert found["raw_images"]["rejected"] == 1
    assert len(library.renditions()) == 6


def test_several_shards_make_what_one_makes(library: DayLibrary) -> None:
    library.add_images(3)

    result = library.run({"images_per_shard": 1})

    assert result.success
    assert materialised(result)["performance_statistics"]["written"] == 18
    steps = [event.step_key for event in result.get_step_success_events()]
    assert [step for step in steps if step and "compress_shard" in step] == [
        f"compress.compress_shard[shard_{index}]" for index in range(3)
    ]


def test_events_stay_few_whatever_the_number_of_images(library: DayLibrary) -> None:
    library.add_images(1)
    few = len(library.run().all_events)
    library.add_images(12)
    many = len(library.run().all_events)
    sharded = len(library.run({"images_per_shard": 4}).all_events)

    assert many == few
    assert few < 130
    # Thirteen images are four shards.
    assert sharded <= few + 3 * 10


def test_other_names_in_the_settings_are_other_assets(library: DayLibrary) -> None:
    library.settings = Settings(
        variants=(VariantSetting("hero", {"px": 64}),),
        formats=("webp",),
    )
    library.add_images(1)

    result = library.run({"hero_webp_quality": 50})

    assert result.success
    assert list(materialised(result)) == [
        "raw_images",
        "size_variants/hero",
        "compressed/webp",
        "performance_statistics",
    ]
    assert library.renditions() == ["photo 0.jpg/hero.webp"]


def test_a_folder_without_days_is_one_partition(library: DayLibrary, tmp_path: Path) -> None:
    draw_image(library.source / "holiday" / "beach.jpg")

    result = library.run(day="2026-03-02")

    # Recorded as the day of the first run, which is today and not the one that was asked for.
    assert result.success
    assert materialised(result)["raw_images"]["dagster/row_count"] == 0
