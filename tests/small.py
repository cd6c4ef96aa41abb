"""A network that takes no time."""

from flax import nnx

from bias_jax.networks import Transform, image_classifier
from bias_jax.networks.layers import Activations, conv, convolve, linear


class Small(nnx.Module):
    """Two convolutions and a classifier."""

    def __init__(self, classes, rngs):
        self.first = conv(3, 8, 3, stride=2, bias=True, rngs=rngs)
        self.second = conv(8, 16, 3, stride=2, bias=True, rngs=rngs)
        self.fc = nnx.Linear(16, classes, rngs=rngs)

    def __call__(self, x, offsets=None):
        activations = Activations(offsets)
        x = activations.keep("first", nnx.relu(convolve(self.first, x)))
        x = activations.keep("second", nnx.relu(convolve(self.second, x)))
        logits = activations.keep("fc", linear(self.fc, x.mean(axis=(1, 2))))
        return logits, dict(activations)


SMALL = image_classifier(Small, last=("fc",), preparation=Transform(28, 24), layers=("first", "second"))
