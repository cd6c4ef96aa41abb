"""A torch module as what is audited: run as it is, its activations read by hooks and pooled in torch."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from bias_jax.activations import OUTPUT, PIXELS, GroupMeans, LayerPlan
from bias_jax.activations.calling import called_wave
from bias_jax.activations.pooling import layer_rule
from bias_jax.audit.images import ImageSet
from bias_jax.audit.looking import Look, answered_twice, failing, shapes_of
from bias_jax.audit.own import USUAL, OwnNetwork
from bias_jax.audit.runners import pooled
from bias_jax.audit.torch_layers import call_name, default_layers, module_of
from bias_jax.audit.torch_tensors import as_maps, from_torch, import_torch, pool_in_torch, tensor_of, to_torch
from bias_jax.devices import first_device
from bias_jax.errors import InputError, quoted
from bias_jax.networks import Preparation

MEND = "mend the module, or give own_network(function, jit=False) a function that runs it"
Heard = Callable[[str, Any], None]  # takes the name of a module's call and the tensor it gave


@dataclass(frozen=True, eq=False)
class TorchModule:
    """Runs a module in eval mode without gradients; it stands as before afterwards."""

    module: Any  # torch.nn.Module
    name: str
    layers: tuple[str, ...]  # by default; empty: its blocks
    channels_last: bool

    def look(self, transform: Preparation) -> Look:
        def answer(images: jax.Array) -> tuple[jax.Array | None, dict[str, jax.Array]]:
            means: dict[str, jax.Array] = {}

            def heard(name: str, tensor: Any) -> None:
                maps = as_maps(tensor, self.channels_last)
                if maps is not None and len(maps) == len(images):
                    count, units, *sides = maps.shape
                    found[name] = jax.ShapeDtypeStruct((count, *sides, units), np.float32)
                    means[name] = from_torch(pool_in_torch("mean", maps), device)

            output = self._run(images, None, heard, "float32")
            return None if output is None else from_torch(output.float().contiguous(), device), means

        found: dict[str, jax.ShapeDtypeStruct] = {}
        device = jax.local_devices()[0]
        output, _ = answered_twice(answer, transform, self.name)
        if not found:
            raise InputError(f"{self.name}: no module gives a tensor with a row for every image", remedy=MEND)
        shapes = shapes_of(transform, found, output)
        return Look(shapes, self._default(found), self._digest(), "its state_dict and form")

    def _default(self, found: Mapping[str, Any]) -> tuple[str, ...]:
        modules = dict(self.module.named_modules())
        if unknown := [name for name in self.layers if name not in found]:
            where = "gives no tensor [N, ...] when the network is called" if unknown[0] in modules else "is no module"
            remedy = f"choose among {', '.join(found)}"
            raise InputError(f"{self.name}: {quoted(unknown[0])} {where}", remedy=remedy)
        return self.layers or default_layers(self.module, list(found))

    def _digest(self) -> str:
        digest = hashlib.sha256(str(self.module).encode())
        for name, tensor in self.module.state_dict().items():
            if hasattr(tensor, "detach"):
                bare = tensor.detach().cpu().contiguous()
                digest.update(f"{name}{tuple(bare.shape)}{bare.dtype}".encode())
                digest.update(bare.reshape(-1).view(import_torch().uint8).numpy().tobytes() if bare.numel() else b"")
        return digest.hexdigest()

    def _run(self, images: jax.Array, only: set[str] | None, heard: Heard, precision: str) -> Any:
        """Call the module; its output [N, C] in torch, or None.

        Args:
            images: prepared, [N, H, W, 3].
            only: modules to listen to; None: all.
            heard: told of every call.
            precision: of the network.
        """
        torch, calls, paths = import_torch(), Counter[str](), dict(self.module.named_modules())

        def listen(path: str) -> Any:
            def hook(module: Any, inputs: Any, output: Any) -> None:
                number, tensor = calls[path], tensor_of(output)
                calls[path] += 1
                if tensor is not None:
                    heard(call_name(path, number, paths), tensor)

            return hook

        first = next((p for p in self.module.parameters() if p.is_floating_point()), None)
        dtype, place = (torch.float32, torch.device("cpu")) if first is None else (first.dtype, first.device)
        given = images.transpose(0, 3, 1, 2) if images.ndim == 4 else images
        batch = to_torch(given, place, dtype)
        hooks = [
            module.register_forward_hook(listen(path))
            for path, module in paths.items()
            if path and (only is None or path in only)
        ]
        try:
            with failing(self.name, MEND), _evaluating(self.module), torch.no_grad(), _precision(precision, place):
                answer = self.module(batch)
        finally:
            for one in hooks:
                one.remove()
        output = getattr(answer, "logits", answer)  # transformers'
        return output if isinstance(output, torch.Tensor) and output.ndim == 2 and len(output) == len(images) else None

    def extract(
        self, images: ImageSet, wave: Sequence[LayerPlan], labels: Mapping[int, np.ndarray], transform: Preparation, *,
        batch_size: int, precision: str, mesh: jax.sharding.Mesh,
    ) -> list[jax.Array | GroupMeans]:  # fmt: skip
        device = first_device(mesh)
        only = {module_of(plan.name, dict(self.module.named_modules())) for plan in wave}

        def call(prepared: jax.Array, wave: Sequence[LayerPlan]) -> list[jax.Array]:
            found: dict[tuple[str, str], jax.Array] = {}

            def heard(name: str, tensor: Any) -> None:
                for rule in {plan.rule for plan in wave if plan.name == name}:
                    maps = as_maps(tensor, self.channels_last)
                    if maps is not None and len(maps) == len(prepared):
                        found[name, rule] = from_torch(pool_in_torch(layer_rule(name, rule), maps), device)

            output = self._run(prepared, only, heard, precision)
            there = {PIXELS: transform.pixels(prepared)}
            if output is not None:
                there[OUTPUT] = from_torch(output.float().contiguous(), device)
            return [
                pooled({**there, **{n: x for (n, r), x in found.items() if r == plan.rule}}, plan, self.name, device)
                for plan in wave
            ]

        return called_wave(
            images.pictures, images.image_size, call, transform, wave, labels, batch_size=batch_size, device=device
        )


def torch_network(
    module: Any,
    *,
    layers: Sequence[str] | None = None,
    name: str = "",
    preparation: Preparation = USUAL,
    channels_last: bool = False,
    version: str = "",
    untrained: Any = None,
) -> OwnNetwork:
    """A torch module, for `audit`.

    It gets normalised images [N, 3, H, W] in the dtype and on the device of its parameters, and is run in eval mode
    without gradients; afterwards it is in the mode in which it was. Activations are what its modules give: the first
    tensor of a tuple or mapping, feature maps [N, U, H, W], the mean of tokens [N, T, D], or [N, D]. They are read when
    a module ends, before anything behind it can overwrite them. Of a module that is called more than once, every call
    is a layer: ``relu``, ``relu_1``, ... They are pooled where torch computes them; on one device with JAX they are
    not copied to become JAX's.

    Args:
        module: torch.nn.Module. Its output is what it returns, or the ``logits`` of that, if it is [N, C].
        layers: names of `named_modules` to be measured where nobody chooses (default: its blocks: members of lists and
            sequences of modules, and what stands beside these; no convolution or norm whose norm or activation follows,
            no dropout). ``--layers`` may name any other.
        name: of the network (default: that of its class).
        preparation: e.g. `networks.Transform`.
        channels_last: feature maps are [N, H, W, U].
        version: names the weights in the place of the digest of its state_dict.
        untrained: another module, e.g. one with new weights: the control that some instruments want beside it.

    Raises:
        InputError: torch is not installed, or this is none of its modules.
    """
    torch = import_torch()
    if not isinstance(module, torch.nn.Module):
        problem = f"torch_network got a {type(module).__name__}, which is no torch.nn.Module"
        raise InputError(problem, remedy="give a module, or use own_network for functions")
    bare = getattr(module, "_orig_mod", module)  # of torch.compile, whose inner modules call no hooks
    chosen, name = tuple(layers or ()), name or type(bare).__name__
    control = None
    if untrained is not None:
        control = untrained
        if not isinstance(untrained, OwnNetwork):
            control = torch_network(
                untrained, layers=layers, name=name, preparation=preparation, channels_last=channels_last
            )
        control = replace(control, untrained=True)
    return OwnNetwork(name, TorchModule(bare, name, chosen, channels_last), preparation, version, control)


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    training = [one for one in module.modules() if one.training]
    module.eval()
    try:
        yield
    finally:
        for one in training:
            one.training = True


@contextmanager
def _precision(precision: str, place: Any) -> Iterator[None]:
    """A key of `networks.PRECISIONS`, as torch says it."""
    torch = import_torch()
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    try:
        for switch in switches:
            switch.allow_tf32 = precision == "tf32"
        with torch.autocast(place.type, torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value
