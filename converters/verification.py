"""The converted network against torchvision's own, layer by layer, on the user's images."""

from dataclasses import dataclass

import jax
import numpy as np
from tqdm import tqdm

from bias_jax.data import FaceDataset, image_batches
from bias_jax.networks import convnext, efficientnet, forward, jit_network, resnet, split, vgg
from converters.checkpoint import Weights
from converters.original import original_activations, original_network

# Of the largest difference relative to a layer's largest magnitude. Two float32 implementations sum in different
# orders; InceptionV3's depth without shortcuts, and variances near 1e-14, amplify that more.
_CONVOLUTIONAL = (*vgg.NETWORKS, *resnet.NETWORKS, *convnext.NETWORKS, *efficientnet.NETWORKS)
TOLERANCE = {
    **dict.fromkeys((*_CONVOLUTIONAL, "vit_b_16", "vit_b_32", "vit_l_16"), 1e-4),
    "inception_v3": 5e-4,
}


@dataclass(frozen=True)
class Comparison:
    """What was found on N images."""

    differences: dict[str, tuple[float, float]]  # layer, in depth order -> largest |difference|, largest |value|
    images: int
    top1: int | None  # images whose most likely class agrees; None for weights without a valid classifier
    top5: int | None  # images whose five most likely classes agree, as a set

    def relative(self, layer: str) -> float:
        """Largest difference over largest magnitude of a layer; infinite if either network gives NaN."""
        difference, magnitude = self.differences[layer]
        if np.isnan(difference):
            return np.inf
        return difference / magnitude if magnitude > 0 else difference

    @property
    def worst(self) -> str:
        """The layer of the largest relative error."""
        return max(self.differences, key=self.relative)

    def __str__(self) -> str:
        width = max(map(len, self.differences)) + 2
        lines = [f"{'layer':<{width}}{'max |difference|':>18}{'relative':>12}"]
        for layer, (difference, _) in self.differences.items():
            lines.append(f"{layer:<{width}}{difference:>18.3e}{self.relative(layer):>12.2e}")
        if self.top1 is None:
            lines.append("these weights have no valid classifier: its layers and the classes are not compared")
        else:
            lines.append(f"most likely class: {self.top1} of {self.images} images agree")
            lines.append(f"five most likely classes: {self.top5} of {self.images} images agree")
        return "\n".join(lines)


def verify(weights: Weights, images: FaceDataset, batch_size: int = 8) -> Comparison:
    """Run both networks on the same normalised images, in float32.

    Args:
        weights: what is converted and loaded into the original.
        images: N images of any size; the weights' own transform is applied on the host.
        batch_size: images per forward pass.

    Raises:
        InputError: torch or torchvision is not installed, the weights do not fit, or an image cannot be decoded.
    """
    name, transform = weights.network, weights.transform
    params = weights.params()
    original = original_network(name, weights.recognised.arrays, transform.side)
    on_host, size, dtype, rest = split(transform, None)
    prepare = jax.jit(rest.on_device)
    converted = jit_network(lambda params, x: forward(name, params, x))
    invalid = weights.untrained
    differences: dict[str, tuple[float, float]] = {}
    top1 = top5 = 0
    with tqdm(total=len(images), desc="compare", unit="image") as progress:
        for start, batch in image_batches(images, batch_size, size, on_host, dtype=dtype):
            rows = min(batch_size, len(images) - start)
            x = jax.device_get(prepare(batch))
            logits, found = jax.device_get(converted(params, x))
            expected_logits, expected = original_activations(original, x[:rows])
            assert set(found) <= set(expected), "a layer has a name that torchvision's network lacks"
            for layer in expected:  # in depth order, which jit loses
                if invalid and layer.startswith(invalid):
                    break  # what is behind it has no valid values either
                if layer not in found:
                    continue
                now = np.abs(found[layer][:rows] - expected[layer]).max(), np.abs(expected[layer]).max()
                before = differences.get(layer, (0.0, 0.0))
                difference, magnitude = np.maximum(before, now)  # keeps NaN, unlike Python's max
                differences[layer] = float(difference), float(magnitude)
            ours, theirs = (np.argsort(-values, axis=1)[:, :5] for values in (logits[:rows], expected_logits))
            top1 += int((ours[:, 0] == theirs[:, 0]).sum())
            top5 += int((np.sort(ours) == np.sort(theirs)).all(axis=1).sum())
            progress.update(rows)
    return Comparison(differences, len(images), None if invalid else top1, None if invalid else top5)
