"""The outline of the demo's person is where she is."""

import numpy as np

from vggnumpy.portrait import demo_person


def test_the_person_is_inside_her_outline_at_every_size():
    person = demo_person()
    assert person.shape == (600, 512) and 0.4 < person.mean() < 0.6
    # (row, column): face, cap, both shoulders; backdrop, flag.
    assert [bool(person[at]) for at in [(200, 260), (60, 265), (500, 60), (500, 470)]] == [True] * 4
    assert [bool(person[at]) for at in [(100, 450), (200, 60), (10, 10), (330, 500)]] == [False] * 4
    small = person.reshape(100, 6, 64, 8).mean(axis=(1, 3)) >= 0.5
    assert np.mean(small != demo_person((100, 64))) < 0.01
