"""Kernels on disk: compiled by the first process alone, and again when a file is damaged or cannot be kept."""

import pytest

from vggnumpy.kernel_cache import cache_folder, compiled_once

CODE = bytes(range(256)) * 5  # newlines and all


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "a" / "cache"))
    return cache_folder()


@pytest.fixture
def compile_():
    """Return a function that counts how often it was called."""

    def compile_():
        compile_.calls += 1
        return CODE, "name"

    compile_.calls = 0
    return compile_


def test_it_is_compiled_once(compile_, folder):
    for _ in range(3):
        assert compiled_once(compile_, "source", "f<float>", "13") == (CODE, "name")
    assert compile_.calls == 1
    (file,) = folder.iterdir()
    assert file.name.startswith("vggnumpy_") and file.suffix == ".cubin"


def test_whatever_the_code_depends_on_makes_another_file(compile_, folder):
    keys = [
        ("source", "f", "13"),
        ("source ", "f", "13"),
        ("source", "g", "13"),
        ("source", "f", "12"),
        ("sourcef", "13"),
    ]
    for key in keys:
        compiled_once(compile_, *key)
    assert compile_.calls == len(keys) == len(list(folder.iterdir()))


@pytest.mark.parametrize(
    "damage", [lambda file: file[:-1], lambda file: file[:80] + b"?" + file[81:], lambda file: b""]
)
def test_a_damaged_file_is_compiled_anew(compile_, folder, damage):
    compiled_once(compile_, "source")
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert compiled_once(compile_, "source") == (CODE, "name") and compile_.calls == 2
    assert file.read_bytes() == whole and list(folder.iterdir()) == [file]


def test_where_nothing_can_be_kept_it_is_compiled_every_time(compile_, folder):
    folder.parent.mkdir()
    folder.write_text("a file where the folder would be")
    for calls in (1, 2):
        assert compiled_once(compile_, "source") == (CODE, "name") and compile_.calls == calls


def test_what_does_not_compile_leaves_nothing(folder):
    def fail():
        raise RuntimeError("it does not compile")

    with pytest.raises(RuntimeError, match="it does not compile"):
        compiled_once(fail, "source")
    assert not folder.exists()


def test_the_folder_is_cupys(monkeypatch, tmp_path):
    monkeypatch.delenv("CUPY_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cupy" / "kernel_cache"
