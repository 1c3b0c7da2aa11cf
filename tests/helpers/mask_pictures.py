"""Masks as people paint them: flat colours, then whatever programs do to them."""

import io

import numpy as np
from PIL import Image
from scipy import ndimage

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def labels(height: int, width: int) -> np.ndarray:
    """Return four regions with slanted and round borders: 0 left, 1 right, 2 a disc over both, 3 a band below."""
    y, x = np.mgrid[:height, :width]
    found = (x + 0.4 * y > 0.7 * width).astype(int)
    found[(y - 0.35 * height) ** 2 + (x - 0.5 * width) ** 2 < (0.22 * height) ** 2] = 2
    found[y + 0.1 * x > 0.8 * height] = 3
    return found


def painted(numbers: np.ndarray, colors: list[tuple[int, int, int]]) -> np.ndarray:
    return np.array(colors, np.uint8)[numbers]


def antialiased(height: int, width: int, colors: list[tuple[int, int, int]], fine: int = 4) -> np.ndarray:
    """Paint at a multiple of the size and average, as drawing programs do."""
    large = painted(labels(height * fine, width * fine), colors).astype(float)
    return np.rint(large.reshape(height, fine, width, fine, 3).mean(axis=(1, 3))).astype(np.uint8)


def compressed(mask: np.ndarray, quality: int) -> np.ndarray:
    """Send a mask through JPEG with halved colour resolution."""
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def blurred(mask: np.ndarray, deviation: float) -> np.ndarray:
    return ndimage.gaussian_filter(mask.astype(float), (deviation, deviation, 0), mode="nearest")
