"""How a user's own function is run: traced inside the extraction program, or called as it is."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import Var

from bias_jax.activations import OUTPUT, PIXELS, GroupMeans, LayerPlan, extract_wave, pool
from bias_jax.activations.answers import Answer, blocks, named_answer, read_answer
from bias_jax.activations.calling import called_wave
from bias_jax.activations.pooling import layer_rule
from bias_jax.audit.images import ImageSet
from bias_jax.audit.looking import DRAWN, Look, answered_twice, failing, program_digest, shapes_of
from bias_jax.devices import first_device
from bias_jax.errors import InputError, quoted
from bias_jax.networks import PRECISIONS, Preparation, params_digest

log = logging.getLogger("bias_jax.audit")


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
            output, found = read_answer(answer, len(images), self.name, channels_first=self.channels_first)
            names.extend(found)
            return output, found, None if ordered else [answer.activations[name] for name in names]

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
        return Look(shapes, layers, program_digest(program, self.params), "its program and arrays")

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
    graph, keys, state = nnx.split(module, nnx.RngState, ...)  # type: ignore[misc]

    def run(state: Any, images: jax.Array) -> Any:
        inner = nnx.merge(graph, keys, state)
        inner.eval()
        answer, caught = nnx.capture(inner, nnx.Intermediate, method_outputs=nnx.Intermediate)(images)
        parts = answer if isinstance(answer, tuple | list) else [answer]
        if any(isinstance(part, Mapping) for part in parts):
            return answer
        output = answer if getattr(answer, "ndim", 0) == 2 else None
        return output, caught

    return run, state


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
