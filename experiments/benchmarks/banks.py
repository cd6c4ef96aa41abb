"""Banks to measure on: ResNet50's layers of real photographs, or generated features of the same shapes."""

import jax
import numpy as np

from bias_jax.activations import Bank, extract_bank, plan_memory
from bias_jax.audit import load_subject, look
from bias_jax.data import Attribute, Target, all_targets, balanced_subset, read_fairface
from bias_jax.networks import network

FAIRFACE_SIZES = {"race": 7, "age": 9, "gender": 2}
Banked = tuple[Bank, dict[str, np.ndarray], str]
RESNET50_WIDTHS = {"maxpool": 64, "layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}


def benchmark_bank(data_dir: str, per_group: int, layers: tuple[str, ...]) -> Banked:
    """Bank of ResNet50's default layers, labels of all targets [N], and what the bank is, in words.

    Args:
        data_dir: FairFace's folder; empty for generated features.
        per_group: images per group at most; generated features have exactly that many.
        layers: which layers; all default ones if empty.
    """
    chosen = layers or network("resnet50").layers
    return _photographs(data_dir, per_group, chosen) if data_dir else _generated(per_group, chosen)


def _generated(per_group: int, layers: tuple[str, ...]) -> Banked:
    attributes = tuple(Attribute(n, tuple(map(str, range(size)))) for n, size in FAIRFACE_SIZES.items())
    groups = Target(attributes)
    numbers = np.repeat(np.arange(groups.size), per_group)
    widths = {layer: RESNET50_WIDTHS[layer.split(".")[0]] for layer in layers}
    bank = {layer: generated(width, numbers, seed) for seed, (layer, width) in enumerate(widths.items())}
    labels = {t.name: t.encode(groups.decode(numbers)) for t in all_targets(attributes)}
    return jax.device_put(bank), labels, f"generated features, {len(numbers)} images"


def _photographs(data_dir: str, per_group: int, layers: tuple[str, ...]) -> Banked:
    images, (seen,) = look([balanced_subset(read_fairface(data_dir), per_group, 0)])
    dataset = seen.dataset
    subject = load_subject("resnet50", "random", dataset, images.image_size, 0)
    plan = plan_memory("resnet50", subject.params, images=len(dataset), layers=layers, rule="mean",
                       transform=subject.transform, budget_gib=None)  # fmt: skip
    bank: Bank = {}
    for wave in plan.waves:
        bank |= extract_bank(dataset, images.image_size, "resnet50", subject.params, subject.transform, wave)
    labels = {t.name: t.encode(dataset.labels) for t in dataset.targets}
    return bank, labels, f"untrained ResNet50 of {len(dataset)} photographs, mean-pooled"


def generated(width: int, groups: np.ndarray, seed: int) -> np.ndarray:
    """Features float32 [N, D] with a falling spectrum, in which every group has a mean of its own."""
    rng = np.random.default_rng(seed)
    spectrum = 1.0 / (1.0 + np.arange(width)) ** 0.7
    means = 0.3 * rng.standard_normal((groups.max() + 1, width))
    rotation = np.linalg.qr(rng.standard_normal((width, width)))[0]
    return (((rng.standard_normal((len(groups), width)) + means[groups]) * spectrum) @ rotation).astype(np.float32)
