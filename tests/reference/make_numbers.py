"""Compute the objective with PyTorch's automatic differentiation, and store the numbers that the tests compare with.

    python tests/reference/make_numbers.py

writes ``objective.npz`` beside this file.  PyTorch is needed to make the numbers, not to compare with them.
"""

from pathlib import Path

import numpy as np

STORED = Path(__file__).with_name("objective.npz")
STYLE = {"relu1_1": 0.2, "relu2_1": 0.2, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2}
WEIGHTS = {"content": {"relu4_2": 1e-5}, "style": STYLE, "size": 1e-6, "variation": 1e-5}
SMALL_WEIGHTS = {"content": {"relu2_1": 0.1}, "style": {"relu1_1": 0.3, "pool2": 0.2}, "size": 1e-4, "variation": 1e-3}
POOLINGS = ("max", "average")
ENTRIES = 20


def images(height: int, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return image, content image and a style image of another size, float64, RGB 0–255."""
    rng = np.random.default_rng(2015)
    shapes = (height, width, 3), (height, width, 3), (height + 7, width - 5, 3)
    image, content, style = (rng.uniform(0, 255, shape) for shape in shapes)
    return image, content, style


def small_weights() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return filters and biases of the small network: two blocks of a convolution, a rectifier and a pool."""
    rng = np.random.default_rng(2016)
    shapes = {"conv1_1": (3, 3, 3, 4), "conv2_1": (3, 3, 4, 5)}
    return {
        name: (rng.standard_normal(shape) * (2 / np.prod(shape[:3])) ** 0.5, rng.standard_normal(shape[3]))
        for name, shape in shapes.items()
    }


def torch_objective(
    layers, weights, mean, pooling, image, content_image, style_image, *, content, style, size, variation
):
    """Return value and gradient by PyTorch, in the words of the objective's formula.

    Parameters
    ----------
    layers : sequence of str
        Names in order; what a layer does is told by its name: conv…, relu…, pool….
    weights : dict
        Layer name → (filters kh×kw×C×K, bias).
    """
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    tensors = {
        name: (torch.from_numpy(w.transpose(3, 2, 0, 1).copy()), torch.from_numpy(b.copy()))
        for name, (w, b) in weights.items()
    }
    center = torch.tensor(mean, dtype=torch.float64).reshape(3, 1, 1)

    def features(pixels):
        found, x = {}, (pixels - center)[None]
        for name in layers:
            if name.startswith("conv"):
                x = functional.conv2d(x, *tensors[name], padding=1)
            elif name.startswith("relu"):
                x = functional.relu(x)
            else:
                x = functional.max_pool2d(x, 2) if pooling == "max" else functional.avg_pool2d(x, 2)
            found[name] = x[0]
        return found

    def mean_gram(feature):
        rows = feature.flatten(1)
        return rows @ rows.T / rows.shape[1]

    def pixels_of(array):
        return torch.from_numpy(array.transpose(2, 0, 1).copy())

    x = pixels_of(image).requires_grad_()
    F, P, S = features(x), features(pixels_of(content_image)), features(pixels_of(style_image))
    value = sum(weight * 0.5 * ((F[layer] - P[layer]) ** 2).sum() for layer, weight in content.items())
    for layer, weight in style.items():
        difference = mean_gram(F[layer]) - mean_gram(S[layer])
        value = value + weight * (difference**2).sum() / (4 * F[layer].shape[0] ** 2)
    value = value + size * ((x - center) ** 2).sum()
    value = value + variation * ((x[:, 1:] - x[:, :-1]) ** 2).sum()
    value = value + variation * ((x[:, :, 1:] - x[:, :, :-1]) ** 2).sum()
    value.backward()
    return value.item(), x.grad.numpy().transpose(1, 2, 0)


def main() -> None:
    """Write the stored numbers."""
    from vggnumpy import random_network

    numbers = {}
    net = random_network("vgg19", rng=0, dtype="float64")
    last = net.layers.index("relu5_1") + 1
    for pooling in POOLINGS:
        value, gradient = torch_objective(net.layers[:last], net.weights, net.mean, pooling, *images(64, 48), **WEIGHTS)
        chosen = np.random.default_rng(2017).choice(gradient.size, ENTRIES, replace=False)
        numbers |= {
            f"vgg19_{pooling}_value": value,
            f"vgg19_{pooling}_norm": np.linalg.norm(gradient),
            f"vgg19_{pooling}_largest": abs(gradient).max(),
            f"vgg19_{pooling}_where": chosen,
            f"vgg19_{pooling}_gradient": gradient.ravel()[chosen],
        }
    layers = ("conv1_1", "relu1_1", "pool1", "conv2_1", "relu2_1", "pool2")
    image, content, style = images(13, 18)
    weights = small_weights()
    numbers |= {"small_image": image, "small_content": content, "small_style": style}
    for name, (w, b) in weights.items():
        numbers |= {f"small_{name}_weight": w, f"small_{name}_bias": b}
    for pooling in POOLINGS:
        value, gradient = torch_objective(layers, weights, net.mean, pooling, image, content, style, **SMALL_WEIGHTS)
        numbers |= {f"small_{pooling}_value": value, f"small_{pooling}_gradient": gradient}
    np.savez_compressed(STORED, **numbers)


if __name__ == "__main__":
    main()
