import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.errors import SettingError
from image_assets.engine.planning.machine import Machine
from image_assets.engine.planning.plan import (
    IMAGE_MIN_BYTES,
    PARENT_BASE_BYTES,
    PARENT_GROWTH_BYTES,
    WORKER_BASE_BYTES,
    Plan,
    cut_into_chunks,
    make_plan,
)
from image_assets.engine.planning.presets import PRESET_NAMES, resolve_preset
from image_assets.engine.planning.settings import DEFAULT_SETTINGS_PATH, load_settings

SETTINGS = load_settings(DEFAULT_SETTINGS_PATH)
GB = 1_000_000_000
LEAST_BYTES = PARENT_BASE_BYTES + WORKER_BASE_BYTES + IMAGE_MIN_BYTES


def plan_for(
    preset: str = "balanced",
    *,
    images: int | None = 100,
    size_bytes: int = 4_000_000,
    cores: int = 8,
    available_bytes: int = 16 * GB,
    **overrides: object,
) -> Plan:
    return make_plan(
        resolve_preset(preset, SETTINGS, overrides),
        Machine(cores, 32 * GB, available_bytes),
        None if images is None else [size_bytes] * images,
    )


@pytest.mark.parametrize(
    ("images", "cores", "workers"),
    [
        (1, 8, 2),
        (9, 8, 2),
        (10, 8, 4),
        (49, 8, 4),
        (49, 3, 3),
        (50, 8, 8),
        (50, 16, 8),
        (50, 2, 2),
        (5_000, 1, 1),
        (None, 8, 4),
        (None, 2, 2),
    ],
)
def test_balanced_takes_workers_by_image_count_and_cores(
    images: int | None, cores: int, workers: int
) -> None:
    assert plan_for(images=images, cores=cores).max_workers == workers


@pytest.mark.parametrize(
    ("preset", "cores", "workers", "chunk_size"),
    [
        ("throughput", 16, 8, 20),
        ("throughput", 2, 2, 20),
        ("quality", 16, 4, 10),
        ("memory_efficient", 16, 2, 5),
        ("memory_efficient", 1, 1, 5),
    ],
)
def test_the_other_presets_take_the_guides_workers_and_chunks(
    preset: str, cores: int, workers: int, chunk_size: int
) -> None:
    plan = plan_for(preset, images=5_000, cores=cores)
    assert (plan.max_workers, plan.chunk_size) == (workers, chunk_size)


def test_a_chunk_is_what_80_pct_of_memory_holds_at_twice_the_mean_image() -> None:
    # int(0.8 x 1 GB / (2 x 100 MB)) = 4
    plan = plan_for(images=1_000, size_bytes=100_000_000, available_bytes=GB)
    assert plan.chunk_size == 4
    # and never less than one image
    assert plan_for(images=1_000, size_bytes=900_000_000, available_bytes=GB).chunk_size == 1


def test_a_chunk_has_at_most_200_images() -> None:
    assert plan_for(images=100_000, size_bytes=1_000).chunk_size == 200
    assert plan_for(images=None).chunk_size == 200


def test_few_images_are_cut_so_that_every_worker_gets_four_chunks() -> None:
    # 64 images, 8 workers: 32 chunks of 2, though the preset says 20
    plan = plan_for("throughput", images=64, cores=8)
    assert plan.chunk_size == 2
    assert "4 chunks a worker" in plan.reasons["chunk_size"]


@pytest.mark.parametrize(
    ("preset", "images", "cores", "threads"),
    [
        ("balanced", 100, 8, 2),
        ("balanced", 100, 1, 1),
        ("balanced", 9, 8, 1),
        ("quality", 100, 8, 2),
        ("throughput", 100, 8, 1),
    ],
)
def test_encoder_threads_follow_cores_and_image_count(
    preset: str, images: int, cores: int, threads: int
) -> None:
    assert plan_for(preset, images=images, cores=cores).avif_threads == threads


def test_what_a_person_asks_for_holds() -> None:
    plan = plan_for("throughput", cores=2, max_workers=5, avif_threads=3, images_per_shard=30)
    assert (plan.max_workers, plan.avif_threads, plan.shards) == (5, 3, 4)
    assert plan.reasons["max_workers"] == "as asked for"


@pytest.mark.parametrize(
    ("images", "shards"), [(None, 1), (0, 1), (1, 1), (2_000, 1), (2_001, 2), (4_000, 2)]
)
def test_one_shard_holds_2000_images(images: int | None, shards: int) -> None:
    assert plan_for(images=images).shards == shards


def test_the_budget_is_80_pct_of_available_memory_unless_given() -> None:
    assert plan_for(available_bytes=10 * GB).memory_budget_bytes == 8 * GB
    assert plan_for(memory_budget_bytes=3 * GB).memory_budget_bytes == 3 * GB


def test_too_little_memory_for_the_workers_means_fewer_of_them_and_says_so() -> None:
    budget = PARENT_BASE_BYTES + 3 * (WORKER_BASE_BYTES + IMAGE_MIN_BYTES)
    plan = plan_for("throughput", memory_budget_bytes=budget)
    assert plan.max_workers == 3
    assert "3 fit into the memory budget" in plan.reasons["max_workers"]
    assert plan_for("throughput", memory_budget_bytes=budget - 1).max_workers == 2


def test_a_budget_below_base_and_one_image_is_a_wrong_setting() -> None:
    assert plan_for(memory_budget_bytes=LEAST_BYTES).max_workers == 1
    with pytest.raises(SettingError) as caught:
        plan_for(memory_budget_bytes=LEAST_BYTES - 1)
    assert str(caught.value) == (
        f"Expected a memory budget of at least {LEAST_BYTES} bytes (base and one image), "
        f"received {LEAST_BYTES - 1} (preset 'balanced', memory_budget_bytes)."
    )


def test_a_parent_that_is_large_already_leaves_less_for_images() -> None:
    preset = resolve_preset("throughput", SETTINGS, {"memory_budget_bytes": GB})
    small = make_plan(preset, Machine(2, 32 * GB, 16 * GB, 60_000_000), [1])
    large = make_plan(preset, Machine(2, 32 * GB, 16 * GB, 400_000_000), [1])
    assert small.image_budget_bytes == GB - PARENT_BASE_BYTES - 2 * WORKER_BASE_BYTES
    assert small.image_budget_bytes - large.image_budget_bytes == (
        400_000_000 + PARENT_GROWTH_BYTES - PARENT_BASE_BYTES
    )


def test_a_parent_that_is_larger_than_the_budget_works_on_one_image_at_a_time() -> None:
    preset = resolve_preset("throughput", SETTINGS, {"memory_budget_bytes": GB})
    plan = make_plan(preset, Machine(8, 32 * GB, 16 * GB, 3 * GB), [1])
    assert (plan.max_workers, plan.image_budget_bytes) == (1, IMAGE_MIN_BYTES)


def test_an_image_may_cost_the_whole_machine_but_no_more() -> None:
    plan = plan_for(available_bytes=2 * GB, memory_budget_bytes=GB)
    assert plan.machine_bytes == 2 * GB - PARENT_BASE_BYTES


@given(
    st.sampled_from(PRESET_NAMES),
    st.integers(1, 64),
    st.integers(LEAST_BYTES * 2, 64 * GB),
    st.lists(st.integers(0, 10**9), max_size=50),
)
def test_a_plan_keeps_its_memory_and_always_has_work_units(
    preset: str, cores: int, available_bytes: int, sizes: list[int]
) -> None:
    machine = Machine(cores, 64 * GB, available_bytes)
    plan = make_plan(resolve_preset(preset, SETTINGS), machine, sizes)
    assert plan.max_workers >= 1
    assert plan.chunk_size >= 1
    assert plan.image_budget_bytes >= plan.max_workers * IMAGE_MIN_BYTES
    used = PARENT_BASE_BYTES + plan.max_workers * WORKER_BASE_BYTES + plan.image_budget_bytes
    assert used == plan.memory_budget_bytes <= available_bytes
    assert plan.images == len(sizes)
    assert set(plan.reasons) == {
        "max_workers",
        "chunk_size",
        "avif_threads",
        "memory_budget_bytes",
    }
    assert Plan(**plan.to_dict()) == plan


SIZES = st.lists(st.integers(0, 100), max_size=60)


WORKERS = st.integers(1, 8)


@given(SIZES, st.integers(1, 12), st.integers(1, 250), WORKERS)
def test_chunks_cover_all_sources_in_order_within_both_limits(
    sizes: list[int], chunk_size: int, chunk_bytes: int, workers: int
) -> None:
    chunks = cut_into_chunks(sizes, chunk_size, chunk_bytes, workers)
    assert [index for chunk in chunks for index in chunk] == list(range(len(sizes)))
    for chunk in chunks:
        held = sum(sizes[index] for index in chunk)
        assert 1 <= len(chunk) <= chunk_size
        assert held <= chunk_bytes or len(chunk) == 1


@given(SIZES, st.integers(1, 12), st.integers(1, 250), WORKERS)
def test_a_chunk_ends_only_where_the_next_source_does_not_fit_or_others_wait_for_it(
    sizes: list[int], chunk_size: int, chunk_bytes: int, workers: int
) -> None:
    chunks = cut_into_chunks(sizes, chunk_size, chunk_bytes, workers)
    for chunk, following in itertools.pairwise(chunks):
        held = sum(sizes[index] for index in chunk) + sizes[following.start]
        fair = math.ceil((len(sizes) - chunk.start) / (2 * workers))
        assert len(chunk) == min(chunk_size, fair) or held > chunk_bytes


def test_chunks_shrink_towards_the_end_so_that_no_worker_is_left_alone_with_a_long_one() -> None:
    lengths = [len(chunk) for chunk in cut_into_chunks([1] * 100, 20, 1_000, 2)]
    assert lengths[:2] == [20, 20]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-2:] == [1, 1]


def test_a_source_over_the_byte_limit_is_a_chunk_of_its_own() -> None:
    assert cut_into_chunks([5, 500, 5, 5, 5, 5], 10, 100, 1) == [
        range(1),
        range(1, 2),
        range(2, 4),
        range(4, 5),
        range(5, 6),
    ]
