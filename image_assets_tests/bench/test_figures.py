import pytest

from bench.figures import spread, table
from bench.scored_runs import summarise


def test_a_spread_names_median_least_and_most() -> None:
    assert spread([3, 1, 2.5]).text(1) == "2.5 (1.0–3.0)"


def test_a_spread_that_rounds_to_nothing_is_one_number() -> None:
    assert spread([1.001, 1.002]).text(2) == "1.00"


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_the_tenth_percentile_lies_between_its_neighbours() -> None:
    scores = summarise([float(value) for value in range(20, -1, -1)])
    assert (scores.mean, scores.p10) == (10, 2)
    assert summarise([1, 2, 3]).p10 == pytest.approx(1.2)


def test_one_score_is_its_own_percentile() -> None:
    assert summarise([7.0]).p10 == 7
