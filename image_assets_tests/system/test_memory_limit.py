"""The memory of whole runs: under a budget, and in a control group that has 600 MB."""

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from PIL import Image

from image_assets.engine.run.result import load_result, read_rows
from image_assets.engine.workers.memory import process_bytes
from image_assets_tests.bombs import flat_png, lying_webp
from image_assets_tests.faulty_decoders import EATS_MEMORY, make_decoders_faulty
from image_assets_tests.photographs import camera_exif, encode_photograph, save_photograph
from image_assets_tests.processes import REPOSITORY, command, environment

LIMIT_BYTES: Final = 600_000_000
CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass
class Group:
    """A control group with a memory limit, of version 1 or 2."""

    folder: Path
    anonymous: str
    largest_bytes: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def enter(self) -> None:
        """For `preexec_fn`: move the child into the group."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def used_bytes(self) -> int:
        """What its processes hold; not the page cache, which the kernel takes back."""
        for line in (self.folder / "memory.stat").read_text().splitlines():
            name, value = line.split()
            if name == self.anonymous:
                return int(value)
        raise AssertionError(f"no {self.anonymous} in memory.stat")

    def watch(self) -> None:
        """Keep the largest use until told to end."""
        while not self._ended.wait(0.005):
            self.largest_bytes = max(self.largest_bytes, self.used_bytes())


@pytest.fixture
def group() -> Iterator[Group]:
    first = CGROUPS / "memory"
    parent = first if first.is_dir() else CGROUPS
    limit = "memory.limit_in_bytes" if first.is_dir() else "memory.max"
    folder = parent / f"image-assets-test-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            (folder / limit).write_text(str(LIMIT_BYTES))
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        yield Group(folder, "total_rss" if first.is_dir() else "anon")
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _compress(group: Group, source: Path, output: Path, *arguments: str) -> dict[str, Any]:
    report = output.with_suffix(".json")
    watcher = threading.Thread(target=group.watch)
    watcher.start()
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), os.fspath(REPOSITORY)]))
    try:
        done = subprocess.run(
            command("compress", source, output, "--json", report, *arguments),
            env={**environment(), "PYTHONPATH": path},
            preexec_fn=group.enter,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        group._ended.set()
        watcher.join()
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def test_a_run_with_600_mb_keeps_its_budget_and_a_greedy_decoder_costs_its_image_alone(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_decoders_faulty(monkeypatch, tmp_path)
    source = tmp_path / "source"
    for number in range(3):
        save_photograph(source / f"{number}.jpg", (1600, 1200), seed=number)
    save_photograph(source / "greedy.jpg", (EATS_MEMORY, 60))
    # What fits only alone, and what not even alone: 18 and 90 MP, of which nothing is scaled down.
    (source / "dear.png").write_bytes(flat_png(4900, 3700))
    (source / "too dear.png").write_bytes(flat_png(10_000, 9_000))
    # And small files that decode to much, or say so.
    (source / "900 MP.png").write_bytes(flat_png(30_000, 30_000, 1, 0))
    extended = encode_photograph((60, 40), format="WEBP", exif=camera_exif())
    (source / "lies.webp").write_bytes(lying_webp(extended, 16_383, 16_383))

    report = _compress(group, source, tmp_path / "output")

    bad = {entry["source_key"]: entry["reason"] for entry in report["not_compressed"]}
    assert bad == {
        "greedy.jpg": "out_of_memory",
        "too dear.png": "needs_too_much_memory",
        "900 MP.png": "too_many_pixels",
        "lies.webp": "too_many_pixels",
    }
    [greedy] = [b for b in report["not_compressed"] if b["source_key"] == "greedy.jpg"]
    assert "was refused more than" in greedy["message"], "its worker was not even ended"
    assert report["written"] == 4 * 6
    [performance] = (tmp_path / "output" / "tables" / "performance").glob("*/*.parquet")
    day, run = performance.parent.name, performance.stem
    costs = read_rows(tmp_path / "output", day, run).sources.column("cost_bytes").to_pylist()
    budget = _budget(performance)
    assert budget < LIMIT_BYTES
    assert group.largest_bytes <= budget + max(filter(None, costs))


BUDGETS: Final = (400_000_000, 600_000_000, 1_000_000_000)


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1 to 99 MP: baseline and progressive JPEG, PNG, TIFF, in no order of cost."""
    folder = tmp_path_factory.mktemp("mix")

    def save(name: str, width_px: int, height_px: int, **options: Any) -> None:
        Image.new("RGB", (width_px, height_px), "teal").save(folder / name, **options)

    for number in range(4):
        save_photograph(folder / f"{number} 1 MP.jpg", (1200, 900), seed=number)
    save("0 99 MP progressive.jpg", 11_600, 8_500, progressive=True)
    save("1 12 MP.tif", 4000, 3000)
    save("1 12 MP progressive.jpg", 4000, 3000, progressive=True)
    save("2 99 MP.jpg", 11_600, 8_500)
    (folder / "2 40 MP.png").write_bytes(flat_png(7300, 5500))
    save("3 24 MP.tif", 5600, 4200, compression="tiff_lzw")
    (folder / "3 24 MP.png").write_bytes(flat_png(5600, 4200))
    save("4 12 MP.jpg", 4000, 3000)
    return folder


@dataclass
class Tree:
    """A process and all below it."""

    process: psutil.Process
    largest_bytes: int = 0

    def watch(self) -> None:
        """Keep the largest memory, shared pages counted once, until the process ends."""
        with contextlib.suppress(psutil.NoSuchProcess):
            while self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE:
                pids = [self.process.pid, *(c.pid for c in self.process.children())]
                held = sum(map(process_bytes, pids))
                self.largest_bytes = max(self.largest_bytes, held)


@pytest.mark.parametrize("budget_bytes", BUDGETS)
def test_a_mix_of_1_to_99_megapixels_keeps_the_budget_of_the_whole_process_tree(
    mix: Path, tmp_path: Path, budget_bytes: int
) -> None:
    output = tmp_path / "output"
    pairs = (f"memory_budget_bytes={budget_bytes}", "max_workers=2")
    arguments = [word for pair in pairs for word in ("--set", pair)]
    process = subprocess.Popen(
        command("compress", mix, output, "--preset", "throughput", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    tree = Tree(psutil.Process(process.pid))
    watcher = threading.Thread(target=tree.watch)
    watcher.start()
    printed, _ = process.communicate(timeout=120)
    watcher.join()

    assert process.returncode == 0, printed
    [performance] = (output / "tables" / "performance").glob("*/*.parquet")
    result = load_result(output, performance.parent.name, performance.stem)
    assert result.counts.written == 6 * len(list(mix.iterdir())), printed
    rows = read_rows(output, result.partition_key, result.run_id).sources.to_pylist()
    dearest = max(row["cost_bytes"] for row in rows)
    is_alone = dearest > result.plan["image_budget_bytes"]
    assert is_alone == (budget_bytes == BUDGETS[0])
    assert tree.largest_bytes <= budget_bytes + (dearest if is_alone else 0)
    assert result.plan["max_workers"] == 2


def test_the_mix_fits_into_a_control_group_of_600_mb(
    group: Group, mix: Path, tmp_path: Path
) -> None:
    report = _compress(group, mix, tmp_path / "output", "--preset", "throughput")

    assert report["not_compressed"] == []
    assert report["written"] == 6 * len(list(mix.iterdir()))
    [performance] = (tmp_path / "output" / "tables" / "performance").glob("*/*.parquet")
    assert group.largest_bytes <= _budget(performance) <= LIMIT_BYTES


def _budget(performance: Path) -> int:
    output = performance.parents[3]
    result = load_result(output, performance.parent.name, performance.stem)
    return int(result.plan["memory_budget_bytes"])
