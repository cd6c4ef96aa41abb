"""One run on any number of devices: the same bytes, every picture once."""

import json
import logging
from collections import Counter

import jax
import numpy as np
import pytest

from bias_jax.activations import GroupMeans, Need, activation_shapes, extract_wave, extraction, pack
from bias_jax.audit import RunConfig, audit
from bias_jax.devices import device_mesh
from bias_jax.networks import NETWORKS, Transform, random_params
from bias_jax.progress import shown_by
from tests.audit.test_faults import contents
from tests.audit.toys import Means, Other, Recorder, faces, pictures
from tests.small import SMALL

TRANSFORM = Transform(28, 24)
NUMBER = 77  # 20 batches of 4 in the end: no number of devices divides the images, 3 and 8 do not divide the batches
FILES = pictures(NUMBER, size=30)
LABELS = np.where(np.arange(NUMBER) % 7 == 3, -1, np.arange(NUMBER) % 5).astype(np.int32)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "small", SMALL)
        yield


def extract(count, number=NUMBER):
    """A bank with all positions, a bank of means, and means of groups with and without positions."""
    images = faces(FILES[:number])
    with jax.transfer_guard("allow"):
        params = random_params("small", 0, np.zeros((2, 24, 24, 3), np.float32))
    needs = [
        Need("first", "none"),
        Need("second", "mean"),
        Need("first", "mean", 5, "a"),
        Need("second", "none", 5, "a"),
    ]
    wave = pack(activation_shapes("small", params, TRANSFORM), needs, number, 1.0, of="small").waves[0]
    labels = {i: LABELS[:number] for i, plan in enumerate(wave) if plan.groups}
    mesh = device_mesh(count)
    return extract_wave(images, (30, 30), "small", params, TRANSFORM, wave, labels, batch_size=4, mesh=mesh)


@pytest.mark.slow
def test_banks_and_means_of_groups_are_the_same_bytes_on_any_number_of_devices():
    with jax.transfer_guard("disallow"):
        found = {count: extract(count) for count in (1, 2, 3, 4, 8)}
    kinds = [type(kept) for kept in found[1]]
    assert kinds.count(GroupMeans) == 2 and len(kinds) == 4
    for count, kept in found.items():
        for one, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(kept), strict=True):
            assert one.shape == other.shape and other.devices() == {jax.devices()[0]}
            assert np.asarray(one).tobytes() == np.asarray(other).tobytes(), count
    means = next(kept for kept in found[1] if isinstance(kept, GroupMeans))
    np.testing.assert_array_equal(means.counts, np.bincount(LABELS[LABELS >= 0]))
    bank = next(kept for kept in found[1] if not isinstance(kept, GroupMeans))
    assert len(np.unique(np.asarray(bank), axis=0)) == NUMBER  # nothing twice, nothing left out


@pytest.mark.parametrize(("count", "number"), [(1, 77), (3, 77), (8, 77), (8, 5)])
def test_every_device_gets_its_share_of_the_images(count, number, monkeypatch):
    """Batches are dealt in turn; devices for which there is no batch are left out."""
    passed, steps, whole = Counter(), [], extraction.extract_batches

    def counted(banks, params, images, start, **options):
        for shard in images.addressable_shards:
            passed[shard.device.id] += int((np.asarray(shard.data) != 0).any(axis=(1, 2, 3)).sum())
        return whole(banks, params, images, start, **options)

    class Shown:
        def update(self, done=1, /):
            steps.append(done)

        def close(self):
            pass

    monkeypatch.setattr(extraction, "extract_batches", counted)
    with shown_by(lambda text, total, unit: Shown()):
        extract(count, number)
    batches = [range(start, min(start + 4, number)) for start in range(0, number, 4)]
    assert passed == {i: sum(map(len, batches[i::count])) for i in range(min(count, len(batches)))}
    assert sum(steps) == number and len(steps) == -(-len(batches) // count)


def test_a_run_leaves_the_same_bytes_and_says_where_it_computes(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    instruments = Recorder(), Means(), Other(files=tuple(FILES[:9]))
    runs = {}
    for count in (1, 2, 8):
        out = tmp_path / str(count)
        config = RunConfig(batch_size=4, devices=count, layers=("first", "second"))
        found = audit("small", instruments, faces=faces(FILES), config=config, out=out)
        assert not found.failures
        runs[count] = contents(out)
    assert runs[1] == runs[2] == runs[8] and len(runs[1]) > 20
    assert "77 images, budget" in caplog.text and "77 images on 8 devices, budget" in caplog.text
    assert "devices" not in json.loads((tmp_path / "8/run.json").read_text())["identity"]["activations"]


def test_a_run_may_continue_on_more_devices(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out, counts in ((whole, [1]), (parts, [1, 8])):
        for count in counts:
            config = RunConfig(batch_size=4, devices=count, memory_gib=3e5 / 2**30, layers=("first", "second"))
            found = audit("small", [Recorder()], faces=faces(FILES), config=config, out=out)
            assert not found.failures
            if count == 1 and out == parts:
                (out / "recorder/untrained-network/second.arrow").unlink()
    assert contents(whole) == contents(parts)
