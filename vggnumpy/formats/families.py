"""What files of bare numbers do not say, by the family they come from: the pixels, the padding, how pools round."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vggnumpy.errors import InputError


class InputConvention(NamedTuple):
    """What a first layer expects: channel order, then mean and scale in that order, for pixels of 0–255."""

    channel_order: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    words: str


INPUTS = {
    "torchvision": InputConvention(
        "RGB",
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
        "RGB, 0–1 minus (0.485, 0.456, 0.406), divided by (0.229, 0.224, 0.225)",
    ),
    "caffe": InputConvention(
        "BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0), "BGR, 0–255 minus (103.939, 116.779, 123.68)"
    ),
    "matconvnet": InputConvention(
        "RGB", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), "RGB, 0–255 minus (123.68, 116.779, 103.939)"
    ),
    "unit": InputConvention("RGB", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "RGB, 0–1"),
    "signed": InputConvention("RGB", (127.5, 127.5, 127.5), (1 / 127.5, 1 / 127.5, 1 / 127.5), "RGB, −1–1"),
    "vgg-face": InputConvention(
        "BGR", (93.5940, 104.7624, 129.1863), (1.0, 1.0, 1.0), "BGR, 0–255 minus (93.5940, 104.7624, 129.1863)"
    ),
    "vgg-face-rgb": InputConvention(
        "RGB", (129.1863, 104.7624, 93.5940), (1.0, 1.0, 1.0), "RGB, 0–255 minus (129.1863, 104.7624, 93.5940)"
    ),
    "bvlc": InputConvention("BGR", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "BGR, 0–255 minus (104, 117, 123)"),
    "mtcnn": InputConvention(
        "RGB", (127.5, 127.5, 127.5), (1 / 128, 1 / 128, 1 / 128), "RGB, 0–255 minus 127.5, divided by 128"
    ),
}
ROUNDINGS = {"floor": "pools drop an incomplete last window", "ceil": "pools keep an incomplete last window"}


class Family(NamedTuple):
    """A group of published networks with common conventions; None where the layer table or the user must tell."""

    words: str
    input_convention: str | None
    pad_mode: str = "zero"
    pool_rounding: str | None = None
    license: str = "not stated"


VGG_LICENSE = "CC BY 4.0 (Simonyan and Zisserman, Visual Geometry Group, Oxford)"
NORMALISED = Family("normalised encoder of universal style transfer (Li et al. 2017)", "unit", "reflect", "ceil")
DISTILLED = Family("encoder of collaborative distillation (Wang et al. 2020)", "unit", "reflect", "floor")
TORCHVISION = Family("torchvision's VGG", "torchvision", "zero", "floor")
TORCHVISION_SQUEEZENET = Family("torchvision's SqueezeNet", "torchvision")
JOHNSON = Family("Caffe's VGG under torchvision's names (Johnson)", "caffe", "zero", "floor", VGG_LICENSE)
CAFFE_VGG = Family("Caffe's VGG", "caffe", "zero", "ceil")
CAFFE_FACE = Family("Caffe's VGG-Face", "vgg-face", "zero", "ceil")
CAFFE = Family("a network of Caffe's model zoo", "bvlc")
KERAS_VGG = Family("Keras's VGG", "caffe", "zero", "floor")
KERAS_FACE = Family("Keras's VGG-Face", "vgg-face", "zero", "floor")
TORCH_FACE = Family("Torch's VGG-Face", "vgg-face", "zero", "floor")
TFLITE_SQUEEZENET = Family("TensorFlow Lite's SqueezeNet 1.0", "signed")
MTCNN = Family("MTCNN's output net, its filters turned from transposed to upright pictures", "mtcnn")
UNKNOWN = Family("layers of unknown origin", None)
UNKNOWN_VGG = Family("VGG layers of unknown origin", None, "zero", "floor")
# How the SHA-256 of Johnson's vgg19-d01eb7cb.pth and vgg16-00b39a1b.pth begin.  Parts of these files have nothing
# else that tells them from torchvision's own; whole ones number their classifier 1, 4, 6.
JOHNSON_DIGESTS = ("d01eb7cb", "00b39a1b")
KERAS = (".h5", ".hdf5")


def family_of(
    reader: str, scheme: str, architecture: str, layers: Iterable[str], prefixes: Iterable[str], digest: str
) -> Family:
    """Return the family that an original belongs to.

    Parameters
    ----------
    reader : str
        Suffix that its reader goes by: ``".pth"``, ``".caffemodel"`` …
    scheme, architecture : str
        How it names its layers, and as which network (see `naming.match_names`).
    layers, prefixes : iterable of str
        Its layers under our names and under its own.
    digest : str
        SHA-256 of the file.
    """
    layers, vgg = set(layers), architecture.startswith("vgg")
    if "conv0" in layers:
        return DISTILLED if any(layer.endswith("_aux") for layer in layers) else NORMALISED
    if architecture == "onet":
        return MTCNN
    if architecture == "squeezenet1_0-tflite":
        return TFLITE_SQUEEZENET
    if scheme == "features":
        if vgg and (digest.startswith(JOHNSON_DIGESTS) or "classifier.1" in prefixes):
            return JOHNSON
        return TORCHVISION if vgg else TORCHVISION_SQUEEZENET
    # Keras's own VGG names its layers block1_conv1; only its VGG-Face has Caffe's names.
    face = architecture == "vgg-face" or (reader in KERAS and scheme == "named" and architecture == "vgg16")
    if reader == ".caffemodel":
        return CAFFE_FACE if face else CAFFE_VGG if vgg else CAFFE
    if reader in KERAS and vgg:
        return KERAS_FACE if face else KERAS_VGG
    if reader == ".t7" and face:
        return TORCH_FACE
    return UNKNOWN_VGG if vgg else UNKNOWN


def input_convention(family: Family, given: str | None) -> InputConvention:
    """Return what the first layer expects: as given, else as the family has it.

    Raises
    ------
    InputError
        If neither tells; the message lists the choices.
    """
    chosen = given or family.input_convention
    if chosen is None:
        choices = "; ".join(f"{name}: {convention.words}" for name, convention in INPUTS.items())
        raise InputError(
            "the file does not tell which pixels its first layer expects, so give --input, one of "
            f"{', '.join(INPUTS)} ({choices})"
        )
    return INPUTS[chosen]
