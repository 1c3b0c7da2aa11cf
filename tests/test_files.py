"""Files are written whole or not at all, and every failure is one sentence."""

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from vggnumpy.errors import InputError
from vggnumpy.files import atomic_path, check_output, open_input, sha256


def test_the_temporary_file_is_beside_the_target_with_its_suffix(tmp_path: Path) -> None:
    target = tmp_path / "result.png"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"
        assert not temporary.exists()
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result.png"]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "result.h5"
    target.write_bytes(b"old")
    with atomic_path(str(target)) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ZeroDivisionError, MemoryError])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, interruption: type[BaseException]) -> None:
    target = tmp_path / "result.json"
    target.write_bytes(b"old")
    with pytest.raises(interruption), atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise interruption
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    with pytest.raises(InputError, match="No space left") as caught, atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(target) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_the_result_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with atomic_path(tmp_path / "result") as temporary:
        temporary.write_bytes(b"")
    assert (tmp_path / "result").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_keeps_pointing_to_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "file")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"new"


def test_a_very_long_name_is_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".png")
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"


def test_an_output_is_checked_without_leaving_a_trace(tmp_path: Path) -> None:
    check_output(tmp_path / "result.png")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist; create it first"):
        check_output(tmp_path / "nowhere" / "result.png")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="does not exist; create it first"):
        check_output(tmp_path / "file" / "result.png")


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder of that name"):
        check_output(tmp_path)


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or device of that name"), atomic_path(tmp_path / "pipe"):
        pass
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_output(tmp_path / "result.png")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder that even root cannot write to")
def test_a_folder_that_takes_no_files() -> None:
    with pytest.raises(InputError, match="no file can be written there"):
        check_output("/proc/self/result.png")


def test_names_that_are_no_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="null byte"):
        check_output(f"{tmp_path}/a\0b")
    with pytest.raises(InputError, match="null byte"):
        open_input(f"{tmp_path}/a\0b")
    with pytest.raises(InputError, match="too long"):
        check_output(tmp_path / ("n" * 300))


def test_inputs_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        open_input(tmp_path / "missing")
    with pytest.raises(InputError, match="expected a file, found a folder"):
        open_input(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="found a pipe or device"):
        open_input(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputError, match="the file cannot be opened"):
        open_input(tmp_path / "loop")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read anything")
def test_an_input_without_permission(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(0o000)
    with pytest.raises(InputError, match="Permission denied"):
        open_input(tmp_path / "secret")


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
