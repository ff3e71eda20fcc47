"""Admission with a stub for the workers: no process and no image, every order of events."""

import random
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from image_assets.engine.workers.admission import Admission, Line


@dataclass(eq=False)
class Work:
    """A chunk as the pool has it; its images are what they cost, which no one knows yet."""

    costs: list[int]
    grant_bytes: int
    is_dear: bool = False


@dataclass
class StubExecutor:
    """Workers that do nothing: they give back what costs more than its grant, or die."""

    line: Line[Work]
    workers: int
    running: list[Work] = field(default_factory=list)
    started: list[Work] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def hand_out(self) -> None:
        """Give every idle worker what may start."""
        while len(self.running) < self.workers and (work := self.line.start_next()) is not None:
            self.running.append(work)
            self.started.append(work)

    def end(self, work: Work) -> None:
        """A worker has gone through its chunk."""
        self.running.remove(work)
        for cost in work.costs:
            if cost > work.grant_bytes:
                self.line.defer(Work([cost], cost, is_dear=True))
            else:
                self.done.append(cost)
        self.line.end(work)

    def die(self, work: Work, finished: int) -> None:
        """A worker has died after some images of its chunk, and fails the next."""
        self.running.remove(work)
        self.done.extend(work.costs[: finished + 1])
        rest = work.costs[finished + 1 :]
        self.line.end(work)
        if rest:
            self.line.put_back(Work(rest, work.grant_bytes, work.is_dear))


COSTS = st.lists(st.lists(st.integers(1, 400), min_size=1, max_size=4), max_size=12)


@given(costs=COSTS, budget=st.integers(1, 300), workers=st.integers(1, 5), data=st.data())
def test_every_image_is_done_once_within_the_budget_whatever_ends_or_dies_in_whatever_order(
    costs: list[list[int]], budget: int, workers: int, data: st.DataObject
) -> None:
    admission = Admission(budget, workers)
    chunks = [Work(list(chunk), admission.share_bytes) for chunk in costs]
    pool = StubExecutor(Line(admission, chunks), workers)
    pool.hand_out()
    while pool.running:
        granted = sum(work.grant_bytes for work in pool.running)
        assert (admission.granted_bytes, admission.running) == (granted, len(pool.running))
        assert granted <= budget or len(pool.running) == 1, "what is beyond the budget is alone"
        work = data.draw(st.sampled_from(pool.running))
        if data.draw(st.booleans()):
            pool.end(work)
        else:
            pool.die(work, data.draw(st.integers(0, len(work.costs) - 1)))
        pool.hand_out()
    assert not pool.line, "nothing waits while nothing runs"
    assert sorted(pool.done) == sorted(cost for chunk in costs for cost in chunk)
    assert [work for work in pool.started if work in chunks] == chunks, "in the order given"
    assert (admission.granted_bytes, admission.running) == (0, 0)


def _stub(costs: list[list[int]], budget: int, workers: int) -> StubExecutor:
    admission = Admission(budget, workers)
    chunks = [Work(chunk, admission.share_bytes) for chunk in costs]
    return StubExecutor(Line(admission, chunks), workers)


def test_an_image_beyond_the_budget_runs_alone_and_after_it_the_others_together() -> None:
    pool = _stub([[500], [40], [40]], budget=100, workers=2)
    pool.hand_out()
    while len(pool.started) < 3:
        pool.end(pool.running[0])
        pool.hand_out()
    assert [work.costs for work in pool.running] == [[40], [40]], "what is dear comes last"
    pool.end(pool.running[0])
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[40]], "and not beside another"
    pool.end(pool.running[0])
    pool.hand_out()
    assert [(work.costs, work.grant_bytes) for work in pool.running] == [([500], 500)]
    pool.line.put_back(Work([10], 50))
    pool.hand_out()
    assert len(pool.running) == 1, "not even the cheapest beside it"
    pool.end(pool.running[0])
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[10]]


def test_the_dearest_image_starts_first_and_a_cheaper_one_only_where_that_does_not_fit() -> None:
    pool = _stub([[60, 90, 70, 40]], budget=100, workers=3)
    pool.hand_out()
    pool.end(pool.running[0])
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[90]], "60, 70 and 40 do not fit beside it"
    pool.end(pool.running[0])
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[70]]
    pool.end(pool.running[0])
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[60], [40]]


def test_what_a_dead_worker_left_starts_before_everything_else() -> None:
    pool = _stub([[1, 2, 3], [4], [5]], budget=100, workers=1)
    pool.hand_out()
    pool.die(pool.running[0], finished=0)
    pool.hand_out()
    assert [work.costs for work in pool.running] == [[2, 3]]


@given(
    costs=st.lists(st.integers(0, 400), max_size=40),
    budget=st.integers(1, 200),
    workers=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_admission_never_grants_more_than_the_budget_unless_alone_and_never_blocks(
    costs: list[int], budget: int, workers: int, seed: int
) -> None:
    admission = Admission(budget, workers)
    chance = random.Random(seed)  # noqa: S311 - which chunk ends next
    waiting, running = list(costs), list[int]()
    while waiting or running:
        startable = [cost for cost in waiting if admission.admits(cost)]
        if startable and len(running) < workers and chance.random() < 0.5:
            cost = startable[0]
            waiting.remove(cost)
            admission.start(cost)
            running.append(cost)
        elif running:
            cost = running.pop(chance.randrange(len(running)))
            admission.end(cost)
        else:
            assert startable == waiting, "with nothing running, anything may start"
        assert admission.granted_bytes == sum(running)
        assert admission.granted_bytes <= budget or len(running) == 1
    assert (admission.granted_bytes, admission.running) == (0, 0)


@given(budget=st.integers(1, 10**12), workers=st.integers(1, 256))
def test_fair_shares_fit_into_the_budget_together(budget: int, workers: int) -> None:
    admission = Admission(budget, workers)
    for _ in range(workers):
        assert admission.admits(admission.share_bytes)
        admission.start(admission.share_bytes)
    assert admission.granted_bytes <= budget
