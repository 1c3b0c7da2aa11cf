"""Fetching: a network that is whole, or one sentence and nothing; a server on this machine stands for the others."""

import hashlib
import io
import os
import resource
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from servers import Server, redirect, serving, whole

from vggnumpy.errors import InputError
from vggnumpy.formats import fetch as fetch_module
from vggnumpy.formats import find_weights, load_network
from vggnumpy.formats.fetch import fetch
from vggnumpy.formats.registry import Published

RNG = np.random.default_rng(0)
ARRAYS = {"conv1_1.weight": RNG.standard_normal((4, 3, 3, 3)), "conv1_1.bias": RNG.standard_normal(4)}
OPTIONS = {"architecture": "vgg19", "input_convention": "caffe"}


def npz_bytes() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: array.astype("float32") for name, array in ARRAYS.items()})
    return file.getvalue()


DATA = npz_bytes()


def digests(data: bytes) -> dict[str, str]:
    return {algorithm: hashlib.new(algorithm, data).hexdigest() for algorithm in ("md5", "sha1", "sha256")}


ORIGINAL = Published("small", "vgg19", "", "net.npz", "a licence", len(DATA), digests(DATA), options=OPTIONS)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VGGNUMPY_CACHE", str(tmp_path / "cache" / "of vggnumpy"))
    monkeypatch.delenv("VGGNUMPY_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "of vggnumpy"


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, server: Server) -> Callable[..., Published]:
    """Return what makes an original known under the name small, offered by the server as ORIGINAL with changes."""

    def make_known(**changes: object) -> Published:
        original = replace(ORIGINAL, **{"server": server.address, **changes})
        monkeypatch.setattr(fetch_module, "ORIGINALS", {original.name: original})
        return original

    server.answers["/net.npz"] = whole(DATA)
    make_known()
    return make_known


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refusal(cache: Path, *arguments: object, left: list[str] | None = None) -> str:
    """Fetch what cannot be fetched; nothing but `left` may be in the cache afterwards."""
    with pytest.raises(InputError) as caught:
        fetch("small", *arguments)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence and ".fetch-" not in sentence
    assert files(cache) == (left or [])
    return sentence


def check_network(cache: Path) -> None:
    net = load_network("small")
    np.testing.assert_array_equal(
        net.weights["conv1_1"][0], ARRAYS["conv1_1.weight"].astype("f4").transpose(2, 3, 1, 0)
    )
    assert (net.channel_order, net.provenance["license"]) == ("BGR", "a licence")
    assert find_weights("small") == cache / "small.h5"


def test_a_whole_file_becomes_a_network_and_nothing_else_is_left(known, cache, capfd):
    fetched = fetch("small")
    assert (fetched.path, fetched.original) == (cache / "small.h5", None)
    assert fetched.conversion.digest == load_network("small").provenance["digest"]
    check_network(cache)
    assert load_network("small").provenance["source"] == "net.npz"
    assert files(cache) == ["small.h5"]
    assert capfd.readouterr() == ("", "")  # no bar in a log file


def test_a_terminal_gets_a_bar(known, cache, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    fetch("small")
    assert "100%" in capfd.readouterr().err


def test_a_moved_file_is_followed(known, cache, server):
    known(file="old.npz")
    server.answers["/old.npz"] = redirect("/net.npz")
    fetch("small")
    assert server.asked == ["/old.npz", "/net.npz"]
    check_network(cache)


def test_the_file_is_asked_for_unpacked(known, cache, server):
    asked = []

    def answer(request):
        asked.append(request.headers["Accept-Encoding"])
        whole(DATA)(request)

    server.answers["/net.npz"] = answer
    fetch("small")
    assert asked == ["identity"]


HALF = DATA[: len(DATA) // 2]
CHANGED = DATA[:-1] + bytes([DATA[-1] ^ 1])
TROUBLES = {
    "not there": (lambda request: request.send_error(404), "the server answers 404 Not Found"),
    "overloaded": (lambda request: request.send_error(503), "the server answers 503 Service Unavailable"),
    "cut short": (whole(HALF, announced=len(DATA)), "the connection broke off before the end"),
    "half as all": (whole(HALF), f"expected the {len(DATA):,} bytes of net.npz, found {len(HALF):,}"),
    "changed": (whole(CHANGED), f"expected MD5 {ORIGINAL.digests['md5']}, found {digests(CHANGED)['md5']}"),
    "in a circle": (redirect("/net.npz"), "Exceeded 30 redirects"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_one_sentence_and_leaves_nothing(known, cache, server, trouble):
    server.answers["/net.npz"], words = TROUBLES[trouble]
    sentence = refusal(cache)
    assert sentence.startswith(f"{server.address}net.npz was not fetched: ")
    assert words in sentence
    assert sentence.endswith("go on with: vggnumpy weights fetch small --from net.npz")
    server.answers["/net.npz"] = whole(DATA)
    fetch("small")
    check_network(cache)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_every_documented_digest_counts(known, cache, algorithm):
    known(digests={**ORIGINAL.digests, algorithm: "0" * 40})
    assert f"expected {algorithm.upper()} {'0' * 40}, found {ORIGINAL.digests[algorithm]}" in refusal(cache)


def test_the_first_digits_of_a_digest_are_enough(known, cache):
    known(size=None, digests={"sha256": ORIGINAL.digests["sha256"][:8]})
    fetch("small")
    known(size=None, digests={"sha256": "01234567"})
    assert "expected SHA256 01234567, found" in refusal(cache, left=["small.h5"])


def test_a_server_that_is_not_there(known, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        known(server=f"http://127.0.0.1:{free.getsockname()[1]}/")
    assert "net.npz was not fetched: the server cannot be reached; " in refusal(cache)


def test_a_name_that_no_one_knows(known, cache, monkeypatch):
    def unknown(*arguments: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    known(server="http://nowhere.invalid/")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "http://nowhere.invalid/net.npz was not fetched: the server cannot be reached; " in refusal(cache)


def test_a_server_that_says_nothing(known, cache, monkeypatch):
    monkeypatch.setattr(fetch_module, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        known(server=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        assert "net.npz was not fetched: the server does not answer in time; " in refusal(cache)


def test_a_server_that_cannot_speak_securely(known, cache, server):
    known(server=server.address.replace("http:", "https:"))
    assert "net.npz was not fetched: no secure connection comes about; " in refusal(cache)


def test_a_full_disk(known, cache):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        sentence = refusal(cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sentence.startswith(f"network small cannot be stored in {cache}: File too large; make room there")
    assert "VGGNUMPY_CACHE" in sentence


def test_a_cache_that_cannot_be(known, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("VGGNUMPY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=r"cannot be stored in .*file/cache: Not a directory"):
        fetch("small")


PROGRAM = """
import sys
from vggnumpy.formats import fetch
from vggnumpy.formats.registry import Published
fetch.ORIGINALS = {"small": Published("small", "vgg19", sys.argv[1], "net.npz", "")}
fetch.fetch("small")
"""


def test_what_a_killed_fetch_leaves_is_not_taken_for_a_network(known, cache, server):
    half_sent, go_on = threading.Event(), threading.Event()
    server.answers["/net.npz"] = whole(HALF, announced=len(DATA), then=lambda: (half_sent.set(), go_on.wait(60)))
    with subprocess.Popen([sys.executable, "-c", PROGRAM, server.address], cwd=Path(__file__).parents[2]) as process:
        assert half_sent.wait(60)
        process.kill()
    go_on.set()
    (left,) = cache.iterdir()  # what the killed process was working in
    assert left.name.startswith(".fetch-")
    assert find_weights("small") is None
    server.answers["/net.npz"] = whole(DATA)
    fetch("small")
    check_network(cache)
    assert left.is_dir()  # it might be another one's, still at work
    partial = cache / ".vggnumpy-0123.h5"
    partial.write_bytes(b"half")
    for path in (partial, *left.iterdir(), left):
        os.utime(path, (0, 0))
    fetch("small")
    assert files(cache) == ["small.h5"]


def test_two_at_once_do_not_meet(known, cache, server):
    both = threading.Barrier(2, timeout=60)
    server.answers["/net.npz"] = lambda request: (both.wait(), whole(DATA)(request))
    fetched = []
    threads = [threading.Thread(target=lambda: fetched.append(fetch("small"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.path for row in fetched] == [cache / "small.h5"] * 2
    check_network(cache)
    assert files(cache) == ["small.h5"]


def test_a_kept_original_is_not_downloaded_again(known, cache, server):
    assert fetch("small", keep=True).original == cache / "originals" / "net.npz"
    assert (cache / "originals" / "net.npz").read_bytes() == DATA
    (cache / "small.h5").unlink()
    fetch("small")
    check_network(cache)
    assert server.asked == ["/net.npz"]
    (cache / "originals" / "net.npz").write_bytes(HALF)
    fetch("small", keep=True)
    assert server.asked == ["/net.npz", "/net.npz"]
    assert (cache / "originals" / "net.npz").read_bytes() == DATA


def test_a_right_download_that_cannot_be_converted_is_kept(known, cache, server):
    known(options={"architecture": "vgg19", "input_convention": "none"})
    kept = ["originals", "originals/net.npz"]
    assert "input convention must be one of" in refusal(cache, left=kept)
    known(digests={}, size=None)
    server.answers["/net.npz"] = whole(b"PK, an error page")
    (cache / "originals" / "net.npz").unlink()
    assert refusal(cache, left=["originals"]).startswith("net.npz: ")


def test_a_file_that_is_here_already(known, cache, server, tmp_path):
    (tmp_path / "mine.npz").write_bytes(DATA)
    fetched = fetch("small", "mine.npz", keep=True)
    check_network(cache)
    assert (fetched.original, server.asked, (tmp_path / "mine.npz").read_bytes()) == (None, [], DATA)


def test_a_file_that_is_here_and_wrong(known, cache, tmp_path):
    (tmp_path / "mine.npz").write_bytes(CHANGED)
    sentence = refusal(cache, "mine.npz")
    assert sentence.startswith("mine.npz: this is not the documented net.npz: expected MD5")
    assert sentence.endswith("convert it with: vggnumpy convert mine.npz -o small.h5")
    assert "none.npz: there is no such file" in refusal(cache, "none.npz")


def test_what_no_one_offers_any_more(known, cache, tmp_path):
    known(server="")
    assert "no longer offered" in refusal(cache)
    (tmp_path / "mine.npz").write_bytes(DATA)
    fetch("small", "mine.npz")
    check_network(cache)


def test_a_name_that_is_none(cache):
    with pytest.raises(InputError, match="no public original is known as 'vgg18'; the names are vgg19, "):
        fetch("vgg18")


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """Return a .tar.gz of files (bytes) and symbolic links (texts)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def packed(known, server) -> Callable[[bytes], None]:
    def offer(data: bytes) -> None:
        server.answers["/net.tar.gz"] = whole(data)

    known(file="net.tar.gz", member="net/data/net.npz", size=None, digests={})
    return offer


@pytest.mark.parametrize("prefix", ["", "./"])
def test_an_archive_gives_its_one_member(packed, cache, tmp_path, prefix):
    packed(
        archive(("../../evil", b"evil"), ("/evil", b"evil"), (f"{prefix}net/data/net.npz", DATA), ("net/more", DATA))
    )
    fetch("small")
    check_network(cache)
    assert load_network("small").provenance["source"] == "net.npz"
    assert files(cache) == ["small.h5"]
    assert not list(tmp_path.rglob("evil"))


def test_an_archive_without_the_member(packed, cache):
    for content in (archive(("net/other.npz", DATA)), archive(("net/data/net.npz", "/etc/passwd"))):
        packed(content)
        assert "expected an archive that holds net/data/net.npz" in refusal(cache)


def test_a_damaged_archive(packed, cache):
    good = archive(("net/data/net.npz", RNG.bytes(100_000)))
    for content in (b"", b"a page that says sorry", good[:50_000], good[:60_000] + b"x" * 100 + good[60_100:]):
        packed(content)
        assert refusal(cache).startswith("net.tar.gz: the archive is damaged or cut short: ")


def test_an_archive_that_would_fill_the_disk(packed, cache, monkeypatch):
    monkeypatch.setattr(fetch_module, "LARGEST", len(DATA) - 1)
    packed(archive(("net/data/net.npz", DATA)))
    assert f"net/data/net.npz claims {len(DATA):,} bytes" in refusal(cache)
