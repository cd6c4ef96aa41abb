"""The least time of a run: operations against those known of ResNet50, and a rate that the device reaches."""

from types import SimpleNamespace

import numpy as np
import pytest

from bias_jax.audit import Context
from bias_jax.audit import estimate as module
from bias_jax.audit.estimate import estimate, of_an_image
from bias_jax.audit.subjects import FlaxSubject
from bias_jax.devices import device_mesh
from bias_jax.networks import abstract_params, network


@pytest.fixture(scope="module")
def resnet():
    """Nothing is drawn: only shapes count."""
    return FlaxSubject("resnet50", abstract_params("resnet50"), network("resnet50").preparation, "shapes", "")


def test_operations_are_those_published(resnet):
    """4.09 GMAC at 224 x 224 (torchvision's table), two operations each; XLA does not count those with padding."""
    assert 0.85 * 2 * 4.09e9 < of_an_image(resnet) < 1.02 * 2 * 4.09e9


def walk(subject, images, devices):
    context = Context(0, "mean", mesh=device_mesh(devices))
    return SimpleNamespace(subject=subject, images=range(images), context=context)


def test_every_pass_and_device_counts_and_short_runs_are_not_measured(resnet, monkeypatch):
    monkeypatch.setattr(module, "product_rate", lambda precision: 1e12)
    plan = SimpleNamespace(waves=[(), ()])
    assert estimate([walk(resnet, 1000, 1)], [plan]) is None  # 1.4e13 operations
    found = estimate([walk(resnet, 100_000, 8), walk(object(), 10, 8)], [plan, plan])
    needed = 2 * 100_000 * of_an_image(resnet)
    assert f"{needed:.2g} operations" in found and "8,000 GFLOP/s" in found and "8 devices" in found
    assert f"{needed / 8e12 / 60:.0f} min or more" in found


def test_the_rate_is_that_of_a_product(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 256)
    rate = module.product_rate("float32")
    assert np.isfinite(rate) and 1e8 < rate < 1e16
