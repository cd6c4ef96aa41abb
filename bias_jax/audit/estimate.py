"""How long the passes of a long run will take at least: their operations, by the rate of a product measured here."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from bias_jax.activations import MemoryPlan
from bias_jax.audit.road import Walk
from bias_jax.audit.subjects import FlaxSubject
from bias_jax.networks import PRECISIONS, operations

LONG = 3e13  # operations from which on a run is worth a measurement of a second: minutes on a CPU
SIDE = 2048  # of the matrices that are multiplied


def estimate(walks: Sequence[Walk], plans: Sequence[MemoryPlan]) -> str | None:
    """In words, of what networks of the registry do; None for short runs.

    No pass is faster than a product of large matrices; convolutions reach a half of that or more.
    """
    needed = 0.0
    for walk, plan in zip(walks, plans, strict=True):
        if isinstance(walk.subject, FlaxSubject):
            needed += len(plan.waves) * len(walk.images) * of_an_image(walk.subject)
    if needed < LONG:
        return None
    context = walks[0].context
    rate = product_rate(context.precision) * context.mesh.size
    return (
        f"estimate: {needed:.2g} operations of networks at {rate / 1e9:,.0f} GFLOP/s, the rate of a matrix product "
        f"on {context.mesh.size} device{'s' if context.mesh.size > 1 else ''}: the passes over the images take "
        f"{_words(needed / rate)} or more, up to twice that in most networks; instruments come on top"
    )


def of_an_image(subject: FlaxSubject) -> float:
    """Floating point operations of a forward pass of one image, as XLA counts them; nothing is compiled."""
    image = subject.transform.input
    return operations(subject.model, subject.params, (1, *image.shape), image.dtype)


def product_rate(precision: str) -> float:
    """FLOP/s of the first device in products of large matrices, the best of three."""
    ones = jax.device_put(jnp.ones((SIDE, SIDE)), jax.local_devices()[0])
    with jax.default_matmul_precision(PRECISIONS[precision]):
        multiply = jax.jit(jnp.matmul).lower(ones, ones).compile()
    multiply(ones, ones).block_until_ready()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        multiply(ones, ones).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2.0 * SIDE**3 / min(seconds)


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
