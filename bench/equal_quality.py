"""Brings every entrant of a comparison to one quality: that of a reference, format by format.

An entrant's quality is the lowest number whose mean SSIMULACRA2 is not below the reference's. What
was found is kept in bench/equal_quality.json and is where the next search starts, so that it costs
two small runs where nothing has changed. `bench.versus` runs it.
"""

import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.entrants import Entrant, Work
from bench.scored_runs import ScoreBook, Scores, summarise

KEPT: Final = Path(__file__).with_suffix(".json")
POINTS_PER_QUALITY: Final = 0.5
"""Roughly how SSIMULACRA2 rises with any encoder's quality around 75: the first guess of a step."""


def next_quality(known: Mapping[int, float], target: float, start: int) -> int | None:
    """Which quality to try, given the scores of those tried.

    Returns:
        None where the lowest one that reaches `target` is known, or where 100 does not.
    """
    if not known:
        return start
    above = min((quality for quality, found in known.items() if found >= target), default=None)
    below = max(
        (quality for quality in known if above is None or quality < above),
        default=None,
    )
    if above is None:
        assert below is not None
        step = math.ceil((target - known[below]) / POINTS_PER_QUALITY)
        return None if below == 100 else min(100, below + max(1, step))
    if below is None:
        step = math.ceil((known[above] - target) / POINTS_PER_QUALITY)
        return None if above == 1 else max(1, above - max(1, step))
    if above - below == 1:
        return None
    share = (target - known[below]) / (known[above] - known[below])
    return min(above - 1, max(below + 1, below + math.ceil(share * (above - below))))


@dataclass(frozen=True, slots=True)
class Scored:
    """An entrant at its qualities, and the scores there."""

    entrant: Entrant
    scores: Mapping[str, Scores]


class Judge:
    """Runs entrants on the scored photographs.

    Attributes:
        source: Folder of the photographs that are scored.
        work: What is made of them; `full` is scored.
    """

    def __init__(self, source: Path, work: Work, book: ScoreBook) -> None:
        self.source = source
        self.work = work
        self._book = book

    def scores(self, entrant: Entrant, formats: tuple[str, ...]) -> dict[str, Scores]:
        """Mean and 10th percentile of the formats, at the entrant's qualities."""
        with tempfile.TemporaryDirectory(prefix="image_assets_bench_") as folder:
            output = Path(folder) / "output"
            # Full size alone: thumbnails are too small for the score.
            work = Work({"full": self.work.variants_px["full"]}, formats, self.work.cores)
            entrant.run(self.source, output, work)
            made = entrant.renditions(output, work)
            wanted = {
                (path.stem, format_name): (path, made[path.stem, "full", format_name])
                for path in sorted(self.source.iterdir())
                for format_name in formats
            }
            found = self._book.scores(
                {f"{stem}.{name}": pair for (stem, name), pair in wanted.items()}
            )
        return {
            format_name: summarise(
                found[f"{stem}.{name}"] for stem, name in wanted if name == format_name
            )
            for format_name in formats
        }

    def bring_to(self, entrant: Entrant, target: Mapping[str, Scores]) -> Scored:
        """The entrant at the lowest qualities that are not below the target's means."""
        known: dict[str, dict[int, Scores]] = {name: {} for name in self.work.formats}
        while True:
            wanted = {}
            for name in self.work.formats:
                means = {quality: found.mean for quality, found in known[name].items()}
                quality = next_quality(means, target[name].mean, entrant.quality[name])
                if quality is not None:
                    wanted[name] = quality
            if not wanted:
                break
            found = self.scores(entrant.with_quality(wanted), tuple(wanted))
            for name, quality in wanted.items():
                known[name][quality] = found[name]
        chosen = {
            name: min(
                (q for q, found in tried.items() if found.mean >= target[name].mean),
                default=max(tried),
            )
            for name, tried in known.items()
        }
        scores = {name: known[name][quality] for name, quality in chosen.items()}
        return Scored(entrant.with_quality(chosen), scores)


def recall(key: str) -> dict[str, int]:
    """Qualities found earlier, none where there are none."""
    if not KEPT.exists():
        return {}
    stored: dict[str, dict[str, Any]] = json.loads(KEPT.read_text())
    return dict(stored.get(key, {}).get("quality", {}))


def remember(key: str, scored: Scored) -> None:
    """Keep what was found, with what it was found with."""
    stored: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    before = stored.get(key, {})
    means = {name: round(found.mean, 2) for name, found in scored.scores.items()}
    stored[key] = {
        "quality": {**before.get("quality", {}), **scored.entrant.quality},
        "mean_score": {**before.get("mean_score", {}), **means},
        "about": scored.entrant.about(),
    }
    KEPT.write_text(json.dumps(dict(sorted(stored.items())), indent=2) + "\n")
