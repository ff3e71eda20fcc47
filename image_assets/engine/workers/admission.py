"""Which chunk may start now: what runs together is granted no more memory than there is.

Decisions only: no process, no image and no clock, so that they can be tried by themselves. What is
granted, and why the parent does not read headers for it, is in
``docs/decisions/0002-memory-is-granted-not-forecast-by-the-parent.md``.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar


class Granted(Protocol):
    """What takes memory while it runs."""

    @property
    def grant_bytes(self) -> int:
        """For the dearest of its images, over the worker's base."""
        ...


Item = TypeVar("Item", bound=Granted)


class Admission:
    """Grants memory to chunks so that what runs together fits the pool's budget.

    A chunk of which nothing is known yet is granted a fair share. An image that needs more than
    its grant comes back with its cost and is admitted when that fits, or alone when nothing else
    runs, so that an estimate can never block the run.

    Args:
        budget_bytes: For all images in work together, over the base of the processes.
        workers: How many share it.
    """

    def __init__(self, budget_bytes: int, workers: int) -> None:
        self.budget_bytes = budget_bytes
        self.share_bytes = budget_bytes // workers
        self.granted_bytes = 0
        self.running = 0

    def admits(self, cost_bytes: int) -> bool:
        """Tell whether a chunk of this cost may start now."""
        return self.running == 0 or self.granted_bytes + cost_bytes <= self.budget_bytes

    def start(self, cost_bytes: int) -> None:
        """Count a chunk in."""
        self.granted_bytes += cost_bytes
        self.running += 1

    def end(self, cost_bytes: int) -> None:
        """Count a chunk out."""
        self.granted_bytes -= cost_bytes
        self.running -= 1


class Line(Generic[Item]):
    """Chunks that wait for a worker and for memory, and the order in which they get both.

    Chunks start in the order given. Images that came back because they need more than a share
    start after them, dearest first; a cheaper one goes ahead only where the dearer one does not fit
    beside what runs, so that cores are busy meanwhile. None waits for ever: nothing joins the line
    but what was in it, and once nothing runs, the first starts whatever it costs.

    Args:
        admission: Says what fits.
        items: Chunks, first to start first.
    """

    def __init__(self, admission: Admission, items: Iterable[Item]) -> None:
        self.admission = admission
        self._fresh = deque(items)
        self._dear: list[Item] = []

    def __len__(self) -> int:
        return len(self._fresh) + len(self._dear)

    def start_next(self) -> Item | None:
        """Return the chunk that starts now, counted in; None where there is none that may."""
        if self._fresh:
            fits = self.admission.admits(self._fresh[0].grant_bytes)
            item = self._fresh.popleft() if fits else None
        else:
            fitting = (d for d in self._dear if self.admission.admits(d.grant_bytes))
            item = next(fitting, None)
            if item is not None:
                self._dear.remove(item)
        if item is not None:
            self.admission.start(item.grant_bytes)
        return item

    def end(self, item: Item) -> None:
        """Count a chunk out that has ended, well or not."""
        self.admission.end(item.grant_bytes)

    def defer(self, item: Item) -> None:
        """Let an image wait that needs more than it was granted; it asks for what it needs."""
        self._dear.append(item)
        self._dear.sort(key=lambda each: each.grant_bytes, reverse=True)

    def put_back(self, item: Item) -> None:
        """Take back what a worker left undone when it died: it starts next."""
        self._fresh.appendleft(item)
