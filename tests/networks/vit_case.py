"""Tiny copies of the registry's vision transformers, with the seeded weights of the frozen values."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import NamedTuple

import jax
import numpy as np
import pytest

from bias_jax.networks import NETWORKS, Params, forward, jit_network, vit_family
from bias_jax.networks.vit_family import ROWS, Row
from converters import convert, vit
from converters.families import FAMILIES
from tests.reference import vit_oracle as oracle
from tests.reference.torch_oracle import sample_positions, seeded_images

TOLERANCE = 1e-5  # of the largest magnitude of a layer


def tiny_row(network: str, **changed) -> Row:
    """A row of the registry in another size, all else as it is."""
    row = ROWS[network]
    blocks = replace(row.architecture.blocks, count=oracle.BLOCKS, width=oracle.WIDTH, heads=oracle.HEADS)
    small = replace(row.architecture, blocks=blocks, patch=oracle.PATCH, grid=oracle.GRID, **changed)
    projection = oracle.PROJECTION if row.projection else 0
    return row._replace(architecture=small, classes=oracle.CLASSES if row.classes else 0, projection=projection)


@contextmanager
def registered(name: str, row: Row) -> Iterator[None]:
    """In the registry meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, name, vit_family.definition(row))
        patch.setitem(ROWS, name, row)
        patch.setitem(FAMILIES, name, vit.FAMILY)
        yield


class Case(NamedTuple):
    """One tiny network and what its original gives."""

    name: str  # of the case
    row: Row
    state_dict: dict
    params: Params
    references: dict  # image size -> layer -> (shape, largest, sampled values)


def row_of(case: str) -> Row:
    changed = {"resampling": "plain"} if case.startswith("transformers") else {}
    return tiny_row(oracle.NETWORK[case], **changed)


@cache
def state_dict_of(case: str) -> dict[str, np.ndarray]:
    found = oracle.seeded_state_dict(oracle.frozen(case)[0])
    return {**found, "head.bias": found["head.bias"] * 0} if case in ("clip", "openclip") else found


def tiny(case: str, row: Row | None = None) -> Case:
    own, state_dict = row or row_of(case), state_dict_of(case)
    with registered("vit_tiny", own):
        params = convert("vit_tiny", state_dict)
    return Case(case, own, state_dict, params, oracle.frozen(case)[1])


def uncompiled(row: Row, params, images):
    with registered("vit_tiny", row):
        output, activations = forward("vit_tiny", params, images)
        return activations if output is None else {**activations, "output": output}


@cache
def program(row: str):
    """Of a case, by its name."""
    return jit_network(partial(uncompiled, row_of(row)))


def run(case: Case, size: tuple[int, int], params=None, network=None) -> dict[str, np.ndarray]:
    images = seeded_images(2, size)
    return jax.device_get((network or program(case.name))(case.params if params is None else params, images))


def errors(case: Case, size: tuple[int, int], found: dict[str, np.ndarray]) -> dict[str, float]:
    """Relative error of every layer at the sampled positions."""
    expected = case.references[size]
    assert set(found) - {"output"} == set(expected)
    result = {}
    for layer, (shape, largest, values) in expected.items():
        assert found[layer].shape == shape, layer
        sampled = found[layer].reshape(-1)[sample_positions(layer, found[layer].size)]
        result[layer] = np.abs(sampled - values).max() / largest
    return result


def worst(found: dict[str, float]) -> float:
    return np.max(list(found.values()))  # keeps NaN, unlike Python's max
