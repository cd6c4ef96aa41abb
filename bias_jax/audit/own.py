"""A user's own network as what is audited: a function of images, a Flax module, or torch's (`torch_network`)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.activations import OUTPUT, GroupMeans, LayerPlan
from bias_jax.audit.images import ImageSet
from bias_jax.audit.looking import Look
from bias_jax.audit.protocol import Choice
from bias_jax.audit.runners import Called, Runner, Traced, of_module
from bias_jax.audit.stored import layer_file
from bias_jax.errors import InputError, quoted
from bias_jax.networks import Preparation, Transform

USUAL = Transform(256, 224)  # torchvision's usual one
LONGEST = 200  # characters of a layer's name, which becomes that of a file


@dataclass(frozen=True, eq=False)
class OwnNetwork:
    """A subject; made by `own_network` or `torch_network`."""

    model: str
    runner: Runner
    transform: Preparation
    version: str = ""  # names the weights in the place of a digest
    control: "OwnNetwork | None" = None  # the same without training
    untrained: bool = False  # whether it is such a control

    @cached_property
    def _look(self) -> Look:
        found = self.runner.look(self.transform)
        check_names(found.shapes, self.model)
        return found

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return self._look.shapes

    @cached_property
    def sha256(self) -> str:
        """Of what the look says, or of the version."""
        return hashlib.sha256(self.version.encode()).hexdigest() if self.version else self._look.sha256

    @property
    def title(self) -> str:
        known = f"version {self.version}" if self.version else f"{self.sha256[:8]}, the digest of {self._look.known_by}"
        return f"own weights, {known}{': untrained control' if self.untrained else ''}"

    def choice(self, requested: tuple[str, ...]) -> Choice:
        """The requested layers, by default its own."""
        return Choice(requested or self._look.layers, bool(requested), output=OUTPUT in self.shapes)

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], *, batch_size: int,
        precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        """As of `Subject`.

        Raises:
            InputError: an activation is not finite, or the network fails.
        """
        found = self.runner.extract(
            images, wave, labels, self.transform, batch_size=batch_size, precision=precision, mesh=mesh
        )
        for plan, kept in zip(wave, found, strict=True):
            _check_finite(kept, plan.name, images, self.model)
        return found


def own_network(
    function: Callable[..., Any],
    *,
    name: str = "",
    preparation: Preparation = USUAL,
    params: Any = None,
    channels_first: bool = False,
    jit: bool = True,
    version: str = "",
    untrained: Any = None,
) -> OwnNetwork:
    """A network that is not in the registry, for `audit`.

    Args:
        function: images -> ``{layer: array}``, or ``(output, {layer: array})``: activations [N, D], tokens [N, T, D]
            (their mean is taken) or feature maps [N, H, W, U] in depth order, and logits [N, C]. Or a module of Flax
            NNX: what its call returns, if that has this form, else the outputs of all its modules' methods; it is run
            in eval mode, and keeps its own. Images are what `preparation` makes of them: by default normalised float32
            [N, 224, 224, 3], on the device.
        name: of the network (default: that of the function or class).
        preparation: e.g. `networks.Transform`.
        params: if given, the function is called with them and the images; a large network should have them here, for
            what a function closes over becomes part of the compiled program.
        channels_first: the function takes images [N, 3, H, W] and gives feature maps [N, U, H, W].
        jit: trace the function inside the extraction program. False: it is called as it is with every batch, and may
            use whatever it likes.
        version: names the weights. Without it a run is known by a digest of params, program and the arrays it closes
            over; of what is called as it is, of params or else of what it answers for two drawn images. A folder
            begun with another digest is refused.
        untrained: the same network without training, another one of these or a function in the place of `function`:
            the control that some instruments want beside it. None: they leave it out.

    Raises:
        InputError: it is no function, or params are no arrays.
    """
    if not callable(function):
        problem = f"own_network got a {type(function).__name__}, which is no function"
        raise InputError(problem, remedy="give a function of images, or a Flax module")
    name = name or _name_of(function)
    if isinstance(function, nnx.Module):
        if params is not None or not jit:
            remedy = "leave params and jit out"
            raise InputError(f"{name} is a module, which has its params and is traced", remedy=remedy)
        run, params = of_module(function)
    elif params is None:
        run, params = (lambda _, images: function(images)), ()
    else:
        run = function
    for leaf in jax.tree.leaves(params):
        if not isinstance(leaf, jax.Array | np.ndarray | np.number):
            raise InputError(f"{name}: params hold a {type(leaf).__name__}", remedy="give arrays in dicts and lists")
    runner = (Traced if jit else Called)(run, params, name, channels_first)
    control = None
    if untrained is not None:
        control = untrained
        if not isinstance(untrained, OwnNetwork):
            control = own_network(
                untrained, name=name, preparation=preparation, channels_first=channels_first, jit=jit
            )  # fmt: skip
        control = replace(control, untrained=True)
    return OwnNetwork(name, runner, preparation, version, control)


def _name_of(function: Any) -> str:
    while hasattr(function, "func"):  # of functools.partial
        function = function.func
    found = getattr(function, "__name__", type(function).__name__)
    return found if found.isidentifier() else "function"  # a lambda


def check_names(names: Mapping[str, Any], of: str) -> None:
    """Names of layers become names of files.

    Raises:
        InputError: one cannot, or two would become the same.
    """
    files: dict[str, str] = {}
    for name in names:
        if not name or not name.isprintable() or name.startswith(".") or len(name.encode()) > LONGEST:
            problem = f"{of}: {quoted(name)} cannot be the name of a layer"
            raise InputError(problem, remedy=f"use up to {LONGEST} printable characters, the first no dot")
        if (other := files.setdefault(layer_file("", name), name)) != name:
            problem = f"{of}: the layers {quoted(other)} and {quoted(name)} differ too little in name"
            raise InputError(problem, remedy="use other characters than blanks and / for what tells them apart")


def _check_finite(kept: jax.Array | GroupMeans, layer: str, images: ImageSet, of: str) -> None:
    if isinstance(kept, GroupMeans):
        fine, where = bool(jax.device_get(_finite_means(kept))), ""
    else:
        rows = jax.device_get(_finite_rows(kept))
        fine = bool(rows.all())
        where = "" if fine else f" for image {images.pictures.image_names[int(np.argmin(rows))]!r}"
    if not fine:
        problem = f"{of}: layer {quoted(layer)} holds values that are no numbers or infinite{where}"
        raise InputError(problem, remedy="check weights and preparation, or leave the layer out of --layers")


@jax.jit
def _finite_rows(bank: jax.Array) -> jax.Array:
    return jnp.isfinite(bank).all(axis=1)


@jax.jit
def _finite_means(found: GroupMeans) -> jax.Array:
    return (jnp.isfinite(found.means).all(axis=1) | (found.counts == 0)).all()
