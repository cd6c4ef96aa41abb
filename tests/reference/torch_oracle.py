"""torchvision's networks as oracle: seeded state dicts, and frozen values of every layer.

`python -m tests.reference.torch_oracle` writes the frozen values beside this file; it needs torch and torchvision,
the tests that use the values need neither.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from bias_jax.errors import InputError
from converters.original import import_torchvision, original_activations, original_network

HERE = Path(__file__).parent
SIZES = {
    "vgg16": ((224, 224), (160, 192)),
    "resnet50": ((224, 224), (160, 192)),
    "inception_v3": ((299, 299), (139, 171)),
    "resnet18": ((64, 96),),
    "vgg11_bn": ((64, 48),),
}
SAMPLES = 200  # values kept per layer and image size


def rng_for(*names) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def frozen(name: str) -> tuple[dict[str, list[int]], dict[tuple[int, int], dict]]:
    """Shapes of the state dict; and by image size, layer -> (shape, largest magnitude, values at sampled positions)."""
    stored = np.load(HERE / f"{name}.npz")
    layers = {}
    for size in SIZES[name]:
        key = f"{size[0]}x{size[1]}"
        shapes = json.loads(str(stored[f"{key}/layers"]))
        rows = zip(shapes.items(), stored[f"{key}/largest"], stored[f"{key}/values"], strict=True)
        layers[size] = {layer: (tuple(shape), largest, values) for (layer, shape), largest, values in rows}
    return json.loads(str(stored["shapes"])), layers


def seeded_state_dict(shapes: dict[str, list[int]], seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights with random batch-norm statistics, from names and shapes alone."""
    result = {}
    for key, shape in shapes.items():
        rng = rng_for(seed, key)
        if key.endswith("num_batches_tracked"):
            result[key] = np.array(7)
        elif key.endswith("running_var"):
            result[key] = rng.uniform(0.5, 2.0, shape).astype(np.float32)
        elif key.endswith("weight") and len(shape) == 1:
            result[key] = rng.uniform(0.5, 1.2, shape).astype(np.float32)
        elif len(shape) == 1:
            result[key] = rng.normal(0.0, 0.2, shape).astype(np.float32)
        else:
            fan_in = np.prod(shape[1:])
            result[key] = rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2.0 / fan_in))
    return result


def seeded_images(count: int, size: tuple[int, int]) -> np.ndarray:
    """Normalised images [N, H, W, 3]: smooth colours plus noise."""
    rng = rng_for("images", count, *size)
    coarse = rng.standard_normal((count, 8, 8, 3)).repeat(-(-size[0] // 8), 1).repeat(-(-size[1] // 8), 2)
    return (coarse[:, : size[0], : size[1]] + 0.3 * rng.standard_normal((count, *size, 3))).astype(np.float32)


def sample_positions(layer: str, count: int) -> np.ndarray:
    return rng_for("positions", layer).integers(0, count, SAMPLES)


def importable() -> bool:
    """Whether the live comparison can run."""
    try:
        import_torchvision()
    except InputError:
        return False
    return True


def published_shapes(name: str) -> dict[str, list[int]]:
    """Names and shapes of torchvision's state dict."""
    import torch

    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.device("meta"):
        model = getattr(import_torchvision().models, name)(weights=None, **options)
    return {key: list(value.shape) for key, value in model.state_dict().items()}


def freeze(name: str) -> None:
    """Write names, shapes, and the values of every layer for the seeded weights, computed in float64."""
    import_torchvision()
    shapes = published_shapes(name)
    model = original_network(name, seeded_state_dict(shapes)).double()
    arrays = {"shapes": np.array(json.dumps(shapes))}
    for size in SIZES[name]:
        logits, found = original_activations(model, seeded_images(2, size))
        found = {**found, "logits": logits}
        key = f"{size[0]}x{size[1]}"
        arrays[f"{key}/layers"] = np.array(json.dumps({layer: value.shape for layer, value in found.items()}))
        arrays[f"{key}/largest"] = np.array([np.abs(value).max() for value in found.values()])
        sampled = [value.reshape(-1)[sample_positions(layer, value.size)] for layer, value in found.items()]
        arrays[f"{key}/values"] = np.array(sampled, np.float32)
    np.savez_compressed(HERE / f"{name}.npz", **arrays)


if __name__ == "__main__":
    for network in SIZES:
        freeze(network)
