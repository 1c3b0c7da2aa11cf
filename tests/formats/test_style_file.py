"""The style file: what is written comes back bit for bit, and whatever is wrong with a file is one sentence."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from small_styles import LAYERS, small_chain, small_styles

from vggnumpy.errors import InputError
from vggnumpy.formats.style_file import content_digest, read_style, ready_styles, style_network, write_style
from vggnumpy.formats.weights import write_weights
from vggnumpy.losses import GramStatistics
from vggnumpy.style_mixing import edit_style, eigengram_multiscale, mean_multiscale, mix_multiscale

STYLES = small_styles(3)


@pytest.fixture
def path(tmp_path):
    """Return a good style file."""
    write_style(tmp_path / "s.h5", STYLES[0])
    return tmp_path / "s.h5"


def assert_same(found, style):
    assert (found.sizes, found.layers) == (style.sizes, style.layers)
    assert (found.digests, found.network, found.recipe) == (style.digests, style.network, style.recipe)
    np.testing.assert_array_equal(found.preview, style.preview, strict=True)
    for size in style.sizes:
        for layer in style.layers:
            (a, m), (b, n) = found.grams[size][layer], style.grams[size][layer]
            assert (a.dtype, a.tobytes(), m) == (b.dtype, b.tobytes(), n)


@pytest.mark.parametrize(
    "style",
    [
        STYLES[0],
        mean_multiscale(STYLES),
        eigengram_multiscale(STYLES, stacked=True),
        mix_multiscale([mean_multiscale(STYLES[:2]), STYLES[2]], [0.3, 0.7]),
        edit_style(STYLES[1], {"relu1_1": 2.0}, {"relu2_1": {3: 0.0}}),
        small_styles(1, small_chain(dtype="float64"), size=32)[0],
        replace(STYLES[0], recipe={**STYLES[0].recipe, "name": "«ночь» .png"}),
    ],
    ids=["picture", "mean", "eigengram", "mixture", "edit", "float64", "name"],
)
def test_what_is_written_comes_back_to_the_bit(tmp_path, style):
    digest = write_style(tmp_path / "s.h5", style)
    assert_same(read_style(tmp_path / "s.h5"), style)
    with h5py.File(tmp_path / "s.h5") as file:
        assert file.attrs["digest"].decode() == digest
        assert file["size 32/relu1_1" if style.sizes == (32,) else "size 128/relu2_1"].attrs["positions"] > 0


def test_a_style_that_could_not_be_read_is_not_written(tmp_path):
    bad = {
        size: {**grams, "relu1_1": GramStatistics(np.full((4, 4), np.nan), 3)}
        for size, grams in STYLES[0].grams.items()
    }
    with pytest.raises(InputError, match=r"s\.h5: the style cannot be stored: 'size 128/relu1_1' needs finite numbers"):
        write_style(tmp_path / "s.h5", replace(STYLES[0], grams=bad))
    with pytest.raises(InputError, match=r"recipe"):
        write_style(tmp_path / "s.h5", replace(STYLES[0], recipe={"made": "soup"}))
    assert list(tmp_path.iterdir()) == []


def change(path, edit, sign=False):
    """Edit a file in place; `sign` gives it the digest that belongs to the new content."""
    with h5py.File(path, "r+") as file:
        edit(file)
        if sign:
            texts = {name: file.attrs[name].decode() for name in ("network", "layers", "recipe")}
            names = [f"size {size}/{layer}" for size in (128, 256) for layer in LAYERS]
            found = {name: (file[name][()], int(file[name].attrs["positions"])) for name in names if name in file}
            file.attrs["digest"] = content_digest(texts, found, file["preview"][()])


def put(name, value):
    def edit(file):
        positions = file[name].attrs.get("positions")
        del file[name]
        file.create_dataset(name, data=value)
        if positions is not None:
            file[name].attrs["positions"] = positions

    return edit


def attribute(name, value):
    return lambda file: file.attrs.__setitem__(name, value if isinstance(value, bytes) else json.dumps(value).encode())


def deep(file):
    recipe = '{"made":"mean","of":[' * 3000 + "]}" * 3000
    file.attrs.create("recipe", recipe.encode(), dtype=h5py.string_dtype("utf-8", len(recipe)))


ROW = {"name": "relu1_1", "digest": "0" * 64}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("size 128/relu1_1", np.ones((4, 4), "float32")), "changed after it was written: expected the digest"),
        (lambda f: f["size 128/relu1_1"].attrs.__setitem__("positions", 7), "changed after it was written"),
        (put("preview", np.zeros((9, 9, 3), "uint8")), "changed after it was written"),
        (attribute("network", {"name": "a", "file": "", "pooling": "no", "pad_mode": "zero"}), "changed after it was"),
        (attribute("digest", b"0" * 64), "changed after it was written"),
        (attribute("digest", b"none"), "64 hexadecimal digits"),
        (attribute("format", b"vggnumpy style 9"), "found the format 'vggnumpy style 9'"),
        (lambda f: f.attrs.__delitem__("format"), "found another HDF5 file"),
        (lambda f: f.attrs.__delitem__("recipe"), "a text in the attribute recipe"),
        (lambda f: f.attrs.__setitem__("layers", 3), "a text in the attribute layers"),
        (attribute("layers", b"{"), "attribute layers is not JSON"),
        (attribute("layers", []), "it has no layers"),
        (attribute("layers", {}), "must list names and digests"),
        (attribute("layers", [3]), "must list names and digests"),
        (attribute("layers", [ROW, ROW]), "must list names and digests"),
        (attribute("layers", [{"name": "relu1_1", "digest": "x"}]), "must list names and digests"),
        (attribute("network", {"name": 3}), "attribute network must hold the texts"),
        (attribute("recipe", [3]), "does not say how it was made"),
        (attribute("recipe", {"made": "mixture", "of": [], "weights": []}), "not one that this vggnumpy knows"),
        (attribute("recipe", {"made": "mixture", "of": [{"made": "soup"}], "weights": [1.0]}), r"knows \('soup'\)"),
        (attribute("recipe", {"made": "picture"}), "not one that this vggnumpy knows"),
        (
            attribute("recipe", {"made": "edit", "of": [STYLES[0].recipe], "layers": {"relu1_1": "x"}}),
            "not one that this vggnumpy knows",
        ),
        (attribute("recipe", {"made": "edit", "of": []}), "not one that this vggnumpy knows"),
        (deep, "attribute recipe is not JSON|not one that this vggnumpy knows"),
        (lambda f: f.__delitem__("preview"), "it has no preview"),
        (put("preview", np.zeros((9, 9), "uint8")), "its preview has the shape"),
        (put("preview", np.zeros((9, 9, 3), "float32")), "preview is float32, expected one of uint8"),
        (lambda f: f.__delitem__("size 128/relu1_1"), "matrix of layer relu1_1 at size 128 is missing"),
        (lambda f: [f.__delitem__(name) for name in ("size 128", "size 256")], "it holds no matrices"),
        (lambda f: f.create_dataset("size 64/relu1_1", data=np.ones((4, 4))), "relu2_1 at size 64 is missing"),
        (lambda f: f.create_dataset("stranger", data=3.0), "holds 'stranger', which is no part of a style"),
        (lambda f: f.create_dataset("size 0/relu1_1", data=3.0), "no part of a style"),
        (put("size 128/relu1_1", np.ones((4, 5), "float32")), "expected a square matrix"),
        (put("size 128/relu1_1", np.ones(4, "float32")), "expected a matrix"),
        (put("size 128/relu1_1", np.ones((4, 4), "int32")), "is int32, expected one of float32, float64"),
        (put("size 128/relu1_1", np.full((4, 4), np.inf, "float32")), "needs finite numbers"),
        (lambda f: f["size 128/relu1_1"].attrs.__setitem__("positions", 0), "positive number of positions"),
        (lambda f: f["size 128/relu1_1"].attrs.__delitem__("positions"), "does not say its number of positions"),
    ],
)
def test_a_damaged_file_is_one_sentence(path, edit, message):
    change(path, edit)
    with pytest.raises(InputError, match=message) as caught:
        read_style(path)
    assert str(caught.value).startswith(f"{path}: ") and "vggnumpy style compute" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("size 128/relu1_1", np.ones((4, 4), "float64")), "several dtypes"),
        (put("size 128/relu1_1", np.ones((3, 3), "float32")), "not as many channels at every size"),
    ],
)
def test_a_digest_does_not_excuse_what_does_not_fit(path, edit, message):
    change(path, edit, sign=True)
    with pytest.raises(InputError, match=message):
        read_style(path)


def test_numbers_that_are_elsewhere_are_not_followed(path, tmp_path):
    def outside(file):
        del file["size 128/relu1_1"]
        shape = (4, 4)
        data = file.create_dataset("size 128/relu1_1", shape, "float32", external=[("/dev/zero", 0, 64)])
        data.attrs["positions"] = 3

    change(path, outside)
    with pytest.raises(InputError, match="are not all in the file"):
        read_style(path)


def test_other_files_are_refused_by_what_they_are(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty.h5").write_bytes(b"")
    write_weights(tmp_path / "net.h5", small_chain())
    for name, message in (
        ("a.h5", "found another kind of file"),
        ("empty.h5", "found another kind of file"),
        ("net.h5", "found the format 'vggnumpy weights 1'"),
        ("none.h5", "there is no such file"),
    ):
        with pytest.raises(InputError, match=message):
            read_style(tmp_path / name)


def test_a_file_cut_short_or_with_a_flipped_bit_is_one_sentence_or_whole(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged[: rng.integers(1, len(whole))] if rng.random() < 0.3 else damaged)
        try:
            assert_same(read_style(path), STYLES[0])  # the bit was of no importance
        except InputError as error:
            assert str(error).startswith(f"{path}: ")


def test_styles_are_told_from_pictures_by_the_suffix(path):
    read = ready_styles([path, STYLES[1]])
    assert_same(read[0], STYLES[0])
    assert read[1] is STYLES[1]
    assert ready_styles(["a.png", np.zeros((3, 3, 3))]) == []
    with pytest.raises(InputError, match="style files and style pictures do not go together"):
        ready_styles([path, "a.png"])


def test_a_style_is_used_with_its_own_network_if_that_is_here(tmp_path, monkeypatch):
    assert style_network(STYLES[0]).name == "small-vgg"
    write_weights(tmp_path / "mine.h5", small_chain())
    monkeypatch.setenv("VGGNUMPY_WEIGHTS", str(tmp_path))
    style = replace(STYLES[0], network={**STYLES[0].network, "file": "mine.h5"})
    style.check(style_network(style).with_pooling("average"), LAYERS)
