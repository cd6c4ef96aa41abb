"""Entries of torchvision's weights enums, and timm's copies of them."""

from dataclasses import replace
from typing import Any

from bias_jax.networks import NETWORKS, Preparation, Transform
from converters.entries import PublishedWeights

V1, V2 = "IMAGENET1K_V1", "IMAGENET1K_V2"
TIMM = {V1: "tv_in1k", V2: "tv2_in1k"}  # tags of the same weights
TIMM_MEBIBYTES = {("vgg16", V1): 527.8, ("resnet50", V1): 97.7, ("resnet50", V2): 97.7, ("inception_v3", V1): 91.1}


def _entry(
    network: str, name: str, file: str, mebibytes: float, top1: float, top5: float, images: Preparation | None = None,
    *, usual: Preparation,
) -> PublishedWeights:  # fmt: skip
    return PublishedWeights(network, name, file, mebibytes, (top1, top5), images or usual)


# Network, entry, file, MiB, top-1 and top-5 in percent, images: if not given, resized to 256, for V2 to
# 232, and cropped to 224.
_ENTRIES: tuple[tuple[Any, ...], ...] = (
    ("vgg11", V1, "vgg11-8a719046.pth", 506.840, 69.020, 88.628),
    ("vgg11_bn", V1, "vgg11_bn-6002323d.pth", 506.881, 70.370, 89.810),
    ("vgg13", V1, "vgg13-19584684.pth", 507.545, 69.928, 89.246),
    ("vgg13_bn", V1, "vgg13_bn-abd245e5.pth", 507.590, 71.586, 90.374),
    ("vgg16", V1, "vgg16-397923af.pth", 527.796, 71.592, 90.382),
    ("vgg16_bn", V1, "vgg16_bn-6c64b313.pth", 527.866, 73.360, 91.516),
    ("vgg19", V1, "vgg19-dcbb9e9d.pth", 548.051, 72.376, 90.876),
    ("vgg19_bn", V1, "vgg19_bn-c79401a0.pth", 548.143, 74.218, 91.842),
    ("resnet18", V1, "resnet18-f37072fd.pth", 44.661, 69.758, 89.078),
    ("resnet34", V1, "resnet34-b627a593.pth", 83.275, 73.314, 91.420),
    ("resnet50", V1, "resnet50-0676ba61.pth", 97.781, 76.130, 92.862),
    ("resnet50", V2, "resnet50-11ad3fa6.pth", 97.790, 80.858, 95.434),
    ("resnet101", V1, "resnet101-63fe2227.pth", 170.511, 77.374, 93.546),
    ("resnet101", V2, "resnet101-cd907fc2.pth", 170.530, 81.886, 95.780),
    ("resnet152", V1, "resnet152-394f9c45.pth", 230.434, 78.312, 94.046),
    ("resnet152", V2, "resnet152-f82ba261.pth", 230.474, 82.284, 96.002),
    ("wide_resnet50_2", V1, "wide_resnet50_2-95faca4d.pth", 131.820, 78.468, 94.086),  # half precision
    ("wide_resnet50_2", V2, "wide_resnet50_2-9ba9bcbe.pth", 263.124, 81.602, 95.758),
    ("wide_resnet101_2", V1, "wide_resnet101_2-32ee1156.pth", 242.896, 78.848, 94.284),  # half precision
    ("wide_resnet101_2", V2, "wide_resnet101_2-d733dc28.pth", 484.747, 82.510, 96.020),
    ("resnext50_32x4d", V1, "resnext50_32x4d-7cdf4587.pth", 95.789, 77.618, 93.698),
    ("resnext50_32x4d", V2, "resnext50_32x4d-1a0047aa.pth", 95.833, 81.198, 95.340),
    ("resnext101_32x8d", V1, "resnext101_32x8d-8ba56ff5.pth", 339.586, 79.312, 94.526),
    ("resnext101_32x8d", V2, "resnext101_32x8d-110c445d.pth", 339.673, 82.834, 96.228),
    ("resnext101_64x4d", V1, "resnext101_64x4d-173b62eb.pth", 319.318, 83.246, 96.454, Transform(232, 224)),
    ("inception_v3", V1, "inception_v3_google-0cc3c7bd.pth", 103.903, 77.294, 93.450, Transform(342, 299)),
)
# The same, of networks whose arrays timm names otherwise; images that are not given are the network's usual ones.
_WITHOUT_COPIES: tuple[tuple[Any, ...], ...] = (
    ("convnext_tiny", V1, "convnext_tiny-983f1562.pth", 109.119, 82.520, 96.146),
    ("convnext_small", V1, "convnext_small-0c510722.pth", 191.703, 83.616, 96.650),
    ("convnext_base", V1, "convnext_base-6075fbad.pth", 338.064, 84.062, 96.870),
    ("convnext_large", V1, "convnext_large-ea097f82.pth", 754.537, 84.414, 96.976),
    ("efficientnet_b0", V1, "efficientnet_b0_rwightman-7f5810bc.pth", 20.451, 77.692, 93.532),
    ("efficientnet_b1", V1, "efficientnet_b1_rwightman-bac287d4.pth", 30.134, 78.642, 94.186),
    ("efficientnet_b1", V2, "efficientnet_b1-c27df63c.pth", 30.136, 79.838, 94.934, Transform(255, 240)),
    ("efficientnet_b2", V1, "efficientnet_b2_rwightman-c35c1473.pth", 35.174, 80.608, 95.310),
    ("efficientnet_b3", V1, "efficientnet_b3_rwightman-b3899882.pth", 47.184, 82.008, 96.054),
    ("efficientnet_b4", V1, "efficientnet_b4_rwightman-23ab8bcd.pth", 74.489, 83.384, 96.594),
    ("efficientnet_b5", V1, "efficientnet_b5_lukemelas-1a07897c.pth", 116.864, 83.444, 96.628),
    ("efficientnet_b6", V1, "efficientnet_b6_lukemelas-24a108a5.pth", 165.362, 84.008, 96.916),
    ("efficientnet_b7", V1, "efficientnet_b7_lukemelas-c5b4e57e.pth", 254.675, 84.122, 96.908),
    ("efficientnet_v2_s", V1, "efficientnet_v2_s-dd5fe13b.pth", 82.704, 84.228, 96.878),
    ("efficientnet_v2_m", V1, "efficientnet_v2_m-dc08266a.pth", 208.010, 85.112, 97.156),
    ("efficientnet_v2_l", V1, "efficientnet_v2_l-59c71312.pth", 454.573, 85.808, 97.788),
)
_TORCHVISION = tuple(_entry(*row, usual=Transform(232 if row[1] == V2 else 256, 224)) for row in _ENTRIES)
_ALONE = tuple(_entry(*row, usual=NETWORKS[row[0]].preparation) for row in _WITHOUT_COPIES)
# Weights of the detector SSD; its classifier was never trained.
_VGG16_FEATURES = PublishedWeights(
    "vgg16", "IMAGENET1K_FEATURES", "vgg16_features-amdegroot-88682ab5.pth", 527.802, None,
    Transform(256, 224, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)), invalid="classifier.",
)  # fmt: skip


def _timm(original: PublishedWeights) -> PublishedWeights:
    # The same weights, so torchvision's transform and the accuracy measured with it. timm evaluates InceptionV3
    # otherwise (bicubic, 341 -> 299, mean and std 0.5), and its networks do not transform their input; ours does.
    tag, size = TIMM[original.name], TIMM_MEBIBYTES.get((original.network, original.name))
    return replace(original, name=tag, file=f"timm/{original.network}.{tag}", mebibytes=size)


_NETWORKS = [entry.network for entry in _TORCHVISION]
PUBLISHED = (
    *sorted([*_TORCHVISION, _VGG16_FEATURES, *map(_timm, _TORCHVISION)], key=lambda e: _NETWORKS.index(e.network)),
    *_ALONE,
)
