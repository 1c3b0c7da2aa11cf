"""The public originals: where each lies, how large it is, its digest and licence, and how it is converted.

Only what is documented is written down.  Sizes and digests are those of MatConvNet's table of checksums (MD5), Caffe's
model zoo and OpenCV's list of models (SHA-1), Keras's applications (MD5), and torchvision, whose file names end in the
first digits of the SHA-256; where there is none, none was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vggnumpy.formats.families import VGG_LICENSE

FACE_LICENSE = "non-commercial, never pass on (sources disagree: CC BY 4.0, CC BY-NC 4.0, see Oxford's page)"
CAFFE_LICENSE = "unrestricted (Caffe's model zoo)"
TORCHVISION_LICENSE = "not stated (torchvision's code is BSD-3-Clause)"
SQUEEZENET_LICENSE = "BSD-2-Clause (its authors' repository)"

VLFEAT = "https://www.vlfeat.org/matconvnet/models/"
OXFORD = "https://www.robots.ox.ac.uk/~vgg/software/"
TORCHVISION = "https://download.pytorch.org/models/"
JOHNSON = "https://web.eecs.umich.edu/~justincj/models/"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
CAFFE = "http://dl.caffe.berkeleyvision.org/"
SQUEEZENET = "https://github.com/forresti/SqueezeNet/raw/master/"
DEEP_TRANSFER = (
    "https://github.com/pietrocarbo/deep-transfer/raw/e87e72f9f8612062431a82289b758ef570da52c3/"
    "models/autoencoder_vgg19/"
)


@dataclass(frozen=True)
class Published:
    """A published file that a network can be made of.

    Attributes
    ----------
    name : str
        What ``vggnumpy weights fetch`` and ``--weights`` call it.
    network : str
        The layer table that it holds the weights of.
    server : str
        The address without the file's name; empty where the file is no longer offered.
    file : str
        The file's name, behind `server`.
    license : str
        A word or two, then the details in brackets.
    size : int or None
        In bytes, None where it is not documented.
    digests : mapping
        Algorithm (``"md5"``, ``"sha1"``, ``"sha256"``) → hexadecimal digits, the first ones of them at least.
    member : str
        The file inside the archive that `file` is; empty where it is none.
    options : mapping
        What `vggnumpy.formats.convert.convert` must be told.
    note : str
        What one should know before choosing it.
    """

    name: str
    network: str
    server: str
    file: str
    license: str
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    member: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def address(self) -> str:
        """The full address, empty where the file is no longer offered."""
        return self.server + self.file if self.server else ""


def _torchvision(name: str, network: str, file: str, size: int | None, digest: str, note: str) -> Published:
    return Published(name, network, TORCHVISION, file, TORCHVISION_LICENSE, size, {"sha256": digest}, note=note)


def _johnson(name: str, network: str, file: str, digest: str) -> Published:
    note = "Caffe's numbers in a PyTorch file"
    return Published(name, network, JOHNSON, file, VGG_LICENSE, None, {"sha256": digest}, note=note)


def _keras(network: str, top: bool, size: int, digest: str) -> Published:
    return Published(
        f"{network}-keras" if top else f"{network}-keras-notop",
        network,
        f"{KERAS}{network}/",
        f"{network}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5",
        VGG_LICENSE,
        size,
        {"md5": digest},
        note="Caffe's numbers"
        + ("" if top else " without the classifier: all that style transfer needs, the smallest"),
    )


ANEW = "trained anew: other numbers than the authors'"

_TABLE = (
    Published(
        "vgg19",
        "vgg19",
        VLFEAT,
        "imagenet-vgg-verydeep-19.mat",
        VGG_LICENSE,
        534_904_783,
        {
            "md5": "106118b7cf60435e6d8e04f6a6dc3657",
            "sha256": "abdb57167f82a2a1fbab1e1c16ad9373411883f262a1a37ee5db2e6fb0044695",
        },
        note="the authors' network as MatConvNet converted it",
    ),
    Published(
        "vgg19-caffe",
        "vgg19",
        f"{OXFORD}very_deep/caffe/",
        "VGG_ILSVRC_19_layers.caffemodel",
        VGG_LICENSE,
        574_671_192,
        {"md5": "b5c644beabd7cf06bdd9065cfd674c97", "sha1": "239785e7862442717d831f682bb824055e51e9ba"},
        note="the authors' own file; the server is often down",
    ),
    _keras("vgg19", True, 574_710_816, "cbe5617147190e668d6c5d5026f83318"),
    _keras("vgg19", False, 80_134_624, "253f8cb515780f3b799900260a226db6"),
    _johnson("vgg19-johnson", "vgg19", "vgg19-d01eb7cb.pth", "d01eb7cb"),
    _torchvision(
        "vgg19-torchvision",
        "vgg19",
        "vgg19-dcbb9e9d.pth",
        574_673_361,
        "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        ANEW,
    ),
    Published(
        "vgg19-normalised",
        "vgg19",
        f"{DEEP_TRANSFER}vgg19_5/",
        "vgg_normalised_conv5_1.pth",
        VGG_LICENSE,
        options={"architecture": "vgg19"},
        note="rescaled to mean activations of 1 (Gatys et al. 2015), to conv5_1; reflected padding (Li et al. 2017)",
    ),
    Published(
        "vgg19-normalised-conv3_1",
        "vgg19",
        f"{DEEP_TRANSFER}vgg19_3/",
        "vgg_normalised_conv3_1.pth",
        VGG_LICENSE,
        2_223_308,
        {"sha256": "ff8506173d3a17e7b0fbfbff242c00b6827cfbcd7c21852b46806ae6a3fd7b09"},
        options={"architecture": "vgg19"},
        note="the same to conv3_1",
    ),
    Published(
        "vgg19-gatys",
        "vgg19",
        "",
        "vgg_conv.pth",
        VGG_LICENSE,
        options={"input_convention": "caffe"},
        note="Gatys's own normalised network; his server is gone, copies convert",
    ),
    Published(
        "vgg16",
        "vgg16",
        VLFEAT,
        "imagenet-vgg-verydeep-16.mat",
        VGG_LICENSE,
        None,
        {"md5": "f72d927587ca4c97fbd165ec9cb9997f"},
        note="the authors' network as MatConvNet converted it",
    ),
    Published(
        "vgg16-caffe",
        "vgg16",
        f"{OXFORD}very_deep/caffe/",
        "VGG_ILSVRC_16_layers.caffemodel",
        VGG_LICENSE,
        553_432_081,
        {"md5": "441315b0ff6932dbfde97731be7ca852", "sha1": "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24"},
        note="the authors' own file; the server is often down",
    ),
    _keras("vgg16", True, 553_467_096, "64373286793e3c8b2b4e3219cbf3544b"),
    _keras("vgg16", False, 58_889_256, "6d6bbae143d832006294945121d1f1fc"),
    _johnson("vgg16-johnson", "vgg16", "vgg16-00b39a1b.pth", "00b39a1b"),
    _torchvision(
        "vgg16-torchvision",
        "vgg16",
        "vgg16-397923af.pth",
        553_433_881,
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        ANEW,
    ),
    Published(
        "vgg-face",
        "vgg-face",
        VLFEAT,
        "vgg-face.mat",
        FACE_LICENSE,
        1_086_058_494,
        {"md5": "3d6cd504bf9c98af4a561aad059565d1"},
        note="the faces of 2622 people (Parkhi et al. 2015), in MatConvNet's current form",
    ),
    Published(
        "vgg-face-oxford",
        "vgg-face",
        f"{OXFORD}vgg_face/src/",
        "vgg_face_matconvnet.tar.gz",
        FACE_LICENSE,
        member="vgg_face_matconvnet/data/vgg_face.mat",
        note="the same network as its authors packed it",
    ),
    Published(
        "alexnet",
        "alexnet",
        VLFEAT,
        "imagenet-caffe-alex.mat",
        CAFFE_LICENSE,
        None,
        {"md5": "b5152a54bf61100a8ed61827c76e7d08"},
        note="Caffe's network as MatConvNet converted it",
    ),
    Published(
        "alexnet-caffe",
        "alexnet",
        CAFFE,
        "bvlc_alexnet.caffemodel",
        CAFFE_LICENSE,
        None,
        {"sha1": "9116a64c0fbe4459d18f4bb6b56d647b63920377"},
    ),
    Published(
        "googlenet",
        "googlenet",
        CAFFE,
        "bvlc_googlenet.caffemodel",
        CAFFE_LICENSE,
        53_533_754,
        {"sha1": "405fc5acd08a3bb12de8ee5e23a96bec22f08204"},
    ),
    Published(
        "squeezenet1_0",
        "squeezenet1_0",
        f"{SQUEEZENET}SqueezeNet_v1.0/",
        "squeezenet_v1.0.caffemodel",
        SQUEEZENET_LICENSE,
        None,
        {"sha1": "579d0beb658e43c45937bf8bb5e4034fea4e1f69"},
    ),
    Published(
        "squeezenet1_1",
        "squeezenet1_1",
        f"{SQUEEZENET}SqueezeNet_v1.1/",
        "squeezenet_v1.1.caffemodel",
        SQUEEZENET_LICENSE,
        None,
        {"sha1": "3397f026368a45ae236403ccc81cfcbe8ebe1bd0"},
    ),
    _torchvision("squeezenet1_0-torchvision", "squeezenet1_0", "squeezenet1_0-b66bff10.pth", None, "b66bff10", ""),
    _torchvision("squeezenet1_1-torchvision", "squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", None, "b8a52dc0", ""),
)

ORIGINALS: Mapping[str, Published] = MappingProxyType({original.name: original for original in _TABLE})


def license_of(sha256: str) -> str:
    """Return the licence of the original with this SHA-256, empty if none is documented with it."""
    for original in ORIGINALS.values():
        known = original.digests.get("sha256", "")
        if len(known) >= 8 and sha256.startswith(known):
            return original.license
    return ""
