"""torchvision's networks as oracle: seeded state dicts, and activations read by cloning hooks.

`python -m tests.reference.torch_oracle` writes the frozen values beside this file; it needs torch and torchvision,
the tests that use the values need neither.
"""

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SIZES = {"resnet50": ((224, 224), (160, 192))}
SAMPLES = 200  # values kept per layer and image size


def rng_for(*names) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


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
            result[key] = (rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)
    return result


def seeded_images(count: int, size: tuple[int, int]) -> np.ndarray:
    """Normalised images [N, H, W, 3]: smooth colours plus noise."""
    rng = rng_for("images", count, *size)
    coarse = rng.standard_normal((count, 8, 8, 3)).repeat(-(-size[0] // 8), 1).repeat(-(-size[1] // 8), 2)
    return (coarse[:, : size[0], : size[1]] + 0.3 * rng.standard_normal((count, *size, 3))).astype(np.float32)


def sample_positions(layer: str, count: int) -> np.ndarray:
    return rng_for("positions", layer).integers(0, count, SAMPLES)


def importable() -> bool:
    """Whether the live comparison can run. A torchvision that does not fit its torch raises more than ImportError."""
    try:
        import torch

        _declare_operators(torch)
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def torch_network(name: str):
    """torchvision's module in eval mode, as built for its published weights."""
    import torch

    _declare_operators(torch)
    import torchvision

    if name == "inception_v3":
        return torchvision.models.inception_v3(weights=None, init_weights=False, transform_input=True).eval()
    return getattr(torchvision.models, name)(weights=None).eval()


_OPERATORS = []  # kept alive for the life of the process


def _declare_operators(torch) -> None:
    # torchvision's compiled operators do not load beside a CPU build of torch, and its import then trips over
    # their missing schemas.
    if not _OPERATORS:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _OPERATORS.append(library)


def torch_activations(name: str, state_dict: dict[str, np.ndarray], images: np.ndarray, double: bool = False):
    """Output of every module call, NHWC, by torchvision's node names, and the logits."""
    import torch

    model = torch_network(name)
    model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state_dict.items()})
    model = model.double() if double else model
    found, calls = {}, defaultdict(int)

    def hook(path):
        def record(module, inputs, output):
            # A module called again gets torchvision's numbered node name.
            node = path if calls[path] == 0 else f"{path}_{calls[path]}"
            calls[path] += 1
            value = output.detach().clone().numpy()
            found[node] = value.transpose(0, 2, 3, 1) if value.ndim == 4 else value

        return record

    for path, module in model.named_modules():
        if path:
            module.register_forward_hook(hook(path))
    with torch.no_grad():
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
        logits = model(x.double() if double else x)
    return found, logits.numpy()


def freeze(name: str) -> None:
    """Write names, shapes, and float64 values of every layer for the seeded weights."""
    model = torch_network(name)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    arrays = {}
    for size in SIZES[name]:
        found, logits = torch_activations(name, seeded_state_dict(shapes), seeded_images(2, size), double=True)
        for layer, value in {**found, "logits": logits}.items():
            key = f"{size[0]}x{size[1]}/{layer}"
            arrays[f"{key}/values"] = value.reshape(-1)[sample_positions(layer, value.size)]
            arrays[f"{key}/shape"] = np.array(value.shape)
            arrays[f"{key}/largest"] = np.array(np.abs(value).max())
    np.savez_compressed(HERE / f"{name}.npz", shapes=json.dumps(shapes), **arrays)


if __name__ == "__main__":
    for network in SIZES:
        freeze(network)
