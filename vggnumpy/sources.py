"""Reading a CUDA source, with the headers it includes put in their places."""

from __future__ import annotations

import posixpath
import re
from importlib.resources import files

_INCLUDE = re.compile(r'^#include "(?P<name>[\w./]+\.cuh)"$')


def read_source(name: str) -> str:
    """Return the text of a source of this package, complete in itself.

    A line ``#include "simt.cuh"`` (or ``"../cuda/simt.cuh"``: a path from the source) is replaced by the text of that
    file, once.  The compiler never sees an ``#include``: what keeps compiled kernels looks at the text alone, and a
    header that was edited would leave stale ones.  ``#line`` directives keep the compiler's messages true.

    Parameters
    ----------
    name : str
        Path inside the package, such as ``"ops/conv.cu"``.

    Returns
    -------
    str
        CUDA C++.

    Raises
    ------
    FileNotFoundError
        If the package has no such source.
    """
    return "".join(_lines(name, set()))


def _lines(name: str, seen: set[str]) -> list[str]:
    seen.add(name)
    text = files("vggnumpy").joinpath(name).read_text(encoding="utf-8")
    lines = [f'#line 1 "vggnumpy/{name}"\n']
    for number, line in enumerate(text.splitlines(), start=1):
        included = _INCLUDE.match(line)
        if included is None:
            lines.append(line + "\n")
            continue
        header = posixpath.normpath(f"{name.rpartition('/')[0]}/{included['name']}")
        if header not in seen:
            lines += _lines(header, seen)
        lines.append(f'#line {number + 1} "vggnumpy/{name}"\n')
    return lines
