"""A published original, brought into the user's cache: downloaded, checked and converted, or nothing at all.

A download goes into a folder of its own, and only what has passed every check leaves it: no name that anything looks
for ever stands for half a file, whoever is interrupted or fetches the same at the same time.  An interrupted fetch
starts again from the beginning.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vggnumpy.errors import InputError
from vggnumpy.files import open_input, reason
from vggnumpy.formats.convert import Conversion, convert
from vggnumpy.formats.load import CACHE_VARIABLE, cache_folder
from vggnumpy.formats.registry import ORIGINALS, Published

PathLike = str | os.PathLike[str]

TIMEOUT = 30  # seconds without a single byte
BLOCK = 1 << 20
LARGEST = 4 << 30  # of a file in an archive: four times the largest original
# What a killed process left is older than this; what another process is working on is not.
LEFT_OVER = 24 * 3600


class Fetched(NamedTuple):
    """What was fetched: the weights file, how it was converted, and the original where it was kept."""

    path: Path
    conversion: Conversion
    original: Path | None


def fetch(name: str, source: PathLike | None = None, keep: bool = False) -> Fetched:
    """Download an original into the cache, check it and convert it into the cache's ``NAME.h5``.

    Parameters
    ----------
    name : str
        A name of `vggnumpy.formats.registry.ORIGINALS`.
    source : str or os.PathLike, optional
        The original, where it was downloaded by other means; it is only read.
    keep : bool
        Whether to keep the downloaded original, in the cache's folder ``originals``.  The conversion holds its
        numbers bit for bit, so it is not needed any more.

    Returns
    -------
    Fetched

    Raises
    ------
    InputError
        In one sentence, if the name is unknown, the file cannot be downloaded (the sentence says from where and how to
        go on without a network), it is not the one that is documented, or it cannot be written or converted.
    """
    original = find_original(name)
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache, ignore_cleanup_errors=True) as folder:
            return _fetch(original, source, keep, cache, Path(folder))
    except OSError as error:
        raise InputError(
            f"network {name} cannot be stored in {cache}: {reason(error)}; make room there, or let the environment "
            f"variable {CACHE_VARIABLE} name another folder"
        ) from error


def find_original(name: str) -> Published:
    """Return what is known of a public original.

    Raises
    ------
    InputError
        If there is none of that name; the message lists the names.
    """
    if name not in ORIGINALS:
        raise InputError(f"no public original is known as {name!r}; the names are {', '.join(ORIGINALS)}")
    return ORIGINALS[name]


def original_path(original: Published) -> Path:
    """Return where a downloaded original is kept, if it is."""
    return cache_folder() / "originals" / original.file


def check_original(path: PathLike, original: Published) -> None:
    """Check a file's size and digests against the documented ones, as far as there are any.

    Raises
    ------
    InputError
        If the file cannot be read, or differs.
    """
    hashes = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in original.digests}
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
        if original.size is not None and size != original.size:
            raise InputError(f"{path}: expected the {original.size:,} bytes of {original.file}, found {size:,}")
        while hashes and (block := file.read(BLOCK)):
            for digest in hashes.values():
                digest.update(block)
    for algorithm, expected in original.digests.items():
        found = hashes[algorithm].hexdigest()
        if not found.startswith(expected):
            raise InputError(
                f"{path}: this is not the documented {original.file}: "
                f"expected {algorithm.upper()} {expected}, found {found}"
            )


def _fetch(original: Published, source: PathLike | None, keep: bool, cache: Path, folder: Path) -> Fetched:
    path = _obtain(original, source, folder)
    out, kept = cache / f"{original.name}.h5", original_path(original)
    try:
        ready = _unpack(path, original, folder) if original.member else path
        conversion = convert(ready, out, license=original.license, **original.options)
    except InputError as error:
        keep = keep or bool(original.digests)  # it is what it should be: the next try need not download it again
        raise InputError(str(error).replace(f"{folder}{os.sep}", "")) from None
    finally:
        if keep and path.parent == folder:
            kept.parent.mkdir(exist_ok=True)
            os.replace(path, kept)
    return Fetched(out, conversion, kept if kept.is_file() else None)


def _obtain(original: Published, source: PathLike | None, folder: Path) -> Path:
    """Return a checked original: the one given, else the one kept, else one downloaded into `folder`."""
    if source is not None:
        try:
            check_original(source, original)
        except InputError as error:
            other = f"vggnumpy convert {source} -o {original.name}.h5"
            raise InputError(f"{error}; if it is right nevertheless, convert it with: {other}") from None
        return Path(source)
    kept = original_path(original)
    if _is_whole(kept, original):
        return kept
    path = folder / original.file
    _download(original, path)
    try:
        check_original(path, original)
    except InputError as error:
        raise _not_fetched(original, str(error).removeprefix(f"{path}: ")) from None
    return path


def _is_whole(path: Path, original: Published) -> bool:
    try:
        check_original(path, original)
    except InputError:
        return False
    return True


def _download(original: Published, path: Path) -> None:
    """Download an original; the server's troubles become one sentence, those of the disk stay OSError."""
    if not original.address:
        raise InputError(
            f"{original.file} ({original.name}) is no longer offered by its authors; a copy that you have becomes the "
            f"network with: vggnumpy weights fetch {original.name} --from FILE"
        )
    import pooch
    from requests.exceptions import RequestException

    answers: list[Any] = []
    download = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),
        chunk_size=BLOCK,
        timeout=TIMEOUT,
        headers={"Accept-Encoding": "identity"},  # not packed for the journey: sizes and digests are the file's own
        hooks={"response": lambda answer, **_: answers.append(answer)},
    )
    try:
        download(original.address, path, None)
    except RequestException as error:
        raise _not_fetched(original, _trouble(error)) from None
    finally:
        for answer in answers:  # pooch leaves the connection open when something goes wrong
            answer.close()


def _trouble(error: Exception) -> str:
    """Say in a few words why nothing, or not all, came from a server."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    kinds = {
        exceptions.SSLError: "no secure connection comes about",
        exceptions.Timeout: "the server does not answer in time",
        exceptions.ChunkedEncodingError: "the connection broke off before the end",
        exceptions.ConnectionError: "the server cannot be reached",
    }
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), reason(error))


def _not_fetched(original: Published, trouble: str) -> InputError:
    return InputError(
        f"{original.address} was not fetched: {trouble}; try again, or download it by other means and go on with: "
        f"vggnumpy weights fetch {original.name} --from {original.file}"
    )


def _unpack(path: Path, original: Published, folder: Path) -> Path:
    """Copy the one member of an archive that is the network; no name in the archive becomes a name on disk."""
    target = folder / Path(original.member).name
    found = False
    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    if member.name.removeprefix("./") == original.member and member.isreg():
                        _copy_member(archive, member, target)
                        found = True
            while stream.read(BLOCK):  # at its end gzip compares a checksum of all
                pass
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path}: the archive is damaged or cut short: {reason(error)}") from None
    if not found:
        raise InputError(f"{path}: expected an archive that holds {original.member}, found none of that name in it")
    return target


def _copy_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = archive.extractfile(member)
    if content is None or member.size > LARGEST:
        raise tarfile.TarError(f"{member.name} claims {member.size:,} bytes")
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK)


def _sweep(cache: Path) -> None:
    """Remove what fetches that were killed long ago have left."""
    for left in [*cache.glob(".fetch-*"), *cache.glob(".vggnumpy-*")]:
        with suppress(OSError):  # another process may be removing the same
            newest = max(path.stat().st_mtime for path in (left, *left.glob("*")))
            if time.time() - newest < LEFT_OVER:
                continue
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
