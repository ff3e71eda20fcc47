from collections.abc import Callable

import pytest

from bench.equal_quality import next_quality


def search(score: Callable[[int], float], target: float, start: int) -> tuple[int, int]:
    known: dict[int, float] = {}
    while (quality := next_quality(known, target, start)) is not None:
        assert quality not in known
        known[quality] = score(quality)
    return min((q for q in known if known[q] >= target), default=0), len(known)


@pytest.mark.parametrize("start", [1, 20, 60, 61, 62, 100])
@pytest.mark.parametrize("slope", [0.1, 0.5, 3.0])
def test_the_lowest_quality_that_reaches_the_target_is_found(slope: float, start: int) -> None:
    found, _ = search(lambda quality: slope * quality, slope * 60.5, start)
    assert found == 61


def test_a_search_that_starts_at_the_answer_tries_two() -> None:
    assert search(lambda quality: quality / 2, 30, 60) == (60, 2)


def test_a_target_beyond_quality_100_ends_the_search() -> None:
    assert search(lambda quality: quality / 2, 51, 80)[0] == 0


def test_quality_1_is_enough_where_nothing_is_lower() -> None:
    assert search(lambda quality: 90.0, 50, 40)[0] == 1
