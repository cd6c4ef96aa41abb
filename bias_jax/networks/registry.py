"""Every network by name, and one function that runs it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache, partial, wraps
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from bias_jax.errors import InputError
from bias_jax.networks import convnext, efficientnet, igpt, resnet, simclr, vgg, vit_family
from bias_jax.networks.definition import Network, Params, Variant
from bias_jax.networks.inception_v3 import INCEPTION_V3

PRECISIONS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}
NETWORKS: dict[str, Network] = {
    **vgg.NETWORKS,
    **resnet.NETWORKS,
    "inception_v3": INCEPTION_V3,
    **convnext.NETWORKS,
    **efficientnet.NETWORKS,
    **igpt.NETWORKS,
    **simclr.NETWORKS,
    **vit_family.NETWORKS,
}


def network(name: str) -> Network:
    """Look a network up by name."""
    if name not in NETWORKS:
        raise InputError(f"unknown network {name!r}", remedy=f"choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name]


class _OneKey:
    """Stands for `nnx.Rngs` where only shapes are asked for: counting draws takes time that grows with their square."""

    def __init__(self) -> None:
        self._key = jax.random.key(0)

    def params(self) -> jax.Array:
        return self._key


@cache
def _structure(architecture: Network, variant: tuple[tuple[str, int], ...]) -> tuple[nnx.GraphDef, Any]:
    rngs: Any = _OneKey()
    model = nnx.eval_shape(lambda: architecture.build(dict(variant), rngs))
    graph, state = nnx.split(model)
    return graph, state


def _of_variant(architecture: Network, variant: Variant) -> tuple[nnx.GraphDef, Any]:
    return _structure(architecture, tuple(sorted(variant.items())))


def abstract_params(name: str, variant: Variant | None = None) -> dict[str, Any]:
    """Shapes and dtypes of the parameters (default: of random weights), nested dicts of `jax.ShapeDtypeStruct`."""
    net = network(name)
    return nnx.to_pure_dict(_of_variant(net, net.usual if variant is None else variant)[1])


def class_count(name: str, params: Params) -> int:
    """Number of classes of the output; 0: these weights have none."""
    return network(name).variant(params)["classes"]


def assemble(name: str, params: Params) -> nnx.Module:
    """The module with these parameters."""
    net = network(name)
    graph, state = _of_variant(net, net.variant(params))
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
) -> tuple[jax.Array | None, dict[str, jax.Array]]:
    """Run a network for inference.

    Args:
        name: a key of `NETWORKS`.
        params: nested dict of arrays, see `converters.convert` or `random_params`.
        images: prepared as the weights require: floats [N, H, W, 3], or tokens, int32 [N, n].
        precision: ``float32`` (exact), ``tf32`` or ``bfloat16`` (both faster on accelerators).
        offsets: added to the activations of these names on the way, for gradients with respect to them.

    Returns:
        The output, logits [N, C] (None: these weights have no classifier), and the activations [N, H, W, U] or [N, U]
        by name, in depth order. Under `jit`, activations that nobody uses cost nothing.

    Raises:
        InputError: unknown network, or images smaller than it accepts.
    """
    if images.ndim == 4 and min(images.shape[1:3]) < (smallest := network(name).smallest):
        size = " x ".join(map(str, images.shape[1:3]))
        raise InputError(f"{name} cannot take images of {size} pixels", remedy=f"give sides of at least {smallest}")
    if precision == "bfloat16" and jnp.issubdtype(images.dtype, jnp.floating):
        images = images.astype(jnp.bfloat16)  # the layers cast their parameters
    elif precision == "bfloat16":  # tokens become vectors by looking parameters up
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
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


@partial(jax.jit, static_argnums=0)
def _run(name: str, params: Params, images: jax.Array) -> OrderedDict[str, jax.Array]:
    return OrderedDict(forward(name, params, images)[1])  # a plain dict would come back sorted by key


def _traced(name: str, params: Params, shape: tuple[int, ...], dtype: Any) -> Any:
    """`_run` for prepared images of this shape; JAX keeps it, so that who asks again waits no second time."""
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    return _run.trace(name, shapes, jax.ShapeDtypeStruct(shape, dtype))


def layer_shapes(
    name: str, params: Params, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> dict[str, tuple[int, ...]]:
    """Shape of every activation, in depth order, for prepared images of this shape [N, ...]; nothing is run."""
    return {layer: found.shape for layer, found in _traced(name, params, shape, dtype).out_info.items()}


def operations(name: str, params: Params, shape: tuple[int, ...], dtype: Any = jnp.float32) -> float:
    """Floating point operations of a pass of prepared images of this shape, as XLA counts them; nothing is compiled."""
    return float((_traced(name, params, shape, dtype).lower().cost_analysis() or {}).get("flops", 0.0))
