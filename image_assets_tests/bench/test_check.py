from bench.check import Side, judge


def test_equal_sides_are_fine() -> None:
    side = Side([1.0, 1.1, 0.9], [100, 100, 100])
    assert judge(side, side).too_dear == ""


def test_a_slow_minute_that_meets_both_sides_counts_for_neither() -> None:
    assert judge(Side([1.0, 3.0, 1.0], [9] * 3), Side([1.0, 3.0, 1.0], [9] * 3)).cpu_ratio == 1


def test_more_than_five_percent_of_cpu_is_too_dear() -> None:
    that = Side([1.0, 1.0, 1.0], [100] * 3)
    assert judge(Side([1.04, 1.0, 1.2], [100] * 3), that).too_dear == ""
    assert judge(Side([1.06, 1.0, 1.2], [100] * 3), that).too_dear == "CPU above 1.05"


def test_more_than_one_percent_of_bytes_is_too_dear() -> None:
    that = Side([1.0], [1000])
    assert judge(Side([1.0], [1010]), that).too_dear == ""
    assert judge(Side([0.5], [1011]), that).too_dear == "bytes above 1.01"
