"""The paintings depend on their size and seed alone, and the packaged pictures are those paintings."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggnumpy.errors import InputError
from vggnumpy.paintings import PAINTINGS, painting_path

NAMES = list(PAINTINGS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(48, 64), (65, 33)])
def test_a_painting_has_the_size_asked_for_and_uses_the_whole_range(name: str, size: tuple[int, int]) -> None:
    picture = PAINTINGS[name](size=size)
    assert picture.shape == (*size, 3)
    assert picture.dtype == np.uint8
    assert picture.min() < 40
    assert picture.max() > 215


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_painting(name: str) -> None:
    paint = PAINTINGS[name]
    first = paint(size=(40, 40), rng=7)
    np.testing.assert_array_equal(paint(size=(40, 40), rng=7), first)
    np.testing.assert_array_equal(paint(size=(40, 40), rng=np.random.default_rng(7)), first)
    assert np.mean(paint(size=(40, 40), rng=8) != first) > 0.05


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_picture_is_what_the_function_paints(name: str) -> None:
    """Painted at a quarter of the size and compared as a mosaic, which leaves the composition and colours."""
    painted = Image.fromarray(PAINTINGS[name](size=(192, 192)))
    with Image.open(painting_path(name)) as packaged:
        assert packaged.format == "JPEG"
        assert packaged.size == (768, 768)
        mosaics = [np.asarray(picture.reduce(picture.width // 12), float) for picture in (packaged, painted)]
    assert np.abs(mosaics[0] - mosaics[1]).mean() < 6


def test_the_packaged_pictures_are_small_and_there_are_no_others() -> None:
    folder = painting_path(NAMES[0]).parent
    assert sorted(path.stem for path in folder.iterdir()) == sorted(NAMES)
    sizes = [painting_path(name).stat().st_size for name in NAMES]
    assert max(sizes) <= 350_000
    assert sum(sizes) <= 1_200_000


@pytest.mark.parametrize("name", NAMES)
def test_packaged_paintings_are_colourful_everywhere(name: str) -> None:
    """No tile of an eighth of the side is one flat colour: a style picture must not have dull areas."""
    with Image.open(painting_path(name)) as packaged:
        tiles = np.asarray(packaged, float).reshape(8, 96, 8, 96, 3)
    assert tiles.std(axis=(1, 3)).max(axis=-1).min() > 12


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"'starry'.*flow_field, halftone, stained_glass, marbled"):
        painting_path("starry")


def test_painting_path_is_a_file() -> None:
    assert isinstance(painting_path("marbled"), Path)
    assert painting_path("marbled").is_file()


def test_the_example_paints_all_four_and_a_sheet(tmp_path: Path) -> None:
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "04_paint_the_styles.py"))
    example["main"](["-o", str(tmp_path / "new"), "--size", "48"])
    written = {path.name for path in (tmp_path / "new").iterdir()}
    assert written == {f"{name}.{suffix}" for name in NAMES for suffix in ("png", "jpg")} | {"paint_the_styles.png"}
    with Image.open(tmp_path / "new" / "paint_the_styles.png") as sheet:
        assert sheet.size == (102, 102)
