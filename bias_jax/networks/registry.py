"""Every network by name: how to build it, which layers are probed, and one function that runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from bias_jax.errors import InputError
from bias_jax.networks.inception_v3 import BLOCKS, InceptionV3
from bias_jax.networks.resnet50 import STAGES, ResNet50
from bias_jax.networks.vgg16 import VGG16

Params = Mapping[str, Any]  # nested dict of arrays, Flax layouts, torchvision's module names
PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}


@dataclass(frozen=True)
class Network:
    """One architecture."""

    build: Callable[[int, nnx.Rngs], nnx.Module]  # (classes, rngs) -> module
    image_size: int  # side of the square image it was trained on
    smallest: int  # side of the smallest image it accepts
    resize: int  # shorter side before the centre crop
    classifier: tuple[str, ...]  # path of the last linear layer, whose bias tells the number of classes
    layers: tuple[str, ...]  # probed by default, in depth order


NETWORKS = {
    "vgg16": Network(
        build=VGG16,
        image_size=224,
        smallest=32,
        resize=256,
        classifier=("classifier", "6"),
        layers=(*(f"features.{pool}" for pool in (4, 9, 16, 23, 30)), "classifier.1", "classifier.4"),
    ),
    "resnet50": Network(
        build=ResNet50,
        image_size=224,
        smallest=1,
        resize=256,
        classifier=("fc",),
        layers=("maxpool", *(f"layer{s}.{b}" for s, (blocks, *_) in enumerate(STAGES, 1) for b in range(blocks))),
    ),
    "inception_v3": Network(
        build=InceptionV3,
        image_size=299,
        smallest=75,
        resize=342,
        classifier=("fc",),
        layers=("maxpool1", "maxpool2", *BLOCKS),
    ),
}
IMAGENET_CLASSES = 1000


def network(name: str) -> Network:
    """Look a network up by name."""
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}", remedy=f"choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


@cache
def _structure(architecture: Network, classes: int) -> tuple[nnx.GraphDef, Any]:
    model = nnx.eval_shape(lambda: architecture.build(classes, nnx.Rngs(0)))
    graph, state = nnx.split(model)
    return graph, state


def abstract_params(name: str, classes: int = IMAGENET_CLASSES) -> dict[str, Any]:
    """Shapes and dtypes of the parameters, as a nested dict of `jax.ShapeDtypeStruct`."""
    return nnx.to_pure_dict(_structure(network(name), classes)[1])


def class_count(name: str, params: Params) -> int:
    """Number of classes of the parameters' last layer."""
    leaf: Any = params
    for key in network(name).classifier:
        leaf = leaf[key]
    return leaf["bias"].shape[0]


def assemble(name: str, params: Params) -> nnx.Module:
    """The module with these parameters."""
    graph, state = _structure(network(name), class_count(name, params))
    state = jax.tree.map(lambda x: x, state)  # a copy: the cached structure stays abstract
    nnx.replace_by_pure_dict(state, dict(params))
    return nnx.merge(graph, state)


def forward(
    name: str,
    params: Params,
    images: jax.Array,
    *,
    precision: str = "float32",
    offsets: Mapping[str, jax.Array] | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Run a network for inference.

    Args:
        name: a key of `NETWORKS`.
        params: nested dict of arrays, see `converters.convert` or `random_params`.
        images: NHWC, normalised as the weights require.
        precision: ``float32`` (exact), ``tf32`` or ``bfloat16`` (both faster on accelerators).
        offsets: added to the activations of these names on the way, for gradients with respect to them.

    Returns:
        Logits [N, C] and the activations [N, H, W, U] or [N, U] in depth order, by torchvision's node names.
        Under `jit`, activations that nobody uses cost nothing.

    Raises:
        InputError: unknown network, or images smaller than it accepts.
    """
    if min(images.shape[1:3]) < (smallest := network(name).smallest):
        size = " x ".join(map(str, images.shape[1:3]))
        raise InputError(f"{name} cannot take images of {size} pixels", remedy=f"give sides of at least {smallest}")
    if precision == "bfloat16":
        images = images.astype(jnp.bfloat16)  # the layers cast their parameters
    with jax.default_matmul_precision(PRECISIONS[precision]):
        return assemble(name, params)(images, offsets)


def jit_network(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`jax.jit`, with its options, for a function that runs a network and is not itself inside another `jit`.

    On a CPU it leaves out XLA's YNNPACK kernels, whose convolutions run at 0.5 to 0.8 times the rate of the older ones.
    """

    @cache
    def compiled() -> Callable[..., Any]:  # asking for the platform starts it, so not before the first call
        cpu = {"xla_cpu_experimental_ynn_fusion_type": ""} if jax.default_backend() == "cpu" else None
        return jax.jit(function, compiler_options=cpu, **options)

    @wraps(function)
    def run(*arguments: Any, **named: Any) -> Any:
        return compiled()(*arguments, **named)

    return run


def layer_shapes(name: str, params: Params, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Shape of every activation, in depth order, for images of this shape [N, H, W, 3]; nothing is run."""
    order: list[str] = []  # a traced dict comes back sorted by key

    def trace(params: Params, images: jax.Array) -> dict[str, jax.Array]:
        _, activations = forward(name, params, images)
        order.extend(activations)
        return activations

    found = jax.eval_shape(trace, params, jax.ShapeDtypeStruct(shape, "float32"))
    return {layer: found[layer].shape for layer in order}
