"""``vggnumpy weights`` as a person types it."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from servers import Server, serving, whole

from vggnumpy.cli import main
from vggnumpy.formats import fetch as fetch_module
from vggnumpy.formats import load, read_weights, registry, write_weights
from vggnumpy.formats.registry import ORIGINALS, Published
from vggnumpy.nets import architecture, fit_table, random_network

SHAPES = {"conv1_1": (3, 3, 3, 4), "conv1_2": (3, 3, 4, 4)}
NETWORK = random_network(fit_table(architecture("vgg19"), SHAPES))


def npz_bytes() -> bytes:
    file = io.BytesIO()
    arrays = {}
    for name, (w, b) in NETWORK.weights.items():
        arrays |= {f"{name}.weight": w.transpose(3, 2, 0, 1), f"{name}.bias": b}
    np.savez(file, **arrays)
    return file.getvalue()


DATA = npz_bytes()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let nothing be here but what a test puts into the cache."""
    monkeypatch.setattr(load, "__file__", str(tmp_path / "clone" / "vggnumpy" / "formats" / "load.py"))
    monkeypatch.setenv("VGGNUMPY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VGGNUMPY_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Offer one original, small, beside the known ones."""
    with serving() as server:
        server.answers["/net.npz"] = whole(DATA)
        small = Published(
            "small",
            "vgg19",
            server.address,
            "net.npz",
            "a licence (of someone)",
            len(DATA),
            {"sha256": hashlib.sha256(DATA).hexdigest()},
            options={"architecture": "vgg19", "input_convention": "matconvnet"},
            note="a note",
        )
        for module in (fetch_module, load, registry):
            monkeypatch.setattr(module, "ORIGINALS", {"small": small})
        yield server


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["weights", *arguments])
    output, errors = capsys.readouterr()
    assert code < 2 and errors == "", errors
    return code, output


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["weights", *arguments]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("vggnumpy: error: ") and errors.count("\n") == 1
    return errors


def damage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["conv1_1/bias"][0] += 1


def test_the_list_shows_every_original_and_which_are_here(capsys, cache):
    _, output = run(capsys, "list")
    lines = output.splitlines()
    assert lines[0].split() == ["name", "network", "size", "licence", "here"]
    assert [line.split()[0] for line in lines[1 : 1 + len(ORIGINALS)]] == list(ORIGINALS)
    assert "534.9 MB   CC BY 4.0" in output and "unknown" in output
    cache.mkdir()
    write_weights(cache / "vgg19.h5", NETWORK)
    assert str(cache / "vgg19.h5") in run(capsys, "list")[1]


def test_the_list_as_json(capsys, cache):
    cache.mkdir()
    write_weights(cache / "vgg16.h5", NETWORK)
    (cache / "originals").mkdir()
    (cache / "originals" / "vgg-face.mat").write_bytes(b"")
    rows = {row["name"]: row for row in json.loads(run(capsys, "list", "--json")[1])}
    assert set(rows) == set(ORIGINALS)
    assert rows["vgg16"]["path"] == str(cache / "vgg16.h5")
    assert (rows["vgg19"]["path"], rows["vgg19"]["size"]) == (None, 534904783)
    assert rows["vgg19"]["digests"]["md5"] == "106118b7cf60435e6d8e04f6a6dc3657"
    assert rows["vgg-face"]["original"] == str(cache / "originals" / "vgg-face.mat")
    assert "the original alone" in run(capsys, "list")[1]


def test_fetch_says_what_it_did_and_the_network_is_found(capsys, cache, server):
    _, output = run(capsys, "fetch", "small")
    assert f"fetching {server.address}net.npz (0.0 MB); licence: a licence (of someone)" in output
    assert (
        f"wrote {cache / 'small.h5'}: vgg19, digest {read_weights(cache / 'small.h5').provenance['digest']}" in output
    )
    assert "the original was deleted" in output
    assert "--weights small finds it" in output
    assert run(capsys, "fetch", "small") == (0, f"small is here already: {cache / 'small.h5'}\n")
    assert server.asked == ["/net.npz"]


def test_fetch_keep_says_where(capsys, cache, server):
    assert f"the original is kept: {cache / 'originals' / 'net.npz'}" in run(capsys, "fetch", "small", "--keep")[1]


def test_fetch_from_a_file(capsys, cache, server):
    Path("mine.npz").write_bytes(DATA)
    _, output = run(capsys, "fetch", "small", "--from", "mine.npz")
    assert "--weights small finds it" in output and "deleted" not in output
    assert server.asked == [] and Path("mine.npz").read_bytes() == DATA


def test_fetch_replaces_what_is_damaged(capsys, cache, server):
    run(capsys, "fetch", "small")
    damage(cache / "small.h5")
    assert "the file that is here is not used: " in run(capsys, "fetch", "small")[1]
    read_weights(cache / "small.h5")


def test_fetch_says_when_another_file_comes_first(capsys, cache, server, tmp_path, monkeypatch):
    monkeypatch.setenv("VGGNUMPY_WEIGHTS", str(tmp_path))
    write_weights("small.h5", NETWORK)
    damage(Path("small.h5"))
    _, output = run(capsys, "fetch", "small")
    assert f"--weights small finds {tmp_path / 'small.h5'} before it" in output


def test_fetch_without_a_network(capsys, server):
    del server.answers["/net.npz"]
    words = refused(capsys, "fetch", "small")
    assert f"{server.address}net.npz was not fetched: the server answers 404 Not Found" in words
    assert "vggnumpy weights fetch small --from net.npz" in words


def test_a_name_that_is_unknown(capsys):
    assert "'vgg18'" in refused(capsys, "fetch", "vgg18")
    assert "'vgg18' is neither here nor known" in refused(capsys, "show", "vgg18")
    assert "'vgg19' is not here; get it with: vggnumpy weights fetch vgg19" in refused(capsys, "verify", "vgg19")


def test_verify_reads_everything_again(capsys, cache, server, tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("VGGNUMPY_WEIGHTS", str(tmp_path / "own"))
    write_weights(tmp_path / "own" / "mine.h5", NETWORK)
    run(capsys, "fetch", "small", "--keep")
    code, output = run(capsys, "verify")
    assert code == 0 and output.endswith("3 files, 0 failed\n")
    assert [line.split() for line in output.splitlines()[1:-1]] == [
        ["mine", str(tmp_path / "own" / "mine.h5"), "ok"],
        ["small", str(cache / "small.h5"), "ok"],
        ["small", str(cache / "originals" / "net.npz"), "ok"],
    ]
    assert run(capsys, "verify", "mine")[1].endswith("1 files, 0 failed\n")


@pytest.mark.parametrize("name", ["small.h5", "originals/net.npz"])
def test_verify_finds_what_is_damaged(capsys, cache, server, name):
    run(capsys, "fetch", "small", "--keep")
    if name.endswith(".h5"):
        damage(cache / name)
    else:
        (cache / name).write_bytes(DATA[:-1] + b"?")
    code, output = run(capsys, "verify")
    assert code == 1 and output.endswith("2 files, 1 failed\n")
    (failed,) = [line for line in output.splitlines() if "FAILED" in line]
    assert str(cache / name) in failed and ("digest" if name.endswith(".h5") else "SHA256") in failed


def test_verify_finds_a_first_layer_the_wrong_way_round(capsys, cache, monkeypatch):
    def wrong(net: object) -> None:
        raise load.InputError("the filters are the wrong way round")

    cache.mkdir()
    write_weights(cache / "mine.h5", NETWORK)
    monkeypatch.setattr(load, "check_first_layer", wrong)
    code, output = run(capsys, "verify")
    assert code == 1 and "FAILED: the filters are the wrong way round" in output


def test_verify_with_nothing_here(capsys):
    assert run(capsys, "verify")[1].endswith("0 files, 0 failed\n")


def test_show_tells_all_there_is(capsys, cache, server):
    _, output = run(capsys, "show", "small")
    for words in ("a note", f"{server.address}net.npz", f"{len(DATA):,} bytes", "a licence (of someone)"):
        assert words in output
    assert hashlib.sha256(DATA).hexdigest() in output
    assert "vggnumpy weights fetch small\n" in output
    by_hand = "vggnumpy convert net.npz -o weights/small.h5 --architecture vgg19 --input matconvnet"
    assert by_hand in output and "digest" not in output
    run(capsys, "fetch", "small")
    _, output = run(capsys, "show", "small")
    assert "4: conv1_1, relu1_1, conv1_2, relu1_2" in output
    assert "RGB" in output and "123.68, 116.779, 103.939" in output
    assert str(read_weights(cache / "small.h5").provenance["digest"]) in output


def test_the_commands_that_show_prints_work(capsys, cache, server):
    _, output = run(capsys, "show", "small")
    (line,) = [line for line in output.splitlines() if line.startswith("by hand")]
    Path("weights").mkdir()
    Path("net.npz").write_bytes(DATA)
    assert main(line.split()[3:]) == 0
    run(capsys, "fetch", "small", "--from", "net.npz")
    assert (
        read_weights("weights/small.h5").provenance["digest"] == read_weights(cache / "small.h5").provenance["digest"]
    )


def test_show_what_is_only_begun_archived_or_gone(capsys, monkeypatch):
    assert "begins with d01eb7cb" in run(capsys, "show", "vgg19-johnson")[1]
    output = run(capsys, "show", "vgg-face-oxford")[1]
    assert "tar -xzf vgg_face_matconvnet.tar.gz vgg_face_matconvnet/data/vgg_face.mat && vggnumpy convert" in output
    assert "non-commercial" in output
    output = run(capsys, "show", "vgg19-gatys")[1]
    assert "no longer offered" in output and "fetch vgg19-gatys --from FILE" in output


def test_show_a_network_of_one_s_own(capsys, cache):
    cache.mkdir()
    write_weights(cache / "mine.h5", replace(NETWORK, channel_order="BGR"))
    _, output = run(capsys, "show", "mine")
    assert "BGR" in output and "fetch" not in output
