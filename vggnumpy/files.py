"""Files that are read whole and written whole or not at all."""

import hashlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from vggnumpy.errors import InputError

PathLike = str | os.PathLike[str]


def reason(error: Exception) -> str:
    """Say in a few words why an operation on a file failed."""
    words = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return words.split("\n")[0][:200].rstrip(".")


def open_input(path: PathLike) -> BufferedReader:
    """Open an existing regular file for reading bytes.

    Raises
    ------
    InputError
        If it is missing, a folder, a pipe or a device (reading those could wait forever), or may not be read.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            return open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check the name and the folder") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise InputError(f"{path}: the file cannot be opened: {reason(error)}") from None
    found = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
    raise InputError(f"{path}: expected a file, found {found}")


def check_output(path: PathLike) -> None:
    """Check, before any long work, that a file can be written at this path.

    Raises
    ------
    InputError
        If the folder is missing or not writable, or something other than a regular file is in the way.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            found = "a folder" if target.is_dir() else "a pipe or device"
            raise InputError(f"{path}: cannot write a file here, there is {found} of that name; choose another name")
        if not target.parent.is_dir():
            raise InputError(f"{path}: the folder {target.parent} does not exist; create it first")
        # Permission bits do not tell (root, read-only disks, access lists): only making a file does.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no file can be written there: {reason(error)}") from None


@contextmanager
def atomic_path(path: PathLike) -> Iterator[Path]:
    """Write a file whole or not at all.

    Only the writing belongs in the body: an ``OSError`` there is taken for a failure to write ``path``.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write; one that exists is replaced at the end, a symbolic link keeps pointing to it.

    Yields
    ------
    Path
        A name not yet taken, beside the target (so that the final rename cannot cross disks) and with its
        suffix (writers choose formats by it).  When the body ends normally the file takes the target's place;
        when it raises, KeyboardInterrupt included, the file is removed and the target stays as it was.

    Raises
    ------
    InputError
        As `check_output`; or if the disk is full, or the write fails otherwise.
    """
    check_output(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".vggnumpy-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: this file was not written: {reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits, reading block by block.

    Raises
    ------
    InputError
        As `open_input`.
    """
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
