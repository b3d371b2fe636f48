"""Locks on files: between processes, within one, and after an end by force."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mbuzz.delivery.spool_lock import FileLock, remove_file

ROOT = str(Path(__file__).resolve().parent.parent.parent)
TRY = (
    "import sys; from mbuzz.delivery.spool_lock import FileLock; "
    "print(FileLock(sys.argv[1]).acquire())"
)


def elsewhere(path):
    """Tell whether another process can have the lock."""
    said = subprocess.run(
        [sys.executable, "-c", TRY, str(path)],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdout=subprocess.PIPE,
        timeout=30,
        check=True,
    )
    return said.stdout.strip() == b"True"


def test_one_at_a_time_has_the_lock(tmp_path):
    path = tmp_path / "a.lock"
    lock, other = FileLock(str(path)), FileLock(str(path))

    assert lock.acquire()
    assert (lock.held, other.acquire(), other.held) == (True, False, False)
    assert not elsewhere(path)
    lock.release()
    lock.release()

    assert elsewhere(path)
    assert other.acquire()
    other.release(remove=True)
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here")
def test_asking_for_a_lock_in_vain_costs_no_descriptor_and_not_the_lock(tmp_path):
    path = tmp_path / "a.lock"
    lock = FileLock(str(path))
    assert lock.acquire()
    before = len([*Path("/proc/self/fd").iterdir()])

    assert not any(FileLock(str(path)).acquire() for _ in range(100))

    assert len([*Path("/proc/self/fd").iterdir()]) == before
    assert not elsewhere(path)
    lock.release()


def test_lock_by_another_name_of_the_file_is_the_same(tmp_path):
    path = tmp_path / "a.lock"
    lock = FileLock(str(path))
    lock.acquire()
    (tmp_path / "link").symlink_to(tmp_path)

    assert not FileLock(str(tmp_path / "link" / "a.lock")).acquire()

    lock.release()


def test_new_lock_needs_a_new_file(tmp_path):
    path = tmp_path / "a.lock"
    path.touch()

    with pytest.raises(FileExistsError):
        FileLock(str(path)).acquire(new=True)


def test_file_that_cannot_be_removed_is_said(tmp_path):
    (tmp_path / "file").touch()

    assert remove_file(str(tmp_path / "file"))
    assert remove_file(str(tmp_path / "file"))
    assert not remove_file(str(tmp_path))
