"""What the machine can do: cores, memory, rate of a matrix product."""

import os
import resource
import time

import jax
import jax.numpy as jnp


def product_rate(images: int, width: int, rows: int) -> float:
    """FLOP/s of the solver's larger product at full precision."""
    a, b = jnp.ones((rows, width)), jnp.ones((images, width))
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision="highest"))
    jax.block_until_ready(multiply(a, b))
    times = []
    for _ in range(10):
        start = time.perf_counter()
        jax.block_until_ready(multiply(a, b))
        times.append(time.perf_counter() - start)
    return 2.0 * images * width * rows / min(times)


def threads() -> int:
    """Of the processor, for both: as many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> float:
    """Bytes: of the accelerator, or of this process where there is none."""
    statistics = jax.devices()[0].memory_stats() or {}
    return statistics.get("peak_bytes_in_use", 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
