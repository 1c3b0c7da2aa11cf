"""One step of training, a batch of CIFAR-10's size, against the same network in PyTorch on the same CPU.

    python tests/benchmarks/training_against_torch.py [--architecture small-vgg] [--batch 256] [--rounds 5]

The loss and every gradient are compared first, from the same weights.  Then the two take turns; printed are the median
seconds of a step (gradients and SGD with momentum), what a pass over 50,000 pictures takes at that speed, and the
ratios.  PyTorch runs in float32 with as many threads, in both layouts.

Needs the ``reference`` extra.  Runs in a process without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE.
"""

from __future__ import annotations

import argparse

from evaluation_against_torch import answer, in_a_process, median, seconds

PICTURES = 50_000
LAYOUTS = ("NCHW", "channels_last")


def their_step(model, layout):
    """Return PyTorch's step function (x, labels) → loss, and its parameters by our names."""
    import torch
    from torch.nn import functional as F

    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    parameters = {}
    for layer in model.table:
        parts = model.weights.get(layer.name, ())[:2]
        for k, part in enumerate(parts):
            tensor = torch.from_numpy(part.copy())
            if layer.kind == "conv" and k == 0:
                tensor = tensor.permute(3, 2, 0, 1).contiguous(memory_format=form)
            parameters[f"{layer.name}/{k}"] = tensor.requires_grad_(True)
    normalised = {layer.inputs[0] for layer in model.table if layer.kind == "bnorm"}
    moving = {
        layer.name: (torch.zeros(len(model.weights[layer.name][0])), torch.ones(len(model.weights[layer.name][0])))
        for layer in model.table
        if layer.kind == "bnorm"
    }
    optimizer = torch.optim.SGD(list(parameters.values()), lr=0.01, momentum=0.9, nesterov=True)

    def scores(x):
        for layer in model.table:
            w, b = (parameters.get(f"{layer.name}/{k}") for k in (0, 1))
            if layer.kind == "conv":
                x = F.conv2d(x, w, None if layer.name in normalised else b, padding=layer.pad[0])
            elif layer.kind == "bnorm":
                x = F.batch_norm(x, *moving[layer.name], w, b, training=True, eps=1e-5)
            elif layer.kind == "relu":
                x = F.relu(x, inplace=True)
            elif layer.kind == "pool" and layer.size == (0, 0):
                x = x.mean((2, 3), keepdim=True)
            elif layer.kind == "pool":
                top, bottom, left, right = layer.pad
                x = F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-torch.inf), layer.size, layer.stride)
        return x.flatten(1)

    def step(x, labels):
        optimizer.zero_grad()
        images = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=form)
        loss = F.cross_entropy(scores(images), torch.from_numpy(labels.astype("int64")), label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step, parameters


def pairs(architecture, batch, rounds):
    """Return the seconds of every step after the first, by side, after checking that the gradients agree."""
    import numpy as np

    from vggnumpy.training.architectures import training_table
    from vggnumpy.training.model import Model
    from vggnumpy.training.optimizers import SGD

    rng = np.random.default_rng(0)
    model, optimizer = Model(training_table(architecture)), SGD()
    x, labels = rng.standard_normal((batch, 32, 32, 3)).astype("f4"), rng.integers(0, 10, batch)

    def ours(x):
        loss, _, gradients = model.gradients(x, labels, 0.1)
        flat = {f"{name}/{k}": g for name, parts in gradients.items() for k, g in enumerate(parts)}
        optimizer.step({name: model.weights[name.split("/")[0]][int(name[-1])] for name in flat}, flat, 0.01)
        return loss, flat

    theirs = {layout: their_step(model, layout) for layout in LAYOUTS}
    (loss, flat), worst = ours(x), 0.0
    for step, parameters in theirs.values():
        assert abs(step(x, labels) - loss) < 1e-4 * loss
        for name, g in flat.items():
            tensor = parameters[name].grad
            if tensor is not None:
                found = (tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor).numpy()
                worst = max(worst, float(np.linalg.norm(found - g) / np.linalg.norm(found)))
    assert worst < 0.02, worst  # a rectifier's input that rounding takes to the other side of 0
    times = {"ours": [], **{layout: [] for layout in LAYOUTS}}
    for _ in range(rounds):
        times["ours"].append(seconds(ours, x))
        for layout, (step, _) in theirs.items():
            times[layout].append(seconds(lambda x, step=step: step(x, labels), x))
    return {"difference": worst, "times": times}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="small-vgg")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer(options.call, globals())
        return
    result = in_a_process("pairs", options.architecture, options.batch, options.rounds, script=__file__)
    print(f"{options.architecture}, batches of {options.batch}; gradients differ by {result['difference']:.0e} at most")
    ours = median(result["times"]["ours"])
    for name, times in result["times"].items():
        step = median(times)
        a_pass = step * PICTURES / options.batch
        print(f"  {name:14} {step:6.3f} s a step, {a_pass:5.0f} s a pass, ratio {ours / step:.2f}")


if __name__ == "__main__":
    main()
