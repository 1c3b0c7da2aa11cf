"""The demo landscape: the mask is that of the picture, and the picture is the same whenever it is taken."""

import numpy as np
import pytest

from vggnumpy.errors import InputError
from vggnumpy.landscape import SEASONS, demo_landscape

SIZE = (96, 128)


@pytest.fixture(scope="module")
def photo():
    return demo_landscape(SIZE)


def test_sky_is_above_ground_and_bluer(photo):
    picture, ground = photo
    assert picture.shape == (*SIZE, 3) and picture.dtype == np.uint8 and ground.shape == SIZE
    assert 0.4 < ground.mean() < 0.8
    assert np.array_equal(ground, np.maximum.accumulate(ground, axis=0))  # under ground there is no sky
    green, blue = picture[..., 1].astype(int), picture[..., 2].astype(int)
    assert (blue > green)[~ground].mean() > 0.9 and (green > blue)[ground].mean() > 0.9
    assert picture[ground].std() > 15


def test_it_is_the_same_each_time_and_at_every_size(photo):
    again, ground = demo_landscape(SIZE)
    assert np.array_equal(again, photo[0]) and np.array_equal(ground, photo[1])
    picture, large = demo_landscape((2 * SIZE[0], 2 * SIZE[1]))
    small = large.reshape(SIZE[0], 2, SIZE[1], 2).mean(axis=(1, 3)) >= 0.5
    assert (small != ground).mean() < 0.01
    halved = picture.reshape(SIZE[0], 2, SIZE[1], 2, 3).mean(axis=(1, 3))
    assert np.abs(halved - photo[0]).mean() < 6


def test_without_the_model_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("matplotlib.get_data_path", lambda: str(tmp_path))
    with pytest.raises(InputError, match="is missing from this installation of matplotlib; give pictures of your own"):
        demo_landscape(SIZE)


@pytest.mark.parametrize("season", [name for name in SEASONS if name != "summer"])
def test_another_season_is_the_same_view_in_other_colours(photo, season):
    picture, ground = demo_landscape(SIZE, season)
    assert np.array_equal(ground, photo[1])
    for part in (ground, ~ground):
        assert np.linalg.norm(picture[part].mean(axis=0) - photo[0][part].mean(axis=0)) > 30


def test_an_unknown_season_is_refused():
    with pytest.raises(InputError, match="season 'spring': expected one of summer, autumn, winter, evening"):
        demo_landscape(SIZE, "spring")
