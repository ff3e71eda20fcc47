import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_assets.engine.errors import RunError
from image_assets.engine.reasons import Reason
from image_assets.engine.storage.store import (
    ChangedWhileReadError,
    Entry,
    LocalStore,
    remove_temporary,
)
from image_assets.engine.workers import memory

REPOSITORY = Path(__file__).parents[3]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def in_child(program: str, *arguments: object) -> str:
    """Run a program in a process of its own, so that its limits and user end with it."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter (those of pytest are the owner's alone)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_file_is_published_with_its_folders(tmp_path: Path) -> None:
    LocalStore(tmp_path / "output").publish("a/b/full.avif", b"picture")
    assert tree(tmp_path) == {"output/a/b/full.avif": b"picture"}


def test_a_published_file_is_replaced_not_written_into(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("full.avif", b"old")
    with (tmp_path / "full.avif").open("rb") as reader:
        store.publish("full.avif", b"new and longer")
        assert reader.read() == b"old", "a reader of the old file sees the old file to its end"
    assert tree(tmp_path) == {"full.avif": b"new and longer"}


def test_an_error_while_writing_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("full.avif", b"old")

    def write_half(error: type[BaseException]) -> None:
        with store.publishing("full.avif") as temporary:
            Path(temporary).write_bytes(b"half a pict")
            raise error

    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(error)
    assert tree(tmp_path) == {"full.avif": b"old"}


def test_an_error_before_anything_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no picture"), LocalStore(tmp_path).publishing("a.avif"):
        raise ValueError("no picture")
    assert tree(tmp_path) == {}


def test_a_killed_run_leaves_the_old_file_and_the_rerun_takes_over_the_rest(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path)
    store.publish("full.avif", b"old")
    program = """
import os, signal, sys
from pathlib import Path
from image_assets.engine.storage.store import LocalStore
with LocalStore(Path(sys.argv[1])).publishing("full.avif") as temporary:
    Path(temporary).write_bytes(b"half a pict")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    with pytest.raises(subprocess.CalledProcessError):
        in_child(program, tmp_path)
    assert (tmp_path / "full.avif").read_bytes() == b"old"
    assert len(tree(tmp_path)) == 2
    store.publish("full.avif", b"new")
    assert tree(tmp_path) == {"full.avif": b"new"}


REFUSED = """
import os, resource, sys
from pathlib import Path
from image_assets.engine.errors import RunError
from image_assets.engine.storage.store import LocalStore
if sys.argv[2] == "size":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
elif os.getuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)
try:
    LocalStore(Path(sys.argv[1])).publish("day/full.avif", bytes(5000))
except RunError as error:
    print(error, end="")
"""


def test_a_machine_that_refuses_to_write_is_named_with_the_path(open_folder: Path) -> None:
    (open_folder / "day").mkdir()
    open_folder.joinpath("day").chmod(0o555)
    sentence = in_child(REFUSED, open_folder, "user")
    assert sentence == (
        f"Expected to be able to write {open_folder}/day/full.avif, received 'Permission denied' "
        "(output folder)."
    )
    assert tree(open_folder) == {}


def test_a_file_that_does_not_fit_is_the_machines_error_and_leaves_nothing(tmp_path: Path) -> None:
    sentence = in_child(REFUSED, tmp_path, "size")
    assert sentence == (
        f"Expected to be able to write {tmp_path}/day/full.avif, received 'File too large' "
        "(output folder)."
    )
    assert tree(tmp_path) == {}


def test_a_listing_is_of_regular_files_at_any_depth_folder_by_folder(tmp_path: Path) -> None:
    names = ["b.jpg", "a.jpg", "a/z.jpg", "a/b/c/deep.jpg", ".hidden.jpg", "a.b/x.jpg"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))
    listed = list(LocalStore(tmp_path).list())
    assert [entry.path for entry in listed] == sorted(names, key=lambda name: name.split("/"))
    for entry in listed:
        status = (tmp_path / entry.path).stat()
        assert entry == Entry(entry.path, len(entry.path), status.st_mtime_ns)


def test_what_an_operating_system_leaves_behind_is_not_listed(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "photo.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert [entry.path for entry in LocalStore(tmp_path).list()] == ["photo.jpg"]


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    """A folder with links and a FIFO beside one photograph."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(b"photo")
    (folder / "link.jpg").symlink_to("photo.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "fifo.jpg")
    return folder


def entries(folder: Path, *, follow_links: bool = False) -> dict[str, tuple[str | None, int]]:
    """Reason and size of everything listed."""
    found = list(LocalStore(folder, follow_links=follow_links).list())
    assert len(found) == len({entry.path for entry in found}), "each once"
    assert all((entry.reason is None) == (entry.problem is None) for entry in found)
    return {entry.path: (entry.reason, entry.size_bytes) for entry in found}


def test_links_and_fifos_are_entries_that_say_what_they_are(strange: Path) -> None:
    found = {entry.path: entry for entry in LocalStore(strange).list()}
    assert {path: entry.reason for path, entry in found.items()} == {
        "dangling.jpg": Reason.LINK,
        "fifo.jpg": Reason.NOT_A_FILE,
        "link.jpg": Reason.LINK,
        "loop": Reason.LINK,
        "photo.jpg": None,
    }
    assert found["link.jpg"].problem == (
        "It is a link to photo.jpg, and links are not followed (follow_links does)."
    )
    assert found["fifo.jpg"].problem == "It is a named pipe, not a file, and was not opened."


def test_links_are_followed_where_that_is_asked_for_and_loops_are_cut(
    strange: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deeper").mkdir(parents=True)
    (elsewhere / "deeper" / "a.jpg").write_bytes(b"elsewhere")
    (elsewhere / "deeper" / "back").symlink_to(elsewhere)
    (strange / "folder").symlink_to(elsewhere)
    (strange / "itself.jpg").symlink_to("itself.jpg")
    (strange / "above").symlink_to(tmp_path)
    (strange / "pipe.jpg").symlink_to("fifo.jpg")
    assert entries(strange, follow_links=True) == {
        "above": (Reason.LINK, 0),
        "dangling.jpg": (Reason.LINK, len("nowhere.jpg")),
        "fifo.jpg": (Reason.NOT_A_FILE, 0),
        "folder/deeper/a.jpg": (None, 9),
        "folder/deeper/back": (Reason.LINK, 0),
        "itself.jpg": (Reason.LINK, len("itself.jpg")),
        "link.jpg": (None, 5),
        "loop": (Reason.LINK, 0),
        "photo.jpg": (None, 5),
        "pipe.jpg": (Reason.NOT_A_FILE, 0),
    }
    store = LocalStore(strange, follow_links=True)
    assert store.read("link.jpg").data == b"photo"
    assert store.read("folder/deeper/a.jpg").data == b"elsewhere"
    with pytest.raises(OSError, match="not a regular file"):
        store.read("pipe.jpg")


def test_sockets_and_devices_are_entries_and_never_opened(tmp_path: Path) -> None:
    os.mknod(tmp_path / "socket.jpg", stat.S_IFSOCK | 0o600)
    kinds = {"socket.jpg": "a socket"}
    if os.getuid() == 0:
        os.mknod(tmp_path / "device.jpg", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero
        kinds["device.jpg"] = "a device"
    found = {entry.path: entry.problem for entry in LocalStore(tmp_path).list()}
    assert found == {
        path: f"It is {kind}, not a file, and was not opened." for path, kind in kinds.items()
    }


def test_hard_links_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    (tmp_path / "b.jpg").hardlink_to(tmp_path / "a.jpg")
    assert entries(tmp_path) == {"a.jpg": (None, 5), "b.jpg": (None, 5)}


@pytest.fixture
def bottomless(tmp_path: Path) -> Iterator[Path]:
    """A folder that pytest, which calls itself for each level, could not remove."""
    folder = tmp_path / "bottomless"
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def test_folders_may_lie_deeper_than_python_calls_itself_and_than_a_path_is_long(
    bottomless: Path,
) -> None:
    deep, levels = bottomless, 0
    while len(os.fspath(deep)) < 4000:
        deep, levels = deep / "d", levels + 1
    assert levels > 1900
    store = LocalStore(bottomless)
    store.publish("/".join(["d"] * levels) + "/a.jpg", b"photo")
    # And beyond the longest path that the system takes, where only steps lead.
    here = Path.cwd()
    try:
        os.chdir(deep)
        for _ in range(150):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)
    good, beyond = store.list()
    assert (good.path.count("/"), good.reason) == (levels, None)
    assert (beyond.reason, beyond.problem) == (
        Reason.UNREADABLE,
        "The file cannot be read: File name too long.",
    )


def test_a_folder_may_be_refused_before_it_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    seen: list[Path] = []
    list(LocalStore(tmp_path).list(seen.append))
    assert seen == [tmp_path / "a", tmp_path / "a" / "b"]


def test_a_file_is_hashed_in_pieces_and_links_are_not(strange: Path) -> None:
    assert LocalStore(strange).sha256("photo.jpg") == hashlib.sha256(b"photo").hexdigest()
    for name in ("link.jpg", "fifo.jpg"):
        with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
            LocalStore(strange).sha256(name)


@pytest.mark.parametrize("name", ["link.jpg", "dangling.jpg", "fifo.jpg", "loop"])
def test_links_and_fifos_are_not_opened(strange: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"symbolic links|not a regular file"):
        LocalStore(strange).read(name)
    assert LocalStore(strange).size_of(name) is None


def test_a_name_that_is_not_utf_8_is_listed_and_read(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes(b"photo")
    store = LocalStore(tmp_path)
    (entry,) = store.list()
    assert os.fsencode(entry.path) == b"caf\xe9.jpg"
    assert store.read(entry.path).data == b"photo"


def test_a_root_that_cannot_be_listed_ends_the_run_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=str(tmp_path / "missing")):
        list(LocalStore(tmp_path / "missing").list())


def test_a_folder_that_cannot_be_listed_is_an_entry_with_a_problem(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir()
    (closed / "photo.jpg").write_bytes(b"x")
    (open_folder / "photo.jpg").write_bytes(b"x")
    closed.chmod(0o000)
    program = """
import os, sys
from pathlib import Path
from image_assets.engine.storage.store import LocalStore
if os.getuid() == 0:  # root reads everything
    os.setgid(65534)
    os.setuid(65534)
for entry in LocalStore(Path(sys.argv[1])).list():
    print(entry.path, entry.problem, sep=": ")
"""
    try:
        assert in_child(program, open_folder).splitlines() == [
            "closed: The folder cannot be listed: Permission denied.",
            "photo.jpg: None",
        ]
    finally:
        closed.chmod(0o755)


def test_a_read_gives_all_bytes_and_the_date_they_had(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(5, 1_600_000_000_123_456_789))
    content = LocalStore(tmp_path).read("photo.jpg")
    assert content.data == b"0123456789"
    assert content.mtime_ns == path.stat().st_mtime_ns
    assert LocalStore(tmp_path).read_prefix("photo.jpg", 4) == b"0123"
    assert LocalStore(tmp_path).read_prefix("photo.jpg", 99) == b"0123456789"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits a process's memory")
@pytest.mark.parametrize("size_bytes", [0, 150_000_000])
def test_a_file_dated_in_the_future_is_read_twice_and_held_once(
    tmp_path: Path, size_bytes: int
) -> None:
    path = tmp_path / "photo.tif"
    with open(path, "wb") as file:
        file.truncate(size_bytes)
    os.utime(path, (4e9, 4e9))
    with memory.data_limit(int(1.5 * size_bytes) + 10_000_000):
        assert len(LocalStore(tmp_path).read("photo.tif").data) == size_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has files that outgrow their size")
def test_a_file_whose_bytes_do_not_match_its_size_is_not_trusted() -> None:
    # A file of /proc says 0 bytes and gives more: what a growing file looks like.
    with pytest.raises(ChangedWhileReadError):
        LocalStore(Path("/proc/self")).read("status")


def test_a_missing_file_has_no_size_and_deleting_it_does_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("a", b"123")
    assert store.size_of("a") == 3
    store.delete("a")
    assert store.size_of("a") is None
    store.delete("a")
    with pytest.raises(FileNotFoundError):
        store.read("a")


def test_a_file_in_the_way_of_a_folder_is_an_error_and_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("a", b"in the way")
    with pytest.raises((RunError, OSError)) as caught:
        store.publish("a/full.avif", b"picture")
    assert getattr(caught.value, "errno", errno.EEXIST) in (errno.EEXIST, errno.ENOTDIR)
    assert tree(tmp_path) == {"a": b"in the way"}


def test_of_two_that_publish_one_path_at_once_each_is_whole(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(4)]
    failures: list[BaseException] = []

    def publish(content: bytes) -> None:
        try:
            for _ in range(10):
                store.publish("same/path.bin", content)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.read("same/path.bin").data in contents
    assert set(tree(tmp_path)) == {"same/path.bin"}


def test_what_a_killed_run_left_is_taken_over_and_nothing_of_it_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    folder = tmp_path / "a"
    folder.mkdir(parents=True)
    (folder / ".x.tmp").write_bytes(b"longer than what follows")
    store.publish("a/x", b"new")
    assert store.read("a/x").data == b"new"
    assert tree(tmp_path) == {"a/x": b"new"}


def test_temporary_files_are_removed_but_those_in_use(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("a/kept", b"1")
    (tmp_path / "a/.left.tmp").touch()
    with store.publishing("a/new") as temporary:
        Path(temporary).write_bytes(b"2")
        assert remove_temporary(tmp_path / "a") == 1
    assert set(tree(tmp_path)) == {"a/kept", "a/new"}
    assert remove_temporary(tmp_path / "none") == 0


def test_a_file_that_was_written_to_since_it_was_read_has_changed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.publish("a", b"one")
    content = store.read("a")
    assert not store.has_changed("a", 3, content.mtime_ns)
    (tmp_path / "a").write_bytes(b"two")
    os.utime(tmp_path / "a", ns=(1, content.mtime_ns + 1))
    assert store.has_changed("a", 3, content.mtime_ns)
    store.delete("a")
    assert not store.has_changed("a", 3, content.mtime_ns), "what was read of it was whole"


@pytest.mark.parametrize("date_s", [-2_000_000_000, 0, 10_000_000_000])
def test_a_date_that_no_table_holds_is_the_nearest(tmp_path: Path, date_s: int) -> None:
    store = LocalStore(tmp_path)
    store.publish("a", b"one")
    os.utime(tmp_path / "a", (date_s, date_s))
    [entry] = store.list()
    assert entry.mtime_ns == store.read("a").mtime_ns
    assert -(2**63) <= entry.mtime_ns < 2**63
