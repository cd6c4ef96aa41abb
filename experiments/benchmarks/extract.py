"""Extraction: images per second of this package against torchvision's own forward pass, same weights, same layers.

The peer is torchvision in eager mode, channels_last, with forward hooks that pool the same layers; both use all cores
of the machine, and both get images that are already normalised and on the device.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from bias_jax.activations import pool
from bias_jax.errors import InputError
from bias_jax.networks import forward, jit_network, network, random_params
from bias_jax.networks.vit import CLASS, PATCHES
from bias_jax.results import device, versions
from converters import convert
from converters.original import import_torchvision
from experiments.benchmarks.peers import check_names, require, torch_in_words, use_torch
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import alternate, rates, ratio

Programs = dict[tuple[str, str], Callable[[], Any]]  # by whose and what


@dataclass(frozen=True)
class ExtractBenchmark:
    """What is measured."""

    networks: tuple[str, ...] = ("vgg16", "resnet50", "inception_v3")  # networks to run
    batch_size: int = 32  # images per forward pass
    repeats: int = 3  # rounds, in alternation; medians, best ratio and ranges are printed
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # arithmetic, of both

    peers: tuple[str, ...] = ("torchvision",)  # torchvision; --peers alone measures this package only

    def __post_init__(self) -> None:
        check_names(self.peers, ("torchvision",))
        if min(self.batch_size, self.repeats) < 1:
            raise InputError("all numbers must be positive", remedy="see --help")
        for name in self.networks:
            network(name)  # refuses unknown ones before anything is measured


def run_extract(config: ExtractBenchmark) -> Iterator[Line]:
    """Rates and ratios, network by network."""
    require(config.peers)
    yield f"{device()}, jax {versions()['jax']}; batches of {config.batch_size}, {config.precision}"
    if config.peers:
        yield torch_in_words(*use_torch())
    yield Table(
        "Extraction",
        (
            Column("network", width=13),
            Column("what", width=13),
            Column("bias-jax", "images/s", ",.1f", 24),
            Column("torchvision", "images/s", ",.1f", 24),
            Column("ratio", form=".2f", width=18),
            Column("difference of logits", form=".1e"),
        ),
    )
    for name in config.networks:
        images = np.random.default_rng(0).standard_normal((config.batch_size, *network(name).preparation.input.shape))
        images = images.astype(np.float32)
        model = original(name) if config.peers else None
        params = random_params(name, 0, jax.device_put(images)) if model is None else \
            convert(name, {key: value.numpy() for key, value in model.state_dict().items()})  # fmt: skip
        programs, apart = jax_programs(name, params, images, config.precision), None
        if model is not None:
            peer = torch_programs(model, images, network(name).layers, config.precision)
            found, expected = jax.device_get(programs["jax", "logits only"]()), peer["torch", "logits only"]()
            expected = expected.float().cpu().numpy()
            apart = np.abs(found - expected).max() / np.abs(expected).max()
            programs |= peer
        seconds = alternate(programs, config.repeats)
        for what in ("pooled layers", "logits only"):
            ours, theirs = seconds["jax", what], seconds.get(("torch", what))
            compared = (None, None) if theirs is None else (rates(theirs, config.batch_size), ratio(ours, theirs))
            yield (name, what, rates(ours, config.batch_size), *compared, apart)


def original(name: str) -> Any:
    """torchvision's network with drawn weights."""
    torch, _ = use_torch()
    torch.manual_seed(0)
    options = {"transform_input": True, "init_weights": False} if name == "inception_v3" else {}
    model = getattr(import_torchvision().models, name)(weights=None, **options).eval()
    if name.startswith("vit"):
        torch.nn.init.normal_(model.heads.head.weight, std=0.02)  # begins with zeros, so all logits would be 0
    return model


def jax_programs(name: str, params: Any, images: np.ndarray, precision: str) -> Programs:
    """Both programs of one network in this package."""
    on_device, params = jax.device_put((images, params))

    @jit_network
    def pooled(p: Any, x: jax.Array) -> dict[str, jax.Array]:
        _, activations = forward(name, p, x, precision=precision)
        return {layer: pool("mean", activations[layer]) for layer in network(name).layers}

    logits = jit_network(lambda p, x: forward(name, p, x, precision=precision)[0])
    return {
        ("jax", "pooled layers"): lambda: jax.block_until_ready(pooled(params, on_device)),
        ("jax", "logits only"): lambda: jax.block_until_ready(logits(params, on_device)),
    }


def torch_programs(model: Any, images: np.ndarray, layers: tuple[str, ...], precision: str) -> Programs:
    """Both programs of one network in torchvision."""
    torch, peer = use_torch()
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    model = model.to(peer, kind, memory_format=torch.channels_last)
    tensor = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(peer, kind, memory_format=torch.channels_last)

    def torch_logits() -> Any:
        with torch.inference_mode():
            output = model(tensor)
        if peer == "cuda":
            torch.cuda.synchronize()
        return output

    def torch_pooled() -> Any:
        found: dict[str, Any] = {}

        def keep(layer: str, module: Any, inputs: Any, output: Any) -> None:
            if output.ndim == 3:  # tokens, of which the first is the class token
                found[layer] = output[:, 0].clone() if layer.endswith(f".{CLASS}") else output[:, 1:].mean(1)
                return
            found[layer] = output.mean((2, 3)) if output.ndim == 4 else output.clone()

        modules = dict(model.named_modules())
        paths = {layer: layer.removesuffix(f".{CLASS}").removesuffix(f".{PATCHES}") for layer in layers}
        handles = [modules[path].register_forward_hook(partial(keep, layer)) for layer, path in paths.items()]
        torch_logits()
        for handle in handles:
            handle.remove()
        return found

    return {("torch", "pooled layers"): torch_pooled, ("torch", "logits only"): torch_logits}
