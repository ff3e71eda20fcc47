import errno
import os
from pathlib import Path

import pytest

from image_assets.engine.errors import RunError
from image_assets.engine.faults import BROKEN_IN_A_ROW, SourceDisk


def test_a_few_errors_of_the_disk_are_images_that_cannot_be_read(tmp_path: Path) -> None:
    disk = SourceDisk(tmp_path)
    for _ in range(3):
        for number in range(BROKEN_IN_A_ROW - 1):
            disk.met(errno.EIO, f"{number}.jpg")
        disk.was_read()


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENOTCONN])
def test_many_in_a_row_are_a_broken_disk(tmp_path: Path, number: int) -> None:
    disk = SourceDisk(tmp_path)
    for count in range(BROKEN_IN_A_ROW - 1):
        disk.met(number, f"{count}.jpg")
    with pytest.raises(RunError, match=os.strerror(number)) as caught:
        disk.met(number, "9.jpg")
    assert f"from {BROKEN_IN_A_ROW} files in a row, last '9.jpg' ({tmp_path})" in str(caught.value)


def test_files_that_nobody_may_read_are_no_fault_of_the_disk(tmp_path: Path) -> None:
    disk = SourceDisk(tmp_path)
    for number in range(100):
        disk.met(errno.EACCES, f"{number}.jpg")
        disk.met(None, f"{number}.jpg")
        disk.met(errno.ENOENT, f"{number}.jpg")  # its folder is still there


def test_no_file_handle_left_is_the_process_and_not_the_image(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"file handle.*'a\.jpg' \(ulimit -n\)"):
        SourceDisk(tmp_path).met(errno.EMFILE, "a.jpg")


@pytest.mark.parametrize("fault", ["removed", "replaced"])
def test_a_folder_that_goes_takes_no_image_with_it(tmp_path: Path, fault: str) -> None:
    root = tmp_path / "source"
    root.mkdir()
    disk = SourceDisk(root)
    root.rename(tmp_path / "away")
    if fault == "replaced":  # as by what was below a mount point
        root.mkdir()
    with pytest.raises(RunError, match=r"Expected the source folder to stay.*source\)"):
        disk.met(errno.ENOENT, "a.jpg")
