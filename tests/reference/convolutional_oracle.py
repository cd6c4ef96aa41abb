"""torchvision's ResNeXt, ConvNeXt and EfficientNets as oracles, at a tiny size with seeded weights.

`python -m tests.reference.convolutional_oracle` writes the frozen values beside this file; it needs torch and
torchvision, the tests that use the values need neither.
"""

import json
from functools import cache, partial
from pathlib import Path

import numpy as np

from converters.original import import_torchvision, original_activations
from tests.reference import torch_oracle
from tests.reference.torch_oracle import sample_positions, seeded_images

FILE = Path(__file__).parent / "convolutional.npz"
SIZES = ((32, 48), (47, 33))
# What is reported of each, in depth order; torchvision's other modules are computed together with the next one.
LAYERS = {
    "resnext": """relu maxpool layer1.0.relu layer1.0.relu_1 layer1.0 layer2.0.relu layer2.0.relu_1 layer2.0
        layer3.0.relu layer3.0.relu_1 layer3.0 layer4.0.relu layer4.0.relu_1 layer4.0 avgpool fc logits""",
    "convnext": """features.0 features.1.0 features.2 features.3.0 features.3.1 avgpool classifier.0 classifier.2
        logits""",
    "efficientnet": """features.0 features.1.0.block.0 features.1.0.block.1 features.1.0
        features.2.0.block.0 features.2.0.block.1 features.2.0.block.2 features.2.0
        features.2.1.block.0 features.2.1.block.1 features.2.1.block.2 features.2.1
        features.3 avgpool classifier.1 logits""",
    "efficientnet_v2": """features.0 features.1.0 features.2.0.block.0 features.2.0
        features.3.0.block.0 features.3.0.block.1 features.3.0.block.2 features.3.0
        features.4 avgpool classifier.1 logits""",
}
CLASSES = 10
SMALL = 0.02  # scale of what ConvNeXt's first convolution gives out, so that the epsilon of the norm behind it shows


def seeded_state_dict(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """From names and shapes alone, of a tiny network or of a whole one."""
    found = torch_oracle.seeded_state_dict(shapes)
    if any(key.endswith("layer_scale") for key in shapes):
        found |= {key: found[key] * np.float32(SMALL) for key in ("features.0.0.weight", "features.0.0.bias")}
    return found


def model(case: str):
    """torchvision's network in float64, in eval mode, with seeded weights."""
    models = import_torchvision().models
    import torch

    convnext, efficientnet, resnet = models.convnext, models.efficientnet, models.resnet
    fused, inverted = efficientnet.FusedMBConvConfig, efficientnet.MBConvConfig
    normed = partial(torch.nn.BatchNorm2d, eps=1e-3)  # as B5 and larger ones have it, and the second version
    network = {
        "resnext": lambda: resnet.ResNet(
            resnet.Bottleneck, [1, 1, 1, 1], num_classes=CLASSES, groups=32, width_per_group=4
        ),
        "convnext": lambda: convnext.ConvNeXt(
            [convnext.CNBlockConfig(*stage) for stage in ((8, 16, 1), (16, None, 2))],
            num_classes=CLASSES,
        ),
        "efficientnet": lambda: efficientnet.EfficientNet(
            [inverted(1, 3, 1, 16, 8, 1), inverted(6, 5, 2, 8, 16, 2)], 0.2,
            num_classes=CLASSES,
        ),
        "efficientnet_v2": lambda: efficientnet.EfficientNet(
            [fused(1, 3, 1, 8, 8, 1), fused(4, 3, 2, 8, 16, 1), inverted(4, 3, 2, 16, 24, 1)], 0.2,
            num_classes=CLASSES, norm_layer=normed, last_channel=40,
        ),
    }[case]().double().eval()  # fmt: skip
    shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.tensor(value) for key, value in seeded_state_dict(shapes).items()})
    return network


@cache
def frozen(case: str) -> tuple[dict[str, list[int]], dict[tuple[int, int], dict]]:
    """Shapes of the state dict; and by image size, layer -> (shape, largest magnitude, values at sampled positions)."""
    with np.load(FILE) as stored:
        layers = {}
        for size in SIZES:
            key = f"{case}/{size[0]}x{size[1]}"
            shapes = json.loads(str(stored[f"{key}/layers"]))
            rows = zip(shapes.items(), stored[f"{key}/largest"], stored[f"{key}/values"], strict=True)
            layers[size] = {layer: (tuple(shape), largest, values) for (layer, shape), largest, values in rows}
        return json.loads(str(stored[f"{case}/shapes"])), layers


def freeze() -> None:
    arrays = {}
    for case, layers in LAYERS.items():
        network = model(case)
        arrays[f"{case}/shapes"] = np.array(json.dumps({k: list(v.shape) for k, v in network.state_dict().items()}))
        for size in SIZES:
            logits, found = original_activations(network, seeded_images(2, size))
            found = {layer: value for layer, value in {**found, "logits": logits}.items() if layer in layers.split()}
            key = f"{case}/{size[0]}x{size[1]}"
            arrays[f"{key}/layers"] = np.array(json.dumps({layer: value.shape for layer, value in found.items()}))
            arrays[f"{key}/largest"] = np.array([np.abs(value).max() for value in found.values()])
            sampled = [value.reshape(-1)[sample_positions(layer, value.size)] for layer, value in found.items()]
            arrays[f"{key}/values"] = np.array(sampled, np.float32)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    freeze()
