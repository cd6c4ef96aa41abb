"""Extraction: images per second of this package against torchvision's own forward pass, same weights, same layers.

The peer is torchvision in eager mode, channels_last, with forward hooks that pool the same layers; both use all cores
of the machine, and both get images that are already normalised and on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from bias_jax.activations import pool
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, forward, jit_network, network
from bias_jax.results import device, versions
from converters import convert
from converters.original import import_torchvision
from experiments.benchmarks.timing import alternate, describe, ratio


@dataclass(frozen=True)
class ExtractBenchmark:
    """What is measured."""

    networks: tuple[str, ...] = tuple(NETWORKS)  # networks to run
    batch_size: int = 32  # images per forward pass
    repeats: int = 3  # rounds, in alternation; the best and the spread are printed
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # arithmetic, of both

    def __post_init__(self) -> None:
        if min(self.batch_size, self.repeats) < 1:
            raise InputError("all numbers must be positive", remedy="see --help")
        for name in self.networks:
            network(name)  # refuses unknown ones before anything is measured


def run_extract(config: ExtractBenchmark) -> int:
    """Print a table of rates and ratios."""
    torch = import_torchvision() and __import__("torch")
    print(f"{device()}, jax {versions()['jax']}, torch {torch.__version__}, {torch.get_num_threads()} torch threads")
    for name in config.networks:
        programs, difference = build_programs(name, config, torch)
        seconds = alternate(programs, config.repeats)
        print(f"{name}, batches of {config.batch_size}; largest relative difference of the logits {difference:.1e}")
        for what in ("pooled layers", "logits only"):
            ours, theirs = seconds[f"jax, {what}"], seconds[f"torch, {what}"]
            for label, values in (("jax", ours), ("torch", theirs)):
                print(f"  {what:<14} {label:<6} {describe(values, config.batch_size, 'images/s')}")
            print(f"  {what:<14} ratio  {ratio(ours, theirs)}")
    return 0


def build_programs(name: str, config: ExtractBenchmark, torch: Any) -> tuple[dict[str, Callable[[], Any]], float]:
    """The four programs of one network, and how far their logits are apart."""
    torch.manual_seed(0)
    options = {"transform_input": True, "init_weights": False} if name == "inception_v3" else {}
    model = getattr(import_torchvision().models, name)(weights=None, **options).eval()
    params = convert(name, {key: value.numpy() for key, value in model.state_dict().items()})
    side, layers = network(name).image_size, network(name).layers
    images = np.random.default_rng(0).standard_normal((config.batch_size, side, side, 3)).astype(np.float32)
    on_device = jax.device_put(images)

    @jit_network
    def pooled(p: Any, x: jax.Array) -> dict[str, jax.Array]:
        _, activations = forward(name, p, x, precision=config.precision)
        return {layer: pool("mean", activations[layer]) for layer in layers}

    logits = jit_network(lambda p, x: forward(name, p, x, precision=config.precision)[0])

    peer = "cuda" if torch.cuda.is_available() and jax.devices()[0].platform == "gpu" else "cpu"
    kind = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.precision == "tf32"
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
            found[layer] = output.mean((2, 3)) if output.ndim == 4 else output.clone()

        modules = dict(model.named_modules())
        handles = [modules[layer].register_forward_hook(partial(keep, layer)) for layer in layers]
        torch_logits()
        for handle in handles:
            handle.remove()
        return found

    expected = torch_logits().float().cpu().numpy()
    difference = np.abs(jax.device_get(logits(params, on_device)) - expected).max() / np.abs(expected).max()
    return {
        "jax, pooled layers": lambda: jax.block_until_ready(pooled(params, on_device)),
        "torch, pooled layers": torch_pooled,
        "jax, logits only": lambda: jax.block_until_ready(logits(params, on_device)),
        "torch, logits only": torch_logits,
    }, float(difference)
