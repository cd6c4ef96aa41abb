"""What can be known of a user's own network before photographs go through it."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxprs_in_params

from bias_jax.activations import OUTPUT, PIXELS
from bias_jax.errors import InputError, out_of_memory, quoted, told
from bias_jax.networks import Preparation, split

DRAWN = 2  # images of noise with which a network is looked at
SAME = 1e-3  # relative difference up to which two answers to the same images are the same


class Look(NamedTuple):
    """What is known of a network before photographs go through it."""

    shapes: Mapping[str, tuple[int, ...]]  # of `PIXELS`, every activation in depth order, and `OUTPUT` if there is one
    layers: tuple[str, ...]  # to be measured where nobody chooses
    sha256: str
    known_by: str  # what the digest was taken of, in words


@contextmanager
def failing(of: str, remedy: str) -> Iterator[None]:
    """Errors of a user's code become one `InputError`; memory that is short does not."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InputError(f"{of} fails with {told(error)}", remedy=remedy) from error


def drawn_images(transform: Preparation) -> jax.Array:
    """Pictures of noise as the network takes them."""
    noise = np.random.default_rng(0).integers(0, 256, (DRAWN, transform.side, transform.side, 3), dtype=np.uint8)
    on_host, _, dtype, rest = split(transform, None)
    pictures = np.stack([on_host(picture) if on_host else picture for picture in noise]).astype(dtype)
    return jax.jit(rest.on_device)(jax.device_put(pictures))


def answered_twice(
    answer: Callable[[jax.Array], tuple[jax.Array | None, dict[str, jax.Array]]], transform: Preparation, of: str
) -> tuple[jax.Array | None, dict[str, jax.Array]]:
    """What a network says of drawn images.

    Raises:
        InputError: it says something else when it is asked again.
    """
    images = drawn_images(transform)
    (output, first), (_, second) = answer(images), answer(images)
    for name, value in first.items():
        one, other = (np.asarray(v, np.float32) for v in (value, second.get(name, value[:0])))
        if one.shape != other.shape or not np.allclose(one, other, rtol=SAME, atol=SAME, equal_nan=True):
            problem = f"{of}: layer {quoted(name)} is another one when the same images are given again"
            raise InputError(problem, remedy="switch dropout and the like off: eval mode")
    return output, first


def shapes_of(transform: Preparation, found: Mapping[str, Any], output: Any) -> dict[str, tuple[int, ...]]:
    """Shapes for one image: `PIXELS`, activations in their order, `OUTPUT`.

    Args:
        transform: how images are prepared.
        found: layer -> anything with the shape of its activation.
        output: anything with the shape of the output, or None.
    """
    image = jax.ShapeDtypeStruct((1, *transform.input.shape), transform.input.dtype)
    shapes = {PIXELS: jax.eval_shape(transform.pixels, image).shape}
    shapes |= {name: (1, *value.shape[1:]) for name, value in found.items()}
    return shapes if output is None else {**shapes, OUTPUT: (1, output.shape[1])}


def program_digest(program: ClosedJaxpr, params: Any) -> str:
    """SHA-256 of a program, of the arrays in it, and of its parameters."""
    digest = hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", str(program.jaxpr)).encode())  # without addresses in memory
    for value in (*program.consts, *_literals(program.jaxpr), *jax.tree.leaves(params)):
        array = np.asarray(value)
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _literals(program: Jaxpr) -> Iterator[Any]:
    """Arrays that stand in a program, and in those inside it."""
    for equation in program.eqns:
        yield from (var.val for var in equation.invars if isinstance(var, Literal) and np.ndim(var.val))
        for inner in jaxprs_in_params(equation.params):
            yield from _literals(inner)
