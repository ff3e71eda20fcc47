from pathlib import Path

import psutil
import pytest

from image_assets.engine.planning.machine import (
    CgroupLimits,
    Machine,
    file_handle_limit,
    free_disk_bytes,
    inspect_machine,
    read_cgroup,
)

MB = 1 << 20
# What version 1 reports where there is no limit: the largest page-aligned int64.
V1_UNLIMITED = "9223372036854771712"


def fake(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def version_2(root: Path, path: str = "/", **files: str) -> Path:
    folder = "sys/fs/cgroup" + ("" if path == "/" else path)
    named = {f"{folder}/{name.replace('_', '.', 1)}": text for name, text in files.items()}
    return fake(root, {"proc/self/cgroup": f"0::{path}", **named})


def test_version_2_limits_memory_and_cores(tmp_path: Path) -> None:
    root = version_2(
        tmp_path,
        memory_max=str(512 * MB),
        memory_current=str(200 * MB),
        memory_stat=f"anon 5\ninactive_file {50 * MB}\nactive_file 7",
        cpu_max="150000 100000",
    )
    assert read_cgroup(root) == CgroupLimits(512 * MB, 150 * MB, 1.5)


def test_version_2_without_limits_sets_none(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_max="max", memory_current="5", cpu_max="max 100000")
    assert read_cgroup(root) == CgroupLimits(None, None, None)


def test_the_tightest_ancestor_counts(tmp_path: Path) -> None:
    version_2(
        tmp_path, "/job", memory_max=str(300 * MB), memory_current="0", cpu_max="50000 100000"
    )
    root = version_2(
        tmp_path, "/job/step", memory_max=str(900 * MB), memory_current="0", cpu_max="max 100000"
    )
    assert read_cgroup(root) == CgroupLimits(300 * MB, 0, 0.5)


def test_the_ancestor_with_least_left_counts_even_if_its_limit_is_larger(tmp_path: Path) -> None:
    version_2(tmp_path, "/job", memory_max=str(900 * MB), memory_current=str(850 * MB))
    root = version_2(tmp_path, "/job/step", memory_max=str(300 * MB), memory_current=str(100 * MB))
    limits = read_cgroup(root)
    assert (limits.memory_bytes, limits.used_bytes) == (900 * MB, 850 * MB)


def test_a_path_from_outside_the_container_falls_back_to_the_mount(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_max=str(256 * MB), memory_current="0")
    (root / "proc/self/cgroup").write_text("0::/docker/0123abc\n")
    assert read_cgroup(root).memory_bytes == 256 * MB


def version_1(root: Path, limit: str, quota_us: str, cpu: str = "cpu,cpuacct") -> Path:
    return fake(
        root,
        {
            "proc/self/cgroup": f"5:{cpu}:/box\n3:memory:/box\n1:name=systemd:/box",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": limit,
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": str(90 * MB),
            "sys/fs/cgroup/memory/box/memory.stat": f"cache 1\ntotal_inactive_file {20 * MB}",
            f"sys/fs/cgroup/{cpu}/box/cpu.cfs_quota_us": quota_us,
            f"sys/fs/cgroup/{cpu}/box/cpu.cfs_period_us": "100000",
        },
    )


@pytest.mark.parametrize("cpu", ["cpu,cpuacct", "cpu"])
def test_version_1_limits_memory_and_cores(tmp_path: Path, cpu: str) -> None:
    root = version_1(tmp_path, str(400 * MB), "250000", cpu)
    assert read_cgroup(root) == CgroupLimits(400 * MB, 70 * MB, 2.5)


def test_version_1_without_limits_sets_none(tmp_path: Path) -> None:
    assert read_cgroup(version_1(tmp_path, V1_UNLIMITED, "-1")) == CgroupLimits()


def test_no_cgroup_at_all_sets_no_limit(tmp_path: Path) -> None:
    assert read_cgroup(tmp_path) == CgroupLimits()
    machine = inspect_machine(tmp_path)
    assert machine.memory_bytes == psutil.virtual_memory().total
    assert machine.cores >= 1


@pytest.mark.parametrize(("quota", "cores"), [("50000", 1), ("10000", 1), ("100000", 1)])
def test_a_fraction_of_a_core_counts_as_one(tmp_path: Path, quota: str, cores: int) -> None:
    assert inspect_machine(version_2(tmp_path, cpu_max=f"{quota} 100000")).cores == cores


def test_one_and_a_half_cores_count_as_two_where_there_are_two(tmp_path: Path) -> None:
    there = inspect_machine(tmp_path / "none").cores
    assert inspect_machine(version_2(tmp_path, cpu_max="150000 100000")).cores == min(2, there)


def test_a_machine_has_no_more_memory_than_its_cgroup(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_max=str(64 * MB), memory_current=str(60 * MB))
    machine = inspect_machine(root)
    assert machine.memory_bytes == 64 * MB
    assert machine.available_bytes == 4 * MB


def test_a_cgroup_over_its_limit_has_nothing_available(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_max=str(64 * MB), memory_current=str(80 * MB))
    assert inspect_machine(root).available_bytes == 0


def test_a_cgroup_larger_than_the_machine_changes_nothing(tmp_path: Path) -> None:
    root = version_2(tmp_path, memory_max=str(1 << 50), memory_current="0", cpu_max="99900000 1000")
    without = inspect_machine(tmp_path / "none")
    machine = inspect_machine(root)
    assert (machine.cores, machine.memory_bytes) == (without.cores, without.memory_bytes)


def test_this_machine_has_cores_memory_and_a_name() -> None:
    machine = inspect_machine()
    assert machine.cores >= 1
    assert 0 < machine.available_bytes <= machine.memory_bytes
    assert f"-{machine.cores}c-" in machine.fingerprint
    assert Machine(3, 5 << 30, 0).fingerprint.endswith("-3c-5g")


def test_free_disk_of_a_folder_not_made_yet_is_its_parents(tmp_path: Path) -> None:
    assert free_disk_bytes(tmp_path / "a" / "b") > 0
    assert file_handle_limit() > 0
