"""The programs that a user would pick instead: what they are, and how each is started.

Each does one `Job` in one process tree: every file, every variant in every format, upright, in
sRGB, without metadata, to `<output>/<file's stem>_<variant>.<suffix>`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.processes import REPOSITORY

HERE: Final = Path(__file__).parent
MODULES: Final = REPOSITORY / "build" / "contenders"
"""Where npm puts its packages; git ignores it."""
SUFFIXES: Final = {"avif": "avif", "webp": "webp", "jpeg": "jpg"}
SHARP_DEFAULTS: Final = {"avif": 50, "webp": 80, "jpeg": 80}
"""The quality numbers of who sets none; libvips' own are 50, 75 and 75."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work, the same for every contender.

    Attributes:
        files: Sources, absolute.
        output: Folder to fill, there already.
        variants_px: Longest side of each variant.
        formats: Of `SUFFIXES`.
        quality: By format, on the contender's own scale; the same for every variant.
        cores: How many images or threads at once.
        options: What only this contender takes.
    """

    files: tuple[str, ...]
    output: str
    variants_px: Mapping[str, int]
    formats: tuple[str, ...]
    quality: Mapping[str, int]
    cores: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contender:
    """One program at one setting.

    Attributes:
        name: In tables.
        command: Arguments; the path of the job as JSON follows.
        versions: Of it and of its encoders.
        settings: One line for a person.
        environment: Variables that it needs.
        options: As in `Job`.
        slow: Takes several times as long as the rest: fewer images do.
    """

    name: str
    command: tuple[str, ...]
    versions: str
    settings: str
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False


class AbsentError(Exception):
    """The contender cannot be had here; the text says why."""


def write_job(job: Job, path: Path) -> None:
    """Write the job as its contender reads it."""
    path.write_text(json.dumps(asdict(job)))


def ask(*command: str, environment: Mapping[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        AbsentError: It is not there or fails.
    """
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **(environment or {})},
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise AbsentError(f"'{' '.join(command)[:80]}' does not run: {error}") from error
    return done.stdout.strip()


def install_sharp() -> None:
    """Install sharp at the pinned version into `MODULES`, unless it is there.

    Raises:
        AbsentError: There is no node or npm, or npm cannot install it.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise AbsentError(f"no {program} on PATH")
    wanted = (HERE / "package.json").read_text()
    MODULES.mkdir(parents=True, exist_ok=True)
    pinned = MODULES / "package.json"
    if pinned.exists() and pinned.read_text() == wanted and (MODULES / "node_modules").is_dir():
        return
    pinned.write_text(wanted)
    ask("npm", "install", "--prefix", str(MODULES), "--no-package-lock", "--no-audit", "--no-fund")


def sharp_contenders() -> list[Contender]:
    """Of sharp: its best form and its default form."""
    install_sharp()
    script = str(HERE / "sharp_loop.mjs")
    environment = {"CONTENDERS_MODULES": str(MODULES)}
    has = json.loads(ask("node", script, "--versions", environment=environment))
    versions = (
        f"sharp {has['sharp']}, libvips {has['vips']}, aom {has['aom']}, libwebp {has['webp']}, "
        f"mozjpeg {has['mozjpeg']}, node {has['node']}"
    )
    command = ("node", script)
    best = {"form": "best", "effort": 1, "avif": {"chromaSubsampling": "4:2:0"}}
    settings = (
        "decoded once, outputs from memory; AVIF and WebP effort 1, AVIF {}, JPEG without "
        "mozjpeg's options; one thread a file, as many files as cores"
    )
    return [
        # Measured: 0.91 of the CPU of 4:4:4, and 1.03 of its AVIF bytes at equal SSIMULACRA2.
        Contender(
            "sharp, effort 1", command, versions, settings.format("4:2:0"), environment, best
        ),
        Contender(
            "sharp, effort 1, 4:4:4",
            command,
            versions,
            settings.format("4:4:4, its default"),
            environment,
            {**best, "avif": {}},
        ),
        Contender(
            "sharp, default",
            command,
            versions,
            "a clone of one pipeline per output; AVIF and WebP effort 4, AVIF 4:4:4, JPEG without "
            "mozjpeg's options; libvips' threads as they come, as many files as cores",
            environment,
            {"form": "default", "effort": 4},
            slow=True,
        ),
    ]


def python_contender(module: str, name: str, settings: str, *, slow: bool) -> Contender:
    """A contender whose loop is a module of this package; it prints its own versions."""
    command = (sys.executable, "-m", f"bench.contenders.{module}")
    environment = {"PYTHONPATH": str(REPOSITORY), "SVT_LOG": "1"}
    versions = ask(*command, "--versions", environment=environment)
    return Contender(name, command, versions, settings, environment, slow=slow)


def vipsthumbnail_contenders() -> list[Contender]:
    """The command that libvips brings."""
    return [
        python_contender(
            "vipsthumbnail_loop",
            "vipsthumbnail",
            "decoded once to plain TIFF, outputs from these; AVIF and WebP effort 1; as "
            "many processes as cores, one thread each",
            slow=False,
        )
    ]


def imagemagick_contenders() -> list[Contender]:
    """ImageMagick's command."""
    return [
        python_contender(
            "imagemagick_loop",
            "ImageMagick",
            "one command per image, decoded once (jpeg:size), outputs from clones; AVIF speed 8, "
            "WebP method 1; as many processes as cores, one thread each",
            slow=True,
        )
    ]


def pillow_contenders() -> list[Contender]:
    """What a person writes in a minute."""
    return [
        python_contender(
            "pillow_loop",
            "Pillow loop",
            "decoded once, in a pool of as many processes as cores; thumbnail(), its own AVIF (aom "
            "speed 6), WebP method 4",
            slow=True,
        )
    ]


FAMILIES: Final = {
    "sharp": sharp_contenders,
    "vipsthumbnail": vipsthumbnail_contenders,
    "imagemagick": imagemagick_contenders,
    "pillow": pillow_contenders,
}


def find_contenders(families: tuple[str, ...]) -> list[Contender]:
    """Those that can be had; a line on the terminal for each that cannot."""
    found: list[Contender] = []
    for family in families:
        try:
            found += FAMILIES[family]()
        except AbsentError as absent:
            print(f"{family}: skipped, {absent}", flush=True)
    return found
