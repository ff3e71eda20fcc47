"""Does this checkout cost more than a revision does? Both in one run; exit 1 where it does.

More than 5 % of CPU seconds, or 1 % of bytes, at the presets' own numbers. The trees take turns, so
that a slow minute meets both: the median of the rounds' ratios counts.

    python -m bench.check [REVISION] [--photographs FOLDER] [--minutes 5] [--presets throughput ...]
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import camera_files
from bench.entrants import FORMATS, VARIANTS, Ours, Work, read_preset
from bench.figures import table
from bench.processes import REPOSITORY
from bench.source_folders import photographs_or_samples

CPU_RATIO_MOST: Final = 1.05
BYTES_RATIO_MOST: Final = 1.01
LEAST_ROUNDS: Final = 3
"""Also where the time is up before."""


@dataclass
class Side:
    """What one preset cost on one side, round by round."""

    cpu_s: list[float] = field(default_factory=list)
    size_bytes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict:
    """This checkout over the revision."""

    cpu_ratio: float
    bytes_ratio: float

    @property
    def too_dear(self) -> str:
        """What is beyond its bound, empty where nothing is."""
        found = []
        if self.cpu_ratio > CPU_RATIO_MOST:
            found.append(f"CPU above {CPU_RATIO_MOST}")
        if self.bytes_ratio > BYTES_RATIO_MOST:
            found.append(f"bytes above {BYTES_RATIO_MOST}")
        return ", ".join(found)


def judge(this: Side, that: Side) -> Verdict:
    """Median of the rounds' ratios, so that a slow minute that met both sides cancels."""
    cpu = [mine / theirs for mine, theirs in zip(this.cpu_s, that.cpu_s, strict=True)]
    size = [mine / theirs for mine, theirs in zip(this.size_bytes, that.size_bytes, strict=True)]
    return Verdict(statistics.median(cpu), statistics.median(size))


def git(*words: str) -> str:
    """What git prints, in this repository; empty where it refuses."""
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def default_revision() -> str:
    """What a change starts from."""
    return "origin/main" if git("rev-parse", "--verify", "-q", "origin/main") else "HEAD~1"


@contextlib.contextmanager
def checkout_of(revision: str, folder: Path) -> Iterator[Path]:
    """The revision's tree, gone afterwards.

    Raises:
        SystemExit: There is no such revision.
    """
    commit = git("rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
    if not commit:
        raise SystemExit(f"Expected a revision of this repository, received '{revision}'.")
    tree = folder / "revision"
    subprocess.run(
        ["git", "worktree", "add", "--quiet", "--detach", str(tree), commit],
        cwd=REPOSITORY,
        check=True,
    )
    try:
        yield tree
    finally:
        git("worktree", "remove", "--force", str(tree))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("revision", nargs="?", help="default: origin/main, or HEAD~1")
    parser.add_argument("--photographs", type=Path, help="default: rendered samples")
    parser.add_argument("--minutes", type=float, default=5.0, help="of rounds; at least three")
    parser.add_argument("--images", type=int, default=36, help="in each run")
    parser.add_argument("--presets", nargs="+", default=["throughput", "balanced", "quality"])
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    revision = arguments.revision or default_revision()
    cores = os.cpu_count() or 1
    sides: dict[tuple[str, str], Side] = {}
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench")))
        tree = stack.enter_context(checkout_of(revision, folder))
        camera_files.fill(folder / "source", camera_files.scenes(photographs), arguments.images)
        trees = {"this": REPOSITORY, "that": tree}
        print(f"this checkout against {revision} ({git('rev-parse', '--short', revision)})")
        started_s = time.monotonic()
        rounds = 0
        while True:
            order = list(trees) if rounds % 2 == 0 else list(reversed(trees))
            for preset in arguments.presets:
                px = {v: int(read_preset(preset)[f"{v}_px"]) for v in VARIANTS}
                work = Work(px, FORMATS, cores)
                for which in order:
                    entrant = Ours(which, sys.executable, preset, {}, checkout=trees[which])
                    cost = entrant.run(folder / "source", folder / "output", work)
                    side = sides.setdefault((preset, which), Side())
                    side.cpu_s.append(cost.cpu_s)
                    made = entrant.renditions(folder / "output", work)
                    side.size_bytes.append(sum(path.stat().st_size for path in made.values()))
            rounds += 1
            spent_s = time.monotonic() - started_s
            if rounds >= LEAST_ROUNDS and spent_s * (1 + 1 / rounds) > 60 * arguments.minutes:
                break
    rows, failed = [], False
    for preset in arguments.presets:
        this, that = sides[preset, "this"], sides[preset, "that"]
        verdict = judge(this, that)
        failed = failed or bool(verdict.too_dear)
        cpu = [f"{statistics.median(s.cpu_s) / arguments.images:.3f}" for s in (that, this)]
        size = [f"{s.size_bytes[-1] / arguments.images / 1e3:.1f}" for s in (that, this)]
        ratios = [f"{verdict.cpu_ratio:.3f}", f"{verdict.bytes_ratio:.3f}"]
        rows.append([preset, *cpu, ratios[0], *size, ratios[1], verdict.too_dear or "fine"])
    head = ["preset", "CPU s/image there", "here", "×", "KB/image there", "here", "×", ""]
    print(f"{rounds} rounds of {arguments.images} images of 12 MP\n{table(head, rows)}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
