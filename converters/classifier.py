"""Classifiers that are not torchvision's: wrapped in a sequence, without a bias, or not there at all."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.contents import shape_of
from converters.names import head_layers, shapes


def complete(name: str, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """Give the layers behind the pooled features their names, and a last one without a bias its zeros.

    Args:
        name: a network.
        arrays: by torchvision's names, in torch's layouts.

    Returns:
        The arrays; the layers at the end that are not there; and what was done, a clause each. Of missing layers the
        last one gets a single output: a network without a classifier has no classes.
    """
    found, said = dict(arrays), []
    layers = head_layers(name)
    for layer in layers:
        inner = _only_linear(layer, found, shapes(name)[f"{layer}.weight"][-1])
        if inner is not None:
            found |= {f"{layer}.{leaf}": found.pop(f"{inner}.{leaf}") for leaf in ("weight", "bias")
                      if f"{inner}.{leaf}" in found}  # fmt: skip
            said.append(f"{inner} taken for {layer}")
    last = layers[-1]
    missing: list[str] = []
    for layer in reversed(layers):
        if _has(layer, found):
            break
        missing.insert(0, layer)
    weight = shape_of(found.get(f"{last}.weight"))
    if f"{last}.bias" not in found and len(weight) == 2:
        found[f"{last}.bias"] = np.zeros(weight[0], np.float32)
        said.append(f"{last} has no bias: zeros")
    for layer in missing:
        outputs, *inputs = shapes(name)[f"{layer}.weight"]
        outputs = 1 if layer == last else outputs
        found[f"{layer}.weight"] = np.broadcast_to(np.float32(np.nan), (outputs, *inputs))
        found[f"{layer}.bias"] = np.broadcast_to(np.float32(np.nan), (outputs,))
    if missing:
        said.append(f"the file holds no {', '.join(missing)}: a network without output")
    return found, tuple(missing), said


def _has(layer: str, arrays: Mapping[str, Any]) -> bool:
    return f"{layer}.weight" in arrays or f"{layer}.bias" in arrays


def _only_linear(layer: str, arrays: Mapping[str, Any], inputs: int) -> str | None:
    """The one linear layer of the right width below an absent one, e.g. ``fc.1`` behind a dropout, if nothing else is.

    Of two or more, the first is not the classifier and the last has another width: these are not this network's.
    """
    below = {key for key in arrays if key.startswith(f"{layer}.")}
    inner = {key.rpartition(".")[0] for key in below}
    if _has(layer, arrays) or len(inner) != 1:
        return None
    one = inner.pop()
    shape = shape_of(arrays.get(f"{one}.weight"))
    return one if below <= {f"{one}.weight", f"{one}.bias"} and len(shape) == 2 and shape[1] == inputs else None
