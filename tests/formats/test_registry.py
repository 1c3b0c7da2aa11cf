"""The table of public originals: complete, of the right form, and the one that weights/README.md shows."""

import hashlib
import inspect
import re
from pathlib import Path

import pytest

from vggnumpy.formats.convert import convert
from vggnumpy.formats.families import INPUTS, JOHNSON_DIGESTS
from vggnumpy.formats.originals import SUFFIXES
from vggnumpy.formats.registry import ORIGINALS
from vggnumpy.nets import ARCHITECTURES

README = (Path(__file__).parents[2] / "weights" / "README.md").read_text(encoding="utf-8")
EACH = pytest.mark.parametrize("name", ORIGINALS)


@EACH
def test_digests_have_the_form_of_their_algorithm(name: str) -> None:
    for algorithm, digits in ORIGINALS[name].digests.items():
        whole = 2 * hashlib.new(algorithm).digest_size
        assert re.fullmatch(r"[0-9a-f]+", digits)
        # torchvision and Johnson publish the first eight digits, in the file's name.
        assert len(digits) == whole or (len(digits) == 8 and f"-{digits}." in ORIGINALS[name].file)


@EACH
def test_addresses_end_in_the_file_s_name(name: str) -> None:
    original = ORIGINALS[name]
    assert original.name == name
    assert re.fullmatch(r"(https?://[\w./~-]+/)?", original.server)
    assert re.fullmatch(r"[\w.-]+", original.file)
    assert original.address == (original.server + original.file if original.server else "")


@EACH
def test_what_is_not_secure_has_a_digest(name: str) -> None:
    original = ORIGINALS[name]
    assert original.address.startswith("https:") or not original.address or original.digests


@EACH
def test_every_original_can_be_read_and_is_of_a_known_network(name: str) -> None:
    original = ORIGINALS[name]
    read = original.member or original.file
    assert Path(read).suffix in SUFFIXES
    assert (original.member != "") == original.file.endswith(".tar.gz")
    assert original.network in ARCHITECTURES
    assert set(original.options) <= set(inspect.signature(convert).parameters)
    assert original.options.get("architecture", original.network) == original.network
    assert original.options.get("input_convention", "caffe") in INPUTS


def test_no_two_kept_originals_have_one_name() -> None:
    assert len({original.file for original in ORIGINALS.values()}) == len(ORIGINALS)


def test_johnson_s_files_are_those_that_the_conversion_recognises() -> None:
    digests = {row.digests["sha256"] for name, row in ORIGINALS.items() if name.endswith("-johnson")}
    assert digests == set(JOHNSON_DIGESTS)


@EACH
def test_the_readme_has_the_same_facts(name: str) -> None:
    original = ORIGINALS[name]
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
    assert original.file in row
    if original.size is not None:
        assert f"{original.size:,}" in row
    for digits in original.digests.values():
        assert f"`{digits}`" in row
    assert original.address in row
