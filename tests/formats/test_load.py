"""Where `load_network` looks, and what it exchanges."""

from pathlib import Path

import numpy as np
import pooch
import pytest

import vggnumpy
from vggnumpy.errors import InputError
from vggnumpy.formats import find_weights, load, load_network, write_weights
from vggnumpy.formats.load import cache_folder
from vggnumpy.nets import architecture, fit_table, random_network

SHAPES = {"conv1_1": (3, 3, 3, 4), "conv1_2": (3, 3, 4, 4), "conv2_1": (3, 3, 4, 5)}
NETWORK = random_network(fit_table(architecture("vgg19"), SHAPES))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that VGGNUMPY_WEIGHTS names, with the file small.h5, and stand elsewhere."""
    (tmp_path / "weights").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write_weights(tmp_path / "weights" / "small.h5", NETWORK)
    monkeypatch.setenv("VGGNUMPY_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("VGGNUMPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "weights"


def test_a_path_and_a_name_load_the_same_file(folder: Path) -> None:
    for name in ("small", folder / "small.h5", str(folder / "small.h5"), "../weights/small.h5"):
        net = load_network(name)
        assert net.table == NETWORK.table
        np.testing.assert_array_equal(net.weights["conv2_1"][0], NETWORK.weights["conv2_1"][0], strict=True)
        assert net.provenance["file"] == "small.h5"
    assert find_weights("small") == folder / "small.h5"
    assert find_weights("vgg18") is None


def test_the_folder_beside_the_package_comes_second(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    (clone / "weights").mkdir(parents=True)
    (clone / "setup.py").touch()
    monkeypatch.setattr(load, "__file__", str(clone / "vggnumpy" / "formats" / "load.py"))
    for name in ("small.h5", "other.h5"):
        write_weights(clone / "weights" / name, NETWORK)
    assert find_weights("small") == folder / "small.h5"
    assert find_weights("other") == clone / "weights" / "other.h5"
    monkeypatch.delenv("VGGNUMPY_WEIGHTS")
    assert find_weights("small") == clone / "weights" / "small.h5"
    (clone / "setup.py").unlink()
    assert find_weights("small") is None, "a folder of installed packages may hold somebody else's weights"
    (clone / "vggnumpy" / "weights").mkdir(parents=True)
    write_weights(clone / "vggnumpy" / "weights" / "small.h5", NETWORK)
    assert find_weights("small") == clone / "vggnumpy" / "weights" / "small.h5"


def test_the_folder_beside_the_package_is_the_clone_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VGGNUMPY_WEIGHTS")
    beside = Path(vggnumpy.__file__).parent.parent / "weights"
    assert list(load.weights_folders()) == [beside] * beside.is_dir()


def test_the_cache_comes_last(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for name in ("small.h5", "fetched.h5"):
        write_weights(tmp_path / "cache" / name, NETWORK)
    assert find_weights("small") == folder / "small.h5"
    assert find_weights("fetched") == tmp_path / "cache" / "fetched.h5"


def test_without_the_variable_the_cache_is_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VGGNUMPY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == Path(pooch.os_cache("vggnumpy"))
    assert "vggnumpy" in cache_folder().parts


def test_a_missing_network_that_can_be_fetched_says_how() -> None:
    with pytest.raises(InputError, match=r"no file vgg-face\.h5 .*get it with: vggnumpy weights fetch vgg-face$"):
        load_network("vgg-face")


def test_options_are_exchanged_at_loading_and_only_when_given() -> None:
    plain = load_network("small")
    assert plain.dtype == np.float32
    assert plain.pad_mode == "zero"
    net = load_network("small", pooling="average", dtype="float64", pad_mode="reflect", pool_rounding="ceil")
    (pool,) = [layer for layer in net.table if layer.kind == "pool"]
    assert (pool.method, pool.rounding, net.pad_mode, net.dtype) == ("average", "ceil", "reflect", np.float64)
    assert plain.table == NETWORK.table
    np.testing.assert_array_equal(net.weights["conv1_1"][0], NETWORK.weights["conv1_1"][0].astype("float64"))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"pooling": "median"}, "pooling must be one of max, average"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
        ({"dtype": "single!"}, "dtype must be one of float32, float64"),
        ({"pad_mode": "mirror"}, "pad mode must be one of zero, reflect, replicate"),
        ({"pool_rounding": "up"}, "pool rounding must be floor or ceil"),
    ],
)
def test_an_option_that_does_not_exist_is_said(option: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_network("small", **option)  # type: ignore[arg-type]


def test_an_unknown_name_says_where_it_looked_what_there_is_and_what_to_do(folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_network("vgg99")
    message = str(caught.value)
    assert "\n" not in message
    for words in (
        "'vgg99'",
        "vgg99.h5",
        str(folder),
        "VGGNUMPY_WEIGHTS",
        "networks here are: builtin, small;",
        "vggnumpy convert",
    ):
        assert words in message


@pytest.mark.parametrize("name", ["vgg19.pth", "nets/vgg19.npz", Path("vgg19.pt"), Path("vgg19"), "nets/vgg19"])
def test_an_original_is_not_loaded_but_its_conversion_is_told(name: str | Path) -> None:
    with pytest.raises(InputError, match=rf"vggnumpy convert {name} -o vgg19\.h5") as caught:
        load_network(name)
    assert str(caught.value).startswith(str(name))


def test_a_folder_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VGGNUMPY_WEIGHTS", "/no/such/folder")
    with pytest.raises(InputError, match="VGGNUMPY_WEIGHTS names /no/such/folder, which is not a folder"):
        load_network("vgg19")
    with pytest.raises(InputError, match=r"missing\.h5: there is no such file"):
        load_network("missing.h5")
