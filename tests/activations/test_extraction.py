from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from bias_jax.activations import extract_bank, extract_wave, extraction, plan_memory, pool
from bias_jax.audit.batches import Batches
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, Transform, abstract_params, forward, jit_network, random_params
from bias_jax.results import RunDirectory
from tests.conftest import toy_dataset
from tests.data.test_decoding import encoded
from tests.small import SMALL

TRANSFORM = Transform(36, 32)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", SMALL)
        yield


@pytest.fixture(scope="module")
def setting(small):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) for _ in range(11)]
    images = jax.jit(TRANSFORM.on_device)(np.stack(arrays))
    params = random_params("small", 0, images)
    files = [encoded(a) for a in arrays]
    return replace(toy_dataset([[11]]), read_bytes=lambda i: files[i]), params, images


def plan(params, name="small", **options):
    return plan_memory(name, params, images=11, transform=TRANSFORM, **options)


def extract(dataset, params, wave, size=(40, 40)):
    return extract_bank(dataset, size, "small", params, TRANSFORM, wave, batch_size=4)


@partial(jit_network, static_argnums=2)
def activations_of(params, images, layers):
    activations = forward("small", params, images)[1]
    return {layer: activations[layer] for layer in layers}


def test_banks_equal_the_forward_pass(setting):
    """With two rules in one wave."""
    dataset, params, images = setting
    layers = ("first", "second")
    plans = {rule: plan(params, layers=layers, rule=rule).waves[0] for rule in ("mean", "grid")}
    assert all([p.name for p in wave] == list(layers) for wave in plans.values())
    wave = [p for wave in plans.values() for p in wave]
    banks = extract_wave(dataset, (40, 40), "small", params, TRANSFORM, wave, batch_size=4)
    activations = activations_of(params, images, layers)
    for asked, bank in zip(wave, banks, strict=True):
        assert bank.shape == (11, asked.features)
        np.testing.assert_allclose(bank, pool(asked.rule, activations[asked.name]), atol=1e-3, rtol=1e-3)


def test_no_trace_per_batch_or_per_number_of_images(setting, monkeypatch):
    dataset, params, _ = setting
    wave = plan(params, layers=("second",), rule="none").waves[0]  # no other test's
    traces = []

    def counted(*arguments, **options):
        traces.append(arguments)
        return forward(*arguments, **options)

    monkeypatch.setattr(extraction, "forward", counted)
    for images in (11, 9, 5):  # 12, 12 and 8 rows: the batch never changes its shape, the bank does
        extract(dataset.take(np.arange(images)), params, wave)
    assert len(traces) == 2


def test_nothing_is_copied_by_accident(setting):
    dataset, params, _ = setting
    wave = plan(params, layers=("first", "second")).waves[0]
    with jax.transfer_guard("disallow"):
        bank = extract(dataset, params, wave)
    assert np.isfinite(jax.device_get(bank["second"])).all()


def test_images_of_many_sizes_are_prepared_on_the_host(setting, rng):
    dataset, params, _ = setting
    arrays = [rng.integers(0, 255, (40 + i, 50 - i, 3), dtype=np.uint8) for i in range(11)]
    files = [encoded(a) for a in arrays]
    mixed = replace(dataset, read_bytes=lambda i: files[i])
    wave = plan(params, layers=("first",)).waves[0]
    bank = extract(mixed, params, wave, size=None)
    for i in (0, 10):
        image = jax.jit(TRANSFORM.on_device)(arrays[i][None])
        expected = np.mean(activations_of(params, image, ("first",))["first"], axis=(1, 2))
        np.testing.assert_allclose(bank["first"][i], expected[0], atol=0.02)  # one grey level here and there


def test_plan_packs_waves_in_depth_order_and_within_budget():
    params = abstract_params("resnet50")
    everything = plan(params, "resnet50")
    assert len(everything.waves) == 1 and len(everything.layers) == 17
    total = sum(layer.bytes for layer in everything.layers)
    assert total == 4 * 11 * (64 + 3 * 256 + 4 * 512 + 6 * 1024 + 3 * 2048)
    tight = plan(params, "resnet50", budget_gib=total / 3 / 2**30)
    assert 3 <= len(tight.waves) <= 6
    assert [p.name for p in tight.layers] == [p.name for p in everything.layers]
    assert all(sum(p.bytes for p in wave) <= tight.budget for wave in tight.waves)
    assert "wave 2 of" in str(tight)


def test_layers_that_cannot_be():
    params = abstract_params("resnet50")
    with pytest.raises(InputError, match=r"layer4.0 needs .* --memory-gib"):
        plan(params, "resnet50", budget_gib=4 * 11 * 1500 / 2**30)
    with pytest.raises(InputError, match=r"no layer 'layer9.9'.*layer4.2"):
        plan(params, "resnet50", layers=("layer9.9",))


def test_memory_that_runs_out_midway_leaves_a_pass_of_fewer_images(setting, monkeypatch, tmp_path):
    """The second batch of a pass fails; the numbers are those of the smaller batch, and of the larger to rounding."""
    dataset, params, _ = setting
    wave = plan(params, layers=("first", "second")).waves[0]
    whole = extraction.extract_batches

    def short(banks, params, images, start, **options):
        if len(images) > 4 and start[0]:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345 bytes.")
        return whole(banks, params, images, start, **options)

    def of(batch):
        return extract_wave(dataset, (40, 40), "small", params, TRANSFORM, wave, batch_size=batch)

    expected, larger = of(4), of(8)
    monkeypatch.setattr(extraction, "extract_batches", short)
    directory = RunDirectory(tmp_path, {"seed": 0}, {})
    found = Batches(directory, 8).shrinking("all", of)
    assert Batches(directory, 8).used == directory.noted("batches") == {"all": 4}
    for one, same, close in zip(found, expected, larger, strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_allclose(one, close, rtol=1e-4, atol=1e-4)
