"""Names of the layers of a torch module, and those to look at where nobody chooses."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bias_jax.activations.answers import blocks
from bias_jax.audit.torch_tensors import import_torch


def call_name(path: str, number: int, modules: Mapping[str, Any]) -> str:
    """Name of a call of a module: its path, then ``path_1`` and so on, as torchvision numbers them.

    Args:
        path: of the module.
        number: of the call, from 0.
        modules: all of them by path; where one is called ``path_1``, a call is ``path.call1``.

    >>> call_name("relu", 0, {}), call_name("relu", 2, {}), call_name("relu", 2, {"relu_2": None})
    ('relu', 'relu_2', 'relu.call2')
    """
    name = f"{path}_{number}" if number else path
    return f"{path}.call{number}" if number and name in modules else name


def module_of(name: str, modules: Mapping[str, Any]) -> str:
    """Path of the module whose call has this name."""
    return name if name in modules else re.sub(r"(_|\.call)\d+$", "", name)


def default_layers(module: Any, called: Sequence[str]) -> tuple[str, ...]:
    """The blocks of a network, see `torch_network`.

    Args:
        module: torch.nn.Module.
        called: names of calls, in depth order.
    """
    nn = import_torch().nn
    lists = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
    modules = dict(module.named_modules())
    of_lists = {
        f"{path}.{child}" if path else child
        for path, one in modules.items()
        if type(one) in lists
        for child, _ in one.named_children()
    }
    pieces = set(_pieces(module))
    path_of = {name: module_of(name, modules) for name in called}
    whole = [name for name in called if type(modules[path_of[name]]) not in lists]
    chosen = blocks(whole, lambda name: path_of[name] in of_lists)
    return tuple(name for name in chosen if path_of[name] not in pieces) or chosen


def _pieces(module: Any) -> Iterator[str]:
    """Names of modules whose output says nothing that another does not say: the next one, or the one before."""
    nn = import_torch().nn
    activation = "torch.nn.modules.activation"
    idle = (nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    norms = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    convolutions = nn.modules.conv._ConvNd
    for path, one in module.named_modules():
        children = list(one.named_children())
        for (name, child), (_, after) in zip(children, [*children[1:], ("", None)], strict=False):
            rectified = type(after).__module__ == activation
            if (
                isinstance(child, idle)
                or (isinstance(child, norms) and rectified)
                or (isinstance(child, convolutions) and (rectified or isinstance(after, norms)))
            ):
                yield f"{path}.{name}" if path else name
