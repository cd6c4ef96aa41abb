"""Names and shapes of SimCLRv2's arrays: ours, TensorFlow's and those of Separius' converter.

TensorFlow numbers convolutions and batch norms separately, in the order in which they were made: the stem; of each
block the projection first, then the convolutions along the way.
"""

from collections.abc import Iterator
from typing import NamedTuple

from bias_jax.networks.definition import IMAGENET_CLASSES
from bias_jax.networks.resnet import EXPANSION, STAGES
from bias_jax.networks.simclr import ARCHITECTURES, BLOCKS, PROJECTION_WIDTH, PROJECTIONS, mixing_width
from converters.naming import Shape

# Our leaf of a batch norm -> TensorFlow's, PyTorch's.
_NORM = {"scale": ("gamma", "weight"), "bias": ("beta", "bias"), "mean": ("moving_mean", "running_mean"),
         "var": ("moving_variance", "running_var")}  # fmt: skip
Path = tuple[str, ...]


class Parameter(NamedTuple):
    """One array."""

    path: Path  # in our tree; of the supervised head without the layer that it sits on
    tensorflow: str  # name, with dots in the place of slashes
    torch: str  # name, of both state dicts of a file
    shape: Shape  # ours, which is TensorFlow's


def parameters(network: str) -> Iterator[Parameter]:
    """All arrays, heads last."""
    numbers = {"conv2d": 0, "batch_normalization": 0}
    for path, torch, shape in _layers(network):
        kind = "conv2d" if len(shape) == 4 else "batch_normalization"
        layer = f"base_model.{kind}_{numbers[kind]}".removesuffix("_0")
        numbers[kind] += 1
        leaves = {"kernel": ("kernel", "weight")} if kind == "conv2d" else _NORM
        for leaf, (theirs, name) in leaves.items():
            yield Parameter((*path, leaf), f"{layer}.{theirs}", f"resnet.{torch}.{name}", shape)
    yield from _heads(network)


def _heads(network: str) -> Iterator[Parameter]:
    width = ARCHITECTURES[network].features
    for layer in range(PROJECTIONS):
        last = layer == PROJECTIONS - 1
        outputs = PROJECTION_WIDTH if last else width
        path, tensorflow, torch = ("head_contrastive", f"nl_{layer}"), f"head_contrastive.nl_{layer}", "head.layers"
        dense = f"{torch}.{3 * layer}.weight"
        yield Parameter((*path, "dense", "kernel"), f"{tensorflow}.dense.kernel", dense, (width, outputs))
        for leaf, (theirs, name) in _NORM.items():
            if leaf != "bias" or not last:
                norm = f"{tensorflow}.batch_normalization.{theirs}"
                yield Parameter((*path, "bn", leaf), norm, f"{torch}.{3 * layer + 1}.{name}", (outputs,))
    supervised = "head_supervised.linear_layer.dense"
    classes = IMAGENET_CLASSES
    yield Parameter(("head_supervised", "kernel"), f"{supervised}.kernel", "resnet.fc.weight", (width, classes))
    yield Parameter(("head_supervised", "bias"), f"{supervised}.bias", "resnet.fc.bias", (classes,))


def _layers(network: str) -> Iterator[tuple[Path, str, Shape]]:
    """Our path of each convolution or batch norm of the base, PyTorch's name, and the shape of its arrays."""
    depth, wide, selective = ARCHITECTURES[network]
    inputs = STAGES[0][0] * wide
    stem = [(3, 3, 3, inputs // 2), (3, 3, inputs // 2, inputs // 2), (3, 3, inputs // 2, inputs)]
    for i, shape in enumerate(stem if selective else [(7, 7, 3, inputs)]):
        yield ("stem", str(i), "0"), f"net.0.{2 * i}", shape
        yield ("stem", str(i), "1"), f"net.0.{2 * i + 1}.0", shape[-1:]
    for group, (blocks, (width, _)) in enumerate(zip(BLOCKS[depth], STAGES, strict=True), start=1):
        f, last = width * wide, 3 if selective else 4
        for block in range(blocks):
            ours, torch = (f"block_group{group}", str(block)), f"net.{group}.blocks.{block}"
            if block == 0:
                shortcut = "projection.shortcut.2" if selective else "projection.shortcut"
                yield (*ours, "downsample", "0"), f"{torch}.{shortcut}", (1, 1, inputs, f * EXPANSION)
                yield (*ours, "downsample", "1"), f"{torch}.projection.bn.0", (f * EXPANSION,)
            yield (*ours, "conv1"), f"{torch}.net.0", (1, 1, inputs, f)
            yield (*ours, "bn1"), f"{torch}.net.1.0", (f,)
            if selective:
                hidden, middle = mixing_width(f), f"{torch}.net.2"
                yield (*ours, "conv2"), f"{middle}.main_conv.0", (3, 3, f, 2 * f)
                yield (*ours, "bn2"), f"{middle}.main_conv.1.0", (2 * f,)
                yield (*ours, "mix", "0"), f"{middle}.mixing_conv.0", (1, 1, f, hidden)
                yield (*ours, "mix", "1"), f"{middle}.mixing_conv.1.0", (hidden,)
                yield (*ours, "mix", "2"), f"{middle}.mixing_conv.2", (1, 1, hidden, 2 * f)
            else:
                yield (*ours, "conv2"), f"{torch}.net.2", (3, 3, f, f)
                yield (*ours, "bn2"), f"{torch}.net.3.0", (f,)
            yield (*ours, "conv3"), f"{torch}.net.{last}", (1, 1, f, f * EXPANSION)
            yield (*ours, "bn3"), f"{torch}.net.{last + 1}.0", (f * EXPANSION,)
            inputs = f * EXPANSION
