import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bias_jax.activations import LinearScore, grad_cam, occlusion_maps
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, Transform, forward, image_classifier, jit_network, network
from bias_jax.networks.layers import Activations, conv, convolve, linear
from converters import convert
from tests.reference import torch_oracle as oracle


class Tiny(nnx.Module):
    """One 3x3 convolution with relu, a 2x2 convolution, mean, a linear layer."""

    def __init__(self, classes, rngs):
        self.first = conv(3, 2, 3, padding=1, bias=True, rngs=rngs)
        self.second = conv(2, 4, 2, bias=True, rngs=rngs)
        self.fc = nnx.Linear(4, classes, rngs=rngs)

    def __call__(self, x, offsets=None):
        activations = Activations(offsets)
        x = activations.keep("first", nnx.relu(convolve(self.first, x)))
        x = activations.keep("second", nnx.relu(convolve(self.second, x)))
        logits = activations.keep("fc", linear(self.fc, x.mean(axis=(1, 2))))
        return logits, dict(activations)


@pytest.fixture
def tiny(monkeypatch, rng):
    # structures are cached by name: one that no other test uses
    tiny = image_classifier(Tiny, last=("fc",), preparation=Transform(6, 6), layers=("first", "second"))
    monkeypatch.setitem(NETWORKS, "tiny convolutions", tiny)
    shapes = {"first": (3, 3, 3, 2), "second": (2, 2, 2, 4), "fc": (4, 3)}
    params = {k: {"kernel": rng.standard_normal(s), "bias": rng.standard_normal(s[-1])} for k, s in shapes.items()}
    images = rng.standard_normal((2, 6, 5, 3))
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params), images


def by_hand(params, image):
    """Forward pass in loops; activations [h, w, U] and logits."""
    p = {k: {n: np.asarray(v, float) for n, v in d.items()} for k, d in params.items()}

    def convolution(x, kernel, bias):
        k = len(kernel)
        out = np.zeros((x.shape[0] - k + 1, x.shape[1] - k + 1, kernel.shape[-1]))
        for i, j in np.ndindex(out.shape[:2]):
            out[i, j] = np.einsum("abc,abcd->d", x[i : i + k, j : j + k], kernel) + bias
        return out

    first = np.maximum(convolution(np.pad(image, ((1, 1), (1, 1), (0, 0))), **p["first"]), 0)
    second = np.maximum(convolution(first, **p["second"]), 0)
    return first, second, second.mean(axis=(0, 1)) @ p["fc"]["kernel"] + p["fc"]["bias"]


def cam_by_hand(activation, score_of, step=1e-6):
    """Grad-CAM from finite differences of the score with respect to every activation."""
    slopes = np.zeros_like(activation)
    for index in np.ndindex(activation.shape):
        moved = [activation.copy() for _ in range(2)]
        moved[0][index] += step
        moved[1][index] -= step
        slopes[index] = (score_of(moved[0]) - score_of(moved[1])) / (2 * step)
    alpha = slopes.mean(axis=(0, 1))
    return np.maximum((activation * alpha).sum(axis=-1), 0)


def test_grad_cam_of_a_tiny_network_from_first_principles(tiny, rng):
    params, images = tiny
    weights = rng.standard_normal((2, 4))
    found = {}
    for layer in ("first", "second"):
        for source, w in (("second", weights), (None, np.eye(3)[[2, 0]])):
            score = LinearScore(jnp.asarray(w, jnp.float32), source)
            found[layer, source] = np.asarray(
                grad_cam("tiny convolutions", params, jnp.asarray(images, jnp.float32), layer, score)
            )
    p = {k: {n: np.asarray(v, float) for n, v in d.items()} for k, d in params.items()}

    def rest(first):  # from the first activation to the second
        out = np.zeros((5, 4, 4))
        for i, j in np.ndindex(5, 4):
            out[i, j] = np.einsum("abc,abcd->d", first[i : i + 2, j : j + 2], p["second"]["kernel"])
        return np.maximum(out + p["second"]["bias"], 0)

    for n, image in enumerate(images):
        first, second, logits = by_hand(params, image)
        np.testing.assert_allclose(
            forward("tiny convolutions", params, jnp.asarray(images, jnp.float32))[0][n], logits, rtol=1e-4, atol=1e-5
        )
        heads = {"second": weights[n], None: p["fc"]["kernel"][:, [2, 0][n]]}
        for source, w in heads.items():
            expected = cam_by_hand(second, lambda a, w=w: a.mean(axis=(0, 1)) @ w)
            np.testing.assert_allclose(found["second", source][n], expected, rtol=1e-4, atol=1e-5)
            expected = cam_by_hand(first, lambda a, w=w: rest(a).mean(axis=(0, 1)) @ w)
            np.testing.assert_allclose(found["first", source][n], expected, rtol=1e-3, atol=1e-4)


def test_occlusion_maps_of_a_tiny_network(tiny, rng):
    params, images = tiny
    weights = rng.standard_normal((2, 4))
    score = LinearScore(jnp.asarray(weights, jnp.float32), "second")
    found = occlusion_maps("tiny convolutions", params, jnp.asarray(images, jnp.float32), score, cells=2)
    assert found.shape == (2, 2, 2)
    for n, image in enumerate(images):
        intact = by_hand(params, image)[1].mean(axis=(0, 1)) @ weights[n]
        for i, j in np.ndindex(2, 2):
            hidden = image.copy()
            hidden[3 * i : 3 * i + 3, (0, 3)[j] : (3, 5)[j]] = 0
            expected = intact - by_hand(params, hidden)[1].mean(axis=(0, 1)) @ weights[n]
            assert found[n, i, j] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_grad_cam_of_a_head_on_the_last_block_of_resnet50_has_a_closed_form(rng):
    """With a linear head on the mean over positions, alpha is the head's weights divided by the number of positions."""
    images = jnp.asarray(rng.standard_normal((2, 64, 64, 3)), jnp.float32)
    shapes, _ = oracle.frozen("resnet50")
    params = convert("resnet50", oracle.seeded_state_dict(shapes))
    weights = rng.standard_normal((2, 2048)).astype(np.float32)
    found = grad_cam("resnet50", params, images, "layer4.2", LinearScore(jnp.asarray(weights), "layer4.2"))
    activation = jit_network(lambda p, x: forward("resnet50", p, x)[1]["layer4.2"])(params, images)
    activation = np.asarray(activation, float)
    h, w = activation.shape[1:3]
    assert (h, w) == (2, 2)
    expected = np.maximum(np.einsum("nhwu,nu->nhw", activation, weights / (h * w)), 0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())
    logit = grad_cam("resnet50", params, images, "layer4.2", LinearScore(jnp.eye(1000)[jnp.array([3, 8])]))
    kernel = np.asarray(params["fc"]["kernel"])[:, [3, 8]].T
    expected = np.maximum(np.einsum("nhwu,nu->nhw", activation, kernel / (h * w)), 0)
    np.testing.assert_allclose(logit, expected, rtol=1e-4, atol=1e-4 * max(1e-9, expected.max()))


def test_offsets_of_zero_change_nothing_and_others_are_felt(tiny):
    params, images = tiny
    images = jnp.asarray(images, jnp.float32)
    logits, activations = forward("tiny convolutions", params, images)
    for shift, same in ((0.0, True), (1.0, False)):
        offsets = {"first": jnp.full_like(activations["first"], shift)}
        moved, found = forward("tiny convolutions", params, images, offsets=offsets)
        assert np.array_equal(moved, logits) == same
        assert list(found) == list(activations)


def test_layers_that_cannot_be_mapped(tiny):
    params, images = tiny
    images = jnp.asarray(images, jnp.float32)
    weights = jnp.ones((2, 2))
    for layer, source, message in (
        ("third", None, "no layer 'third'"),
        ("fc", None, "no positions"),
        ("second", "first", "lies behind first"),
        ("first", "fourth", "no layer 'fourth'"),
    ):
        with pytest.raises(InputError, match=message):
            grad_cam("tiny convolutions", params, images, layer, LinearScore(weights, source))
    with pytest.raises(InputError, match="cells"):
        occlusion_maps("tiny convolutions", params, images, LinearScore(weights, "first"), cells=9)
    assert network("tiny convolutions").preparation.side == 6
