"""Look at this machine and say what is there, what falls back to what, and what to do."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from image_assets.engine.errors import SettingError
from image_assets.engine.pixels.codecs import PLUGINS, codec_versions, load_decoder, plugin_version
from image_assets.engine.pixels.formats import OUTPUT_FORMATS, missing_codec
from image_assets.engine.planning.machine import (
    Machine,
    file_handle_limit,
    free_disk_bytes,
    inspect_machine,
    read_cgroup,
)
from image_assets.engine.planning.plan import (
    AVAILABLE_SHARE,
    IMAGE_MIN_BYTES,
    PARENT_BASE_BYTES,
    WORKER_BASE_BYTES,
)
from image_assets.engine.planning.settings import SETTINGS_VARIABLE, load_settings

Status = Literal["ok", "warning", "problem"]

# A worker has about 12 handles open, the parent 20 and 2 a worker; SQLite and gRPC add theirs.
_FILE_HANDLES_MIN = 256
_FREE_DISK_MIN_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: What.
        status: ``ok``, ``warning`` (works, with a loss) or ``problem`` (a run will not work).
        value: What was found.
        advice: What to do, or empty.
    """

    name: str
    status: Status
    value: str
    advice: str = ""


def diagnose(folder: Path | None = None) -> list[Finding]:
    """Look at Python, codecs, cores, memory, disk and file handles.

    Args:
        folder: Whose file system's free space counts; default is the current folder.
    """
    machine = inspect_machine()
    return [
        Finding("python", "ok", f"{platform.python_version()} ({sys.platform})"),
        *codec_findings(codec_versions()),
        *plugin_findings({name: load_decoder(name) for name in PLUGINS}),
        *_settings_findings(),
        _cores(machine),
        memory_finding(machine),
        disk_finding(free_disk_bytes(folder or Path.cwd())),
        handle_finding(file_handle_limit()),
    ]


def codec_findings(codecs: Mapping[str, str]) -> list[Finding]:
    """Say which codec serves each format, and what takes the place of a missing one."""
    install = "Install pillow-avif-plugin (pip install pillow-avif-plugin)."
    found = [Finding("pillow", "ok", codecs["pillow"])]
    if "svt" in codecs:
        found.append(
            Finding("avif", "ok", f"SVT-AV1 {codecs['svt']}, aom {codecs.get('aom', 'missing')}")
        )
        if "aom" not in codecs:
            found.append(
                Finding(
                    "avif fallback",
                    "problem",
                    "aom is missing: images with a side below 4 px fail, and graphics and quality "
                    "from 93 up lose colour (4:2:0)",
                    install,
                )
            )
    elif "aom" in codecs:
        found.append(
            Finding(
                "avif",
                "warning",
                f"aom {codecs['aom']} takes the place of SVT-AV1: about three to six times the "
                "CPU at equal quality",
                install,
            )
        )
    else:
        found.append(
            Finding("avif", "problem", "no AVIF encoder", install + " Or leave avif out of formats")
        )
    for name, codec in (("webp", "libwebp"), ("jpeg", "libjpeg_turbo"), ("colour", "littlecms")):
        if codec in codecs:
            found.append(Finding(name, "ok", f"{codec} {codecs[codec]}"))
        else:
            found.append(
                Finding(name, "problem", f"{codec} is missing", "Install Pillow from its wheel.")
            )
    return found


def plugin_findings(loaded: Mapping[str, bool]) -> list[Finding]:
    """Say what optional formats are read and written; nothing is wrong where one is not.

    Args:
        loaded: By Pillow's name of the input format, whether its plugin could be loaded.
    """
    found = []
    for name, is_there in loaded.items():
        plugin = PLUGINS[name]
        writes = next((f for f in OUTPUT_FORMATS.values() if f.extra == plugin.extra), None)
        what = f"{plugin.title} sources" + (" and renditions" if writes else "")
        verb = "read and written" if writes else "read"
        if is_there:
            value = f"{what}: {verb}, {plugin.package} {plugin_version(name)}"
        else:
            value = f"{what}: not {verb.replace('and', 'or')}; pip install '{plugin.extra}'"
        found.append(Finding(plugin.title.lower(), "ok", value))
    return found


def _settings_findings() -> list[Finding]:
    try:
        return format_findings(load_settings().formats, codec_versions())
    except SettingError as error:
        return [
            Finding(
                "settings file", "problem", str(error), f"Mend it, or unset {SETTINGS_VARIABLE}."
            )
        ]


def format_findings(formats: tuple[str, ...], codecs: Mapping[str, str]) -> list[Finding]:
    """Say which formats of the settings file no installed codec makes."""
    found = []
    for name in formats:
        missing = missing_codec(name, codecs)
        if missing is not None:
            advice = f"pip install '{OUTPUT_FORMATS[name].extra}', or leave {name} out of formats."
            found.append(Finding(f"format {name}", "problem", missing.message, advice))
    return found


def _cores(machine: Machine) -> Finding:
    host = os.cpu_count() or 1
    limit = "" if machine.cores == host else f" of {host}, limited by affinity or cgroup"
    return Finding("cores", "ok", f"{machine.cores}{limit}")


def memory_finding(machine: Machine) -> Finding:
    """Say how much memory a run may use and whether that is enough for one image."""
    cgroup = read_cgroup().memory_bytes
    limit = "" if cgroup is None else ", limited by the cgroup"
    value = (
        f"{machine.available_bytes / 1e9:.1f} GB available of {machine.memory_bytes / 1e9:.1f} GB"
        f"{limit}"
    )
    least = PARENT_BASE_BYTES + WORKER_BASE_BYTES + IMAGE_MIN_BYTES
    if AVAILABLE_SHARE * machine.available_bytes < least:
        return Finding(
            "memory",
            "problem",
            value,
            f"Free memory or raise the limit: one worker with one image needs "
            f"{least / AVAILABLE_SHARE / 1e6:.0f} MB available.",
        )
    return Finding("memory", "ok", value)


def disk_finding(free_bytes: int) -> Finding:
    """Say how much disk is free."""
    value = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes < _FREE_DISK_MIN_BYTES:
        return Finding("disk", "warning", value, "Free some: 1,000 photographs take about 0.3 GB.")
    return Finding("disk", "ok", value)


def handle_finding(limit: int) -> Finding:
    """Say how many files a process may open."""
    if limit < _FILE_HANDLES_MIN:
        return Finding(
            "file handles",
            "warning",
            str(limit),
            f"Raise it (ulimit -n {_FILE_HANDLES_MIN * 4}) or lower max_workers.",
        )
    return Finding("file handles", "ok", str(limit))
