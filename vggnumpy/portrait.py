"""The person in the demo's portrait: the outline, drawn by hand, by which she is told from what is behind her."""

import numpy as np
from numpy.typing import NDArray

from vggnumpy.canvas import polygon

_SIZE = (600, 512)  # height and width of the portrait that the corners were read off
# (x, y), clockwise from the hat's left end.
_OUTLINE = [
    *[(147, 120), (150, 95), (174, 85), (178, 62), (200, 45), (240, 26), (265, 23), (300, 35), (340, 60), (355, 88)],
    *[(371, 96), (371, 150), (369, 180), (376, 192), (372, 225), (358, 262), (352, 295), (338, 308), (333, 318)],
    *[(400, 350), (470, 384), (492, 400), (505, 440), (512, 470), (512, 600), (14, 600), (18, 540), (22, 470)],
    *[(40, 415), (55, 388), (110, 368), (196, 316), (198, 298), (184, 290), (168, 265), (157, 230), (153, 200)],
    *[(155, 182), (149, 170)],
]


def demo_person(size: tuple[int, int] = _SIZE) -> NDArray[np.bool_]:
    """Return where the person is in `vggnumpy.run.demo_portrait`.

    Parameters
    ----------
    size : (int, int)
        Height and width; by default the portrait's own.

    Returns
    -------
    ndarray of bool, height×width
    """
    height, width = size
    y, x = np.meshgrid((np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width, indexing="ij")
    inside: NDArray[np.bool_] = polygon(y, x, np.array(_OUTLINE)[:, ::-1] / _SIZE) < 0
    return inside
