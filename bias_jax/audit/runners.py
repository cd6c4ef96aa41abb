"""How a user's own function is run: traced inside the extraction program, or called as it is."""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, Var, jaxprs_in_params

from bias_jax.activations import OUTPUT, PIXELS, GroupMeans, LayerPlan, extract_wave, pool
from bias_jax.activations.answers import Answer, blocks, named_answer, read_answer
from bias_jax.activations.calling import called_wave
from bias_jax.activations.pooling import layer_rule
from bias_jax.audit.images import ImageSet
from bias_jax.devices import first_device
from bias_jax.errors import InputError, out_of_memory, quoted, told
from bias_jax.networks import PRECISIONS, Preparation, params_digest, split

log = logging.getLogger("bias_jax.audit")
DRAWN = 2  # images of noise with which a network is looked at
SAME = 1e-3  # relative difference up to which two answers to the same images are the same


class Look(NamedTuple):
    """What is known of a network before photographs go through it."""

    shapes: Mapping[str, tuple[int, ...]]  # of `PIXELS`, every activation in depth order, and `OUTPUT` if there is one
    layers: tuple[str, ...]  # to be measured where nobody chooses
    sha256: str
    known_by: str  # what the digest was taken of, in words


class Runner(Protocol):
    """Runs a network."""

    def look(self, transform: Preparation) -> Look:
        """Shapes, layers and digest.

        Raises:
            InputError: it does not run, or not twice alike.
        """

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], transform: Preparation, *,
        batch_size: int, precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        """As `Subject.extract`."""


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


@dataclass(frozen=True, eq=False)
class Traced:
    """A function (params, images) -> answer that JAX can trace; an `activations.Forward`."""

    function: Callable[[Any, jax.Array], Any]
    params: Any
    name: str
    channels_first: bool = False

    def __call__(
        self, params: Any, images: jax.Array, *, precision: str
    ) -> tuple[jax.Array | None, dict[str, jax.Array]]:
        answer = self._answer(params, images, precision)
        return read_answer(answer, len(images), self.name, channels_first=self.channels_first)

    def _answer(self, params: Any, images: jax.Array, precision: str) -> Answer:
        given = images.transpose(0, 3, 1, 2) if self.channels_first and images.ndim == 4 else images
        remedy = "mend the function; if JAX cannot trace it, use jit=False, which calls it as it is"
        with failing(self.name, remedy), jax.default_matmul_precision(PRECISIONS[precision]):
            return named_answer(self.function(params, given), self.name)

    def look(self, transform: Preparation) -> Look:
        ordered = True

        def run(params: Any, images: jax.Array) -> Any:
            nonlocal ordered
            answer = self._answer(params, images, "float32")
            ordered = answer.ordered
            found = read_answer(answer, len(images), self.name, channels_first=self.channels_first)
            names.extend(found[1])
            return *found, None if ordered else [answer.activations[name] for name in names]

        names: list[str] = []
        params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), self.params)
        images = jax.ShapeDtypeStruct((DRAWN, *transform.input.shape), transform.input.dtype)
        program, (output, found, _) = jax.make_jaxpr(run, return_shape=True)(params, images)
        layers = tuple(names)
        if not ordered:  # by when they are computed; what is not asked for is left out
            made = {var: i for i, equation in enumerate(program.jaxpr.eqns) for var in equation.outvars}
            vars = program.jaxpr.outvars[-len(names) :]
            order = [made.get(var, -1) if isinstance(var, Var) else -1 for var in vars]
            names = [name for _, name in sorted(zip(order, names, strict=True), key=lambda pair: pair[0])]
            layers = blocks(names, lambda name: name.rpartition(".")[2].partition("_")[0].isdecimal())
        shapes = shapes_of(transform, {name: found[name] for name in names}, output)
        return Look(shapes, layers, _digest(program, self.params), "its program and arrays")

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], transform: Preparation, *,
        batch_size: int, precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        return extract_wave(
            images.pictures, images.image_size, self, self.params, transform, wave, labels,
            batch_size=batch_size, precision=precision, mesh=mesh,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Called:
    """A function (params, images) -> answer that is called as it is with every batch, on the first device."""

    function: Callable[[Any, jax.Array], Any]
    params: Any
    name: str
    channels_first: bool = False

    def _answer(self, images: jax.Array) -> tuple[jax.Array | None, dict[str, jax.Array]]:
        given = images.transpose(0, 3, 1, 2) if self.channels_first and images.ndim == 4 else images
        with failing(self.name, "mend the function"):
            answer = named_answer(self.function(self.params, given), self.name)
        return read_answer(answer, len(images), self.name, channels_first=self.channels_first)

    def look(self, transform: Preparation) -> Look:
        output, found = answered_twice(self._answer, transform, self.name)
        sha256, known_by = self.known(output, found)
        return Look(shapes_of(transform, found, output), tuple(found), sha256, known_by)

    def known(self, output: jax.Array | None, found: Mapping[str, jax.Array]) -> tuple[str, str]:
        """A digest, and of what it is."""
        if jax.tree.leaves(self.params):
            return params_digest(self.params), "its params"
        log.info(
            "note: %s is known by what it answers for %d drawn images; if that is not the same to the last bit on "
            "another day, name its weights by version=", self.name, DRAWN,
        )  # fmt: skip
        return params_digest({"output": output, "activations": dict(found)}), f"its answer for {DRAWN} drawn images"

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], transform: Preparation, *,
        batch_size: int, precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        device = first_device(mesh)

        def call(prepared: jax.Array, wave: Sequence[LayerPlan]) -> list[jax.Array]:
            with jax.default_matmul_precision(PRECISIONS[precision]):
                output, found = self._answer(prepared)
            found = {PIXELS: transform.pixels(prepared), **found, **({} if output is None else {OUTPUT: output})}
            return [pooled(found, plan, self.name, device) for plan in wave]

        return called_wave(
            images.pictures, images.image_size, call, transform, wave, labels, batch_size=batch_size, device=device
        )


def of_module(module: nnx.Module) -> tuple[Callable[[Any, jax.Array], Any], Any]:
    """A Flax module as a function of its state and images, in eval mode; the module itself is left as it is.

    The function answers with what the module returns, if that has activations by name in it, else with that and the
    outputs of the methods of all modules inside.
    """
    graph, keys, state = nnx.split(module, nnx.RngState, ...)

    def run(state: Any, images: jax.Array) -> Any:
        inner = nnx.merge(graph, keys, state)
        inner.eval()
        answer, caught = nnx.capture(inner, nnx.Intermediate, method_outputs=nnx.Intermediate)(images)  # type: ignore[misc]
        parts = answer if isinstance(answer, tuple | list) else [answer]
        if any(isinstance(part, Mapping) for part in parts):
            return answer
        output = answer if getattr(answer, "ndim", 0) == 2 else None
        return output, caught

    return run, state


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
        one, other = (np.asarray(v, np.float32) for v in (value, second.get(name, jnp.nan * value)))
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


def pooled(found: Mapping[str, jax.Array], plan: LayerPlan, of: str, device: jax.Device) -> jax.Array:
    """One layer's features [N, D], on a device.

    Raises:
        InputError: the layer is not there any more, or its shape is another.
    """
    if plan.name not in found:
        problem = f"{of} gives layer {quoted(plan.name)} for some images only"
        raise InputError(problem, remedy="let it give the same layers for all")
    features = _pool(layer_rule(plan.name, plan.rule), jax.device_put(found[plan.name], device))
    if features.shape[1] != plan.features:
        problem = f"{of}: the shape of layer {quoted(plan.name)} depends on the images"
        problem += f": {plan.features} features, then {features.shape[1]}"
        raise InputError(problem, remedy="let it give arrays of one shape, or leave the layer out of --layers")
    return features


@partial(jax.jit, static_argnums=0)
def _pool(rule: str, activation: jax.Array) -> jax.Array:
    return pool(rule, activation).astype(jnp.float32)


def _digest(program: ClosedJaxpr, params: Any) -> str:
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
