"""The command line as a person types it; every bad input gets one sentence, exit code 2, and writes nothing."""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from vggnumpy.cli import main
from vggnumpy.formats.weights import write_weights
from vggnumpy.images import read_image, write_image
from vggnumpy.nets import architecture, random_network

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a content and a style picture and a small network."""
    monkeypatch.chdir(tmp_path)
    write_image("content.png", RNG.integers(0, 256, (40, 56, 3)))
    write_image("style.png", RNG.integers(0, 256, (48, 48, 3)))
    write_image("start.png", RNG.integers(0, 256, (40, 56, 3)))
    write_weights("net.h5", random_network(architecture("vgg19")[:7], rng=0))
    return tmp_path


QUICK = ["--weights", "net.h5", "--size", "32", "--iterations", "2"]


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def large_png(side: int) -> bytes:
    """A complete, legal PNG of one grey, side × side RGB pixels, in a few kilobytes."""
    header = png_header(side, side)
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x80" * (3 * side)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    chunks = b""
    for name, content in ((b"IDAT", data), (b"IEND", b"")):
        chunks += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return header + chunks


def test_pictures_on_the_way_never_replace_an_input(folder, capsys):
    Path("content.png").rename("out.0001.png")
    arguments = ["transfer", "out.0001.png", "style.png", "-o", "out.png", *QUICK]
    assert "--save-every" in refused(capsys, *arguments, "--save-every", "1")
    assert main(arguments) == 0


def test_the_start_picture_is_among_the_recorded_inputs(folder):
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *QUICK, "--init", "start.png"]) == 0
    record = json.loads(Path("out.json").read_text())
    assert [row["path"] for row in record["inputs"]] == ["content.png", "style.png", "start.png"]
    assert record["device"] == "numpy"


def test_a_picture_on_the_way_that_cannot_be_written_does_not_end_the_run(folder, capsys):
    Path("out.0001.png").mkdir()
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *QUICK, "--save-every", "1"]) == 0
    assert "going on without it" in capsys.readouterr().err
    assert Path("out.0002.png").is_file()


def test_a_reader_that_leaves_is_no_failed_check():
    command = [sys.executable, "-m", "vggnumpy", "gradcheck"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def refused(capsys, *arguments: str) -> str:
    """Run a command that must be refused; return its sentence."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    try:
        code = main(list(arguments))
    except SystemExit as exit_:
        code = exit_.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("vggnumpy: error: ")
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return lines[0]


def test_transfer_writes_the_picture_its_record_and_the_plot(folder, capsys):
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *QUICK, "--json"]) == 0
    out, err = capsys.readouterr()
    assert read_image("out.png").shape == (23, 32, 3)
    assert read_image("out.loss.png").shape[2] == 3
    record = json.loads(Path("out.json").read_text())
    assert json.loads(out) == record
    assert record["settings"]["iterations"] == 2
    assert [row["iteration"] for row in record["history"]] == [1, 2]
    assert len(record["inputs"][0]["sha256"]) == 64
    assert record["network"]["digest"]
    assert set(record["versions"]) >= {"vggnumpy", "numpy", "scipy"}
    assert "network: " in err
    assert "random" in err


def test_a_run_can_be_repeated_from_its_record(folder):
    arguments = ["transfer", "content.png", "style.png", "-o", "out.png", *QUICK, "--init", "noise", "--seed", "5"]
    assert main(arguments) == 0
    first = Path("out.png").read_bytes()
    import shlex

    command = shlex.split(json.loads(Path("out.json").read_text())["command"])
    Path("out.png").unlink()
    assert main(command[1:]) == 0
    assert Path("out.png").read_bytes() == first


def test_save_every_and_layer_options(folder):
    layers = ["--content-layers", "7=0.1", "--style-layers", "relu1_1=0.5,relu1_2", "--style-weights", "1,2"]
    more = ["--style-scale", "0.5", "--variation", "0.1", "--scales", "1", "--pooling", "max", "--pad-mode", "reflect"]
    styles = ["style.png", "content.png"]
    assert main(["transfer", "content.png", *styles, "-o", "o.png", *QUICK, "--save-every", "1", *layers, *more]) == 0
    assert sorted(path.name for path in Path().glob("o.0*.png")) == ["o.0001.png", "o.0002.png"]
    settings = json.loads(Path("o.json").read_text())["settings"]
    assert settings["style_layers"] == {"relu1_1": 0.5, "relu1_2": 1.0}
    assert settings["pooling"] == "max"


def test_alpha_is_kept_where_the_format_can(folder):
    alpha = np.zeros((40, 56))
    alpha[:, 28:] = 255
    write_image("cut.png", RNG.integers(0, 256, (40, 56, 3)), alpha)
    assert main(["transfer", "cut.png", "style.png", "-o", "out.png", *QUICK]) == 0
    from vggnumpy.images import read_picture

    kept = read_picture("out.png").alpha
    assert kept is not None
    assert kept[0, 0] == 0
    assert kept[0, -1] == 255
    assert main(["transfer", "cut.png", "style.png", "-o", "out.jpg", *QUICK]) == 0


def test_demo_paints_and_names_its_network(folder, capsys):
    assert main(["demo", "--size", "48", "--iterations", "2"]) == 0
    assert read_image("demo.png").shape == (48, 41, 3)
    assert "network: small-vgg (trained by vggnumpy train on CIFAR-10" in capsys.readouterr().err


def test_demo_takes_a_precision(folder, capsys):
    assert main(["demo", "--size", "32", "--device", "cpu", "--precision", "bf16"]) == 2
    assert "precision bf16 needs a CUDA GPU" in capsys.readouterr().err


def test_demo_without_its_portrait_says_so(folder, capsys, monkeypatch):
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_data_path", lambda: "nowhere")
    assert "portrait" in refused(capsys, "demo")


def test_info(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["cores"] >= 1
    assert facts["blas"][0]["num_threads"] >= 1
    assert facts["arrays"]["numpy"] is True
    assert main(["info"]) == 0
    assert "blas" in capsys.readouterr().out


def test_info_advises_against_throttled_blas(capsys, monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    main(["info", "--json"])
    assert "unset OPENBLAS_CORETYPE" in json.loads(capsys.readouterr().out)["advice"][0]


def test_gradcheck_exit_code_follows_the_checks(capsys, monkeypatch):
    import vggnumpy.checks

    monkeypatch.setattr(vggnumpy.checks, "all_checks", lambda: [("good", lambda: 1e-9), ("bad", lambda: 1e-2)])
    assert main(["gradcheck"]) == 1
    assert "FAILED   1.0e-02  bad" in capsys.readouterr().out
    assert main(["gradcheck", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["failed"] == ["bad"]
    monkeypatch.setattr(vggnumpy.checks, "all_checks", lambda: [("good", lambda: 1e-9)])
    assert main(["gradcheck"]) == 0


def test_convert(folder, capsys):
    rng = np.random.default_rng(0)
    arrays = {"conv1_1.weight": rng.standard_normal((8, 3, 3, 3)).astype("f4"), "conv1_1.bias": np.zeros(8, "f4")}
    np.savez("source.npz", **arrays)
    assert "--input" in refused(capsys, "convert", "source.npz", "-o", "w.h5", "--architecture", "vgg19")
    assert main(["convert", "source.npz", "-o", "w.h5", "--architecture", "vgg19", "--input", "caffe"]) == 0
    assert "conv1_1" in capsys.readouterr().out
    options = ["--size", "32", "--iterations", "2", "--content-layers", "relu1_1=0.1"]
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", "--weights", "w.h5", *options]) == 0


# --- bad input ---------------------------------------------------------------------------------------------------


def make_missing():
    pass


def make_directory():
    Path("bad.png").mkdir()


def make_text_as_jpg():
    Path("bad.jpg").write_text("this is not a picture\n")


def make_truncated():
    whole = Path("content.png").read_bytes()
    Path("bad.png").write_bytes(whole[: len(whole) // 2])


def make_one_pixel():
    from PIL import Image

    Image.new("RGB", (1, 1)).save("bad.png")


def make_huge_header():
    Path("bad.png").write_bytes(png_header(20_000, 20_000))


@pytest.mark.parametrize(
    "make", [make_missing, make_directory, make_text_as_jpg, make_truncated, make_one_pixel, make_huge_header]
)
@pytest.mark.parametrize("role", ["content", "style"])
def test_bad_pictures(folder, capsys, make, role):
    make()
    bad = "bad.jpg" if make is make_text_as_jpg else "bad.png"
    pictures = [bad, "style.png"] if role == "content" else ["content.png", bad]
    assert bad in refused(capsys, "transfer", *pictures, "-o", "out.png", *QUICK)


def damage_nan(file):
    file["conv1_2/weight"][0, 0, 0, 0] = np.nan


def damage_missing(file):
    del file["conv1_2"]


def damage_transposed(file):
    weight = file["conv2_1/weight"][()]
    del file["conv2_1/weight"]
    file["conv2_1/weight"] = weight.transpose(0, 1, 3, 2)


@pytest.mark.parametrize("damage", [damage_nan, damage_missing, damage_transposed])
def test_bad_weights(folder, capsys, damage):
    write_weights("bad.h5", random_network(architecture("vgg19")[:7], rng=0))
    with h5py.File("bad.h5", "a") as file:
        damage(file)
    sentence = refused(capsys, "transfer", "content.png", "style.png", "-o", "out.png", "--weights", "bad.h5")
    assert "bad.h5" in sentence
    assert ("conv2_1" if damage is damage_transposed else "conv1_2") in sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--style-layers", "relu7_7=1"], "relu7_7"),
        (["--content-layers", "99=1"], "99"),
        (["--style-layers", "relu1_1=much"], "much"),
        (["--preset", "impressionism"], "impressionism"),
        (["--size", "-5"], "-5"),
        (["--size", "big"], "big"),
        (["--size", "8"], "16"),
        (["--iterations", "0"], "iterations"),
        (["--save-every", "0"], "save-every"),
        (["--init", "nothing.png"], "nothing.png"),
        (["--device", "cuda"], "cuda"),
        (["--device", "gpu"], "gpu"),
        (["--weights", "nothing"], "nothing"),
        (["--weights", "content.png"], "content.png"),
        (["--style-weights", "1,2"], "weights"),
        (["--style-scale", "0"], "scale"),
        (["--pooling", "median"], "median"),
        (["--scales", "9"], "scales"),
        (["--seed", "-1"], "seed"),
        (["-o", "out.xyz"], "xyz"),
        (["-o", "out"], "out"),
        (["-o", "nowhere/out.png"], "nowhere"),
        (["-o", "."], "."),
        (["-o", "content.png"], "content.png"),
        (["-o", "start.png", "--init", "start.png"], "start.png"),
        (["--variation", "nan"], "variation"),
        (["--style-layers", "relu1_1=1,relu1_1=2"], "twice"),
        (["--style-scale", "1e9"], "from 0.01 to 100"),
        (["--size", "1000000000", "--scales", "1"], "memory"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_bad_options(folder, capsys, options, words):
    arguments = ["transfer", "content.png", "style.png", *QUICK, "-o", "out.png", *options]
    assert words in refused(capsys, *arguments)


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_unwritable_folder(folder, capsys):
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    assert "locked" in refused(capsys, "transfer", "content.png", "style.png", "-o", "locked/out.png", *QUICK)


def test_no_command(capsys):
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2


def test_a_legal_picture_too_large_for_the_memory_limit(folder):
    Path("large.png").write_bytes(large_png(13_000))
    limit = 2 << 30
    done = subprocess.run(
        [sys.executable, "-m", "vggnumpy", "transfer", "large.png", "style.png", "-o", "out.png", *QUICK],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "large.png" in done.stderr
    assert not Path("out.png").exists()


def test_ctrl_c_keeps_the_best_image(folder, capsys, monkeypatch):
    from vggnumpy.run import _Bar

    go_on = _Bar.__call__

    def press_ctrl_c(bar, progress):
        go_on(bar, progress)
        if progress.iteration == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(_Bar, "__call__", press_ctrl_c)
    options = ["--weights", "net.h5", "--size", "40", "--iterations", "1000000", "--scales", "1"]
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *options]) == 130
    assert "interrupted, best so far: wrote out.png" in capsys.readouterr().err
    assert read_image("out.png").shape == (29, 40, 3)
    record = json.loads(Path("out.json").read_text())
    assert record["interrupted"] is True
    assert len(record["history"]) == 3


def test_a_write_that_fails_leaves_nothing_behind(folder, capsys, monkeypatch):
    import vggnumpy.report

    def full(*arguments):
        raise OSError(28, "No space left on device", "out.json")

    monkeypatch.setattr(vggnumpy.report, "plot_loss", full)
    assert main(["transfer", "content.png", "style.png", "-o", "out.png", *QUICK]) == 2
    assert "No space left" in capsys.readouterr().err
    assert not [path for path in Path().iterdir() if path.name.startswith((".", "tmp"))]
