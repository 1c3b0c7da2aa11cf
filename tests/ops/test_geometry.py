"""What of a feature map belongs to an image without its margin."""

import numpy as np
import pytest

from vggnumpy.ops.geometry import Sides, Window, window_at


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((48, 64), (8, 40, 16, 48)),
        ((24, 32), (4, 20, 8, 24)),
        ((6, 8), (1, 5, 2, 6)),
        ((3, 4), (0, 3, 1, 3)),  # the outer rows stand for 16 pixels, of which 8 are inside
        ((1, 1), (0, 1, 0, 1)),
    ],
)
def test_a_margin_is_the_same_part_of_every_map(shape, expected):
    assert window_at(shape, (48, 64), Sides(8, 8, 16, 16)) == expected


@pytest.mark.parametrize("step", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("cut", range(4, 13))
def test_a_position_with_more_than_four_pixels_inside_is_never_left_out(step, cut):
    top, bottom, *_ = window_at((384 // step, 384 // step), (384, 384), Sides(cut, cut, 0, 0))
    assert top == 384 // step - bottom  # the same at both ends
    assert (top + 1) * step - cut >= min(step / 2, 4) and top * step - cut < min(step / 2, 4)


def test_one_position_is_left_whatever_the_margin():
    window = window_at((2, 3), (32, 48), Sides(30, 1, 0, 47))
    assert window == (1, 2, 0, 1) and window.positions == 1


def test_the_part_and_what_is_around_it():
    F, window = np.arange(2 * 5 * 7 * 3).reshape(2, 5, 7, 3), Window(1, 4, 2, 7)
    assert np.array_equal(window.of(F), F[:, 1:4, 2:]) and window.positions == 15
    assert window.outside(F.shape) == Sides(1, 1, 2, 0)
