"""InceptionV3 as torchvision builds it for its published weights (Szegedy et al. 2016), without the auxiliary head."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.networks.definition import image_classifier
from bias_jax.networks.layers import (
    Activations,
    adaptive_average_pool,
    average_pool_3x3,
    conv,
    conv_norm,
    linear,
    max_pool,
    norm,
)
from bias_jax.networks.transforms import IMAGENET_MEAN, IMAGENET_STD, Transform

EPSILON = 1e-3  # of every batch norm


@dataclass(frozen=True)
class Unit:
    """Convolution, batch norm, ReLU. Inside the blocks, stride 1 keeps the size and stride 2 has no padding."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)  # rows, columns
    stride: int = 1
    pads: bool = True

    @property
    def padding(self) -> tuple[int, int]:
        return (self.kernel[0] // 2, self.kernel[1] // 2) if self.pads and self.stride == 1 else (0, 0)


@dataclass(frozen=True)
class Fork:
    """Units with the same input, whose outputs are concatenated."""

    units: tuple[Unit, ...]


AVERAGE, MAX = "average pool 3x3, stride 1", "max pool 3x3, stride 2"
Branch = tuple[Unit | Fork | str, ...]

STEM = (
    Unit("Conv2d_1a_3x3", 32, (3, 3), 2),
    Unit("Conv2d_2a_3x3", 32, (3, 3), pads=False),
    Unit("Conv2d_2b_3x3", 64, (3, 3)),
    "maxpool1",
    Unit("Conv2d_3b_1x1", 80),
    Unit("Conv2d_4a_3x3", 192, (3, 3), pads=False),
    "maxpool2",
)


def _a(pooled: int) -> tuple[Branch, ...]:
    return (
        (Unit("branch1x1", 64),),
        (Unit("branch5x5_1", 48), Unit("branch5x5_2", 64, (5, 5))),
        (Unit("branch3x3dbl_1", 64), Unit("branch3x3dbl_2", 96, (3, 3)), Unit("branch3x3dbl_3", 96, (3, 3))),
        (AVERAGE, Unit("branch_pool", pooled)),
    )


def _b() -> tuple[Branch, ...]:
    return (
        (Unit("branch3x3", 384, (3, 3), 2),),
        (Unit("branch3x3dbl_1", 64), Unit("branch3x3dbl_2", 96, (3, 3)), Unit("branch3x3dbl_3", 96, (3, 3), 2)),
        (MAX,),
    )


def _c(width: int) -> tuple[Branch, ...]:
    row, column = (1, 7), (7, 1)
    return (
        (Unit("branch1x1", 192),),
        (Unit("branch7x7_1", width), Unit("branch7x7_2", width, row), Unit("branch7x7_3", 192, column)),
        (
            Unit("branch7x7dbl_1", width), Unit("branch7x7dbl_2", width, column), Unit("branch7x7dbl_3", width, row),
            Unit("branch7x7dbl_4", width, column), Unit("branch7x7dbl_5", 192, row),
        ),
        (AVERAGE, Unit("branch_pool", 192)),
    )  # fmt: skip


def _d() -> tuple[Branch, ...]:
    return (
        (Unit("branch3x3_1", 192), Unit("branch3x3_2", 320, (3, 3), 2)),
        (
            Unit("branch7x7x3_1", 192), Unit("branch7x7x3_2", 192, (1, 7)), Unit("branch7x7x3_3", 192, (7, 1)),
            Unit("branch7x7x3_4", 192, (3, 3), 2),
        ),
        (MAX,),
    )  # fmt: skip


def _e() -> tuple[Branch, ...]:
    def fork(a: str, b: str) -> Fork:
        return Fork((Unit(a, 384, (1, 3)), Unit(b, 384, (3, 1))))

    return (
        (Unit("branch1x1", 320),),
        (Unit("branch3x3_1", 384), fork("branch3x3_2a", "branch3x3_2b")),
        (
            Unit("branch3x3dbl_1", 448), Unit("branch3x3dbl_2", 384, (3, 3)),
            fork("branch3x3dbl_3a", "branch3x3dbl_3b"),
        ),
        (AVERAGE, Unit("branch_pool", 192)),
    )  # fmt: skip


BLOCKS: dict[str, tuple[Branch, ...]] = {  # branches in the order in which they are concatenated
    "Mixed_5b": _a(32), "Mixed_5c": _a(64), "Mixed_5d": _a(64),
    "Mixed_6a": _b(),
    "Mixed_6b": _c(128), "Mixed_6c": _c(160), "Mixed_6d": _c(160), "Mixed_6e": _c(192),
    "Mixed_7a": _d(),
    "Mixed_7b": _e(), "Mixed_7c": _e(),
}  # fmt: skip


class BasicConv2d(nnx.Module):
    """One `Unit`."""

    def __init__(self, inputs: int, unit: Unit, rngs: nnx.Rngs):
        self.conv = conv(inputs, unit.outputs, unit.kernel, stride=unit.stride, padding=unit.padding, rngs=rngs)
        self.bn = norm(unit.outputs, EPSILON, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(conv_norm(self.conv, self.bn, x))


class Mixed(nnx.Module):
    """One of `BLOCKS`: parallel branches, concatenated along the channels."""

    def __init__(self, inputs: int, block: str, rngs: nnx.Rngs):
        self.block = block
        self.outputs = 0
        for branch in BLOCKS[block]:
            width = inputs
            for step in branch:
                units = step.units if isinstance(step, Fork) else (step,) if isinstance(step, Unit) else ()
                for unit in units:
                    setattr(self, unit.name, BasicConv2d(width, unit, rngs))
                width = sum(unit.outputs for unit in units) or width
            self.outputs += width

    def __call__(self, x: jax.Array, activations: Activations) -> jax.Array:
        def apply(y: jax.Array, step: Unit | Fork | str) -> jax.Array:
            if isinstance(step, Fork):
                return jnp.concatenate([apply(y, unit) for unit in step.units], axis=-1)
            if isinstance(step, Unit):
                return activations.keep(f"{self.block}.{step.name}", getattr(self, step.name)(y))
            return average_pool_3x3(y) if step == AVERAGE else max_pool(y, 3, 2)

        ends = [reduce(apply, branch, x) for branch in BLOCKS[self.block]]
        x = activations.keep(self.block, jnp.concatenate(ends, axis=-1))
        return x


class InceptionV3(nnx.Module):
    """Images [N, H, W, 3], sides >= 75 -> (logits [N, C], activations by torchvision's node names, in depth order)."""

    def __init__(self, classes: int, rngs: nnx.Rngs):
        width = 3
        for step in STEM:
            if isinstance(step, Unit):
                setattr(self, step.name, BasicConv2d(width, step, rngs))
                width = step.outputs
        for block in BLOCKS:
            setattr(self, block, mixed := Mixed(width, block, rngs))
            width = mixed.outputs
        self.fc = nnx.Linear(width, classes, rngs=rngs)

    def __call__(
        self, x: jax.Array, offsets: Mapping[str, jax.Array] | None = None
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        activations = Activations(offsets)
        x = transform_input(x)
        for step in STEM:
            name = step.name if isinstance(step, Unit) else step
            x = activations.keep(name, getattr(self, name)(x) if isinstance(step, Unit) else max_pool(x, 3, 2))
        for block in BLOCKS:
            x = getattr(self, block)(x, activations)
        x = activations.keep("avgpool", adaptive_average_pool(x, 1))
        logits = activations.keep("fc", linear(self.fc, x[:, 0, 0]))
        return logits, dict(activations)


def transform_input(x: jax.Array) -> jax.Array:
    """From ImageNet's normalisation to [-1, 1], which the published weights were trained on (``transform_input``)."""
    mean, std = (np.array(v)[None, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return x * jnp.asarray(std / 0.5, x.dtype) + jnp.asarray((mean - 0.5) / 0.5, x.dtype)


INCEPTION_V3 = image_classifier(
    InceptionV3,
    last=("fc",),
    preparation=Transform(342, 299),
    smallest=75,
    layers=("maxpool1", "maxpool2", *BLOCKS),
)
