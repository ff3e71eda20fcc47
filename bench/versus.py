"""Us against what a user would pick instead, on the same files, at equal quality, in one run.

python -m bench.versus PHOTOGRAPHS [--presets throughput balanced] [--contenders sharp ...]
    [--formats avif] [--set KEY=VALUE] [--rounds 5] [--json FILE]
"""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import camera_files
from bench.contenders import FAMILIES, SHARP_DEFAULTS, find_contenders
from bench.entrants import FORMATS, VARIANTS, Entrant, Other, Ours, Work, read_preset
from bench.equal_quality import Judge, Scored, recall, remember
from bench.figures import Spread, spread, table
from bench.process_trees import TreeCost
from bench.scored_runs import VALID_FROM_PX, ScoreBook
from bench.source_folders import add_photographs_argument, photographs_or_samples

LEAST_SCORED: Final = 12


@dataclass
class Tally:
    """What the rounds of one entrant gave.

    Attributes:
        images: In each of its runs.
        bytes_per_image: By "format", and "all".
        peak_bytes: Of the process tree, in a run of its own.
    """

    scored: Scored
    images: int
    costs: list[TreeCost] = field(default_factory=list)
    starts: list[TreeCost] = field(default_factory=list)
    bytes_per_image: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0

    @property
    def cpu_s(self) -> Spread:
        """CPU seconds per image, start included."""
        return spread([cost.cpu_s / self.images for cost in self.costs])

    @property
    def marginal_cpu_s(self) -> Spread:
        """CPU seconds that one more image costs."""
        return spread(
            [
                (cost.cpu_s - start.cpu_s) / (self.images - 1)
                for cost, start in zip(self.costs, self.starts, strict=True)
            ]
        )

    @property
    def images_per_s(self) -> Spread:
        """Over the wall."""
        return spread([self.images / cost.wall_s for cost in self.costs])


def link(folder: Path, paths: Sequence[Path]) -> Path:
    """A folder with some of the files."""
    folder.mkdir()
    for path in paths:
        (folder / path.name).hardlink_to(path)
    return folder


@contextlib.contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Wait until no other bench with the same file measures."""
    if lock is None:
        yield
        return
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add_photographs_argument(parser)
    parser.add_argument("--presets", nargs="+", default=["throughput"], help="of one size each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--contenders", nargs="*", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the contenders' settings")
    parser.add_argument(
        "--reference",
        default="sharp, effort 1",
        help="whose scores all others are brought to, and whose figures ratios are to",
    )
    parser.add_argument(
        "--contender-quality",
        choices=("default", "preset"),
        default="default",
        help="the reference's quality numbers: sharp's defaults, or the first preset's literally",
    )
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=120, help="at least; whole turns of scenes")
    parser.add_argument("--slow-images", type=int, default=1, help="the same, of slow contenders")
    parser.add_argument("--scored", type=int, default=LEAST_SCORED, help="photographs to score")
    parser.add_argument("--lock", type=Path, help="file that benches of one machine take turns by")
    parser.add_argument("--json", type=Path, help="write every figure there")
    return parser.parse_args()


def entrants_of(arguments: argparse.Namespace) -> tuple[Entrant, list[Entrant], Work]:
    """The reference, everyone else, and their work.

    Raises:
        SystemExit: The presets differ in size, or the reference cannot be had.
    """
    pairs = tuple(arguments.set)
    numbers = {name: read_preset(name, pairs) for name in arguments.presets}
    first = numbers[arguments.presets[0]]
    sizes = {variant: int(first[f"{variant}_px"]) for variant in arguments.variants}
    for name, mine in numbers.items():
        if any(mine[f"{variant}_px"] != px for variant, px in sizes.items()):
            raise SystemExit(f"Expected presets of one size, received {sizes} and '{name}'.")
    work = Work(sizes, tuple(arguments.formats), os.cpu_count() or 1)
    quality = dict(SHARP_DEFAULTS)
    if arguments.contender_quality == "preset":
        quality = {name: int(first[f"full_{name}_quality"]) for name in FORMATS}
    contenders = [Other(found, quality) for found in find_contenders(tuple(arguments.contenders))]
    named = {contender.name: contender for contender in contenders}
    if arguments.reference not in named:
        raise SystemExit(f"Expected the reference among {list(named)}: '{arguments.reference}'.")
    reference = named.pop(arguments.reference)
    others = [c for c in named.values() if arguments.only is None or c.name in arguments.only]
    ours = [
        Ours(
            f"image_assets, {name}",
            sys.executable,
            name,
            {each: int(numbers[name][f"full_{each}_quality"]) for each in FORMATS},
            pairs,
        )
        for name in arguments.presets
    ]
    return reference, [*ours, *others], work


def bring_to_one_quality(
    reference: Entrant, others: Sequence[Entrant], judge: Judge
) -> list[Scored]:
    """Everyone at the reference's scores, the reference first."""
    found = judge.scores(reference, judge.work.formats)
    everyone = [Scored(reference, found)]
    numbers = "/".join(str(reference.quality[name]) for name in FORMATS)
    for entrant in others:
        key = (
            f"{entrant.name} as {reference.name} at {numbers}, {judge.work.variants_px['full']} px"
        )
        settings = getattr(entrant, "settings", ())
        key += "".join(f", {pair}" for pair in settings)
        scored = judge.bring_to(entrant.with_quality(recall(key)), found)
        remember(key, scored)
        everyone.append(scored)
        print(f"{entrant.name}: quality {dict(scored.entrant.quality)}", flush=True)
    return everyone


def count_bytes(entrant: Entrant, output: Path, work: Work, images: int) -> dict[str, float]:
    """Bytes per image by format and in all.

    Raises:
        SystemExit: A rendition is missing.
    """
    made = entrant.renditions(output, work)
    expected = images * len(work.variants_px) * len(work.formats)
    if len(made) != expected:
        stems = {stem for stem, _, _ in made}
        kept = Path(tempfile.mkdtemp(prefix="image_assets_bench_kept_"))
        shutil.copytree(output, kept, dirs_exist_ok=True)
        raise SystemExit(
            f"Expected {expected} renditions of {entrant.name}, found {len(made)} of {len(stems)} "
            f"sources; what it left is in {kept}."
        )
    total = dict.fromkeys((*work.formats, "all"), 0.0)
    for (_, _, format_name), path in made.items():
        size = path.stat().st_size / images
        total[format_name] += size
        total["all"] += size
    return total


def report(tallies: Sequence[Tally], work: Work) -> str:
    """Markdown tables: cost and bytes, then qualities and scores; the reference is the first."""
    base = tallies[0]
    cost_rows, score_rows = [], []
    for tally in tallies:
        sizes = [f"{tally.bytes_per_image[name] / 1e3:.1f}" for name in (*work.formats, "all")]
        ratios = [
            f"{tally.bytes_per_image[name] / base.bytes_per_image[name]:.3f}"
            for name in (*work.formats, "all")
        ]
        name = tally.scored.entrant.name
        cost_rows.append(
            [
                name,
                str(tally.images),
                tally.images_per_s.text(2),
                tally.cpu_s.text(3),
                tally.marginal_cpu_s.text(3),
                f"{tally.cpu_s.median / base.cpu_s.median:.3f}",
                f"{tally.marginal_cpu_s.median / base.marginal_cpu_s.median:.3f}",
                f"{tally.peak_bytes / 1e6:.0f}",
                *(f"{size} ({ratio})" for size, ratio in zip(sizes, ratios, strict=True)),
                f"{max(cost.other_share for cost in tally.costs):.0%}",
            ]
        )
        for format_name in work.formats:
            scores = tally.scored.scores[format_name]
            low = scores.mean < base.scored.scores[format_name].mean
            score_rows.append(
                [
                    name,
                    format_name,
                    str(tally.scored.entrant.quality[format_name]),
                    f"{scores.mean:.2f}{' BELOW' if low else ''}",
                    f"{scores.p10:.2f}",
                ]
            )
    cost_head = ["", "images", "images/s", "CPU s/image", "one more image", "× CPU", "× one more"]
    cost_head += ["peak MB", *(f"{name} KB (×)" for name in (*work.formats, "all")), "others"]
    score_head = ["", "format", "quality", "mean score", "10th percentile"]
    return f"{table(cost_head, cost_rows)}\n\n{table(score_head, score_rows)}"


def as_json(tallies: Sequence[Tally], work: Work, about: Mapping[str, Any]) -> str:
    """Every figure."""
    entries = {
        tally.scored.entrant.name: {
            "about": tally.scored.entrant.about(),
            "quality": dict(tally.scored.entrant.quality),
            "scores": {name: asdict(found) for name, found in tally.scored.scores.items()},
            "images": tally.images,
            "runs": [asdict(cost) for cost in tally.costs],
            "runs_of_one_image": [asdict(cost) for cost in tally.starts],
            "bytes_per_image": tally.bytes_per_image,
            "peak_bytes": tally.peak_bytes,
        }
        for tally in tallies
    }
    return json.dumps({**about, "work": asdict(work), "entrants": entries}, indent=2) + "\n"


def main() -> None:
    arguments = parse()
    with contextlib.ExitStack() as stack:
        photographs = stack.enter_context(photographs_or_samples(arguments.photographs))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image_assets_bench")))
        reference, others, work = entrants_of(arguments)
        chosen = camera_files.scenes(photographs)
        fast = -(-arguments.images // len(chosen)) * len(chosen)
        slow = -(-arguments.slow_images // len(chosen)) * len(chosen)
        files = camera_files.fill(folder / "files", chosen, max(fast, slow))
        sources = {
            count: link(folder / f"first{count}", files[:count]) for count in {1, slow, fast}
        }
        scored_count = min(arguments.scored, len(chosen))
        spaced = [files[index * len(chosen) // scored_count] for index in range(scored_count)]
        judge = Judge(link(folder / "scored", spaced), work, ScoreBook())
        size_mb = sum(path.stat().st_size for path in files[: len(chosen)]) / len(chosen) / 1e6
        machine = f"{work.cores} cores, {platform.machine()}, Python {platform.python_version()}"
        print(
            f"{len(chosen)} scenes of 12 MP, {size_mb:.1f} MB each, to {dict(work.variants_px)} × "
            f"{list(work.formats)}; scores of {scored_count}; {machine}"
        )
        for entrant in (reference, *others):
            print(f"- {entrant.name}: {entrant.about()}", flush=True)
        if work.variants_px.get("full", 0) < VALID_FROM_PX:
            raise SystemExit(
                f"Expected 'full' of {VALID_FROM_PX} px or more: others have no score."
            )
        everyone = bring_to_one_quality(reference, others, judge)
        tallies = [Tally(one, slow if one.entrant.slow else fast) for one in everyone]
        output = folder / "output"
        for number in range(arguments.rounds):
            for tally in tallies:
                entrant = tally.scored.entrant
                with turn(arguments.lock):
                    tally.starts.append(entrant.run(sources[1], output, work))
                    cost = entrant.run(sources[tally.images], output, work)
                tally.costs.append(cost)
                tally.bytes_per_image = count_bytes(entrant, output, work, tally.images)
                print(
                    f"round {number + 1}, {entrant.name}: {cost.wall_s:.1f} s, "
                    f"CPU {cost.cpu_s / tally.images:.3f} s/image, others {cost.other_share:.0%}",
                    flush=True,
                )
        for tally in tallies:
            with turn(arguments.lock):
                cost = tally.scored.entrant.run(
                    sources[tally.images], output, work, sample_memory=True
                )
            tally.peak_bytes = cost.peak_bytes
        shutil.rmtree(output)
        print(f"\n{report(tallies, work)}")
        if arguments.json:
            arguments.json.write_text(as_json(tallies, work, {"machine": machine}))


if __name__ == "__main__":
    main()
