"""One layer: fit erasers to half of the images, and probe the other half before and after."""

from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.audit import Task
from bias_jax.erasure import Eraser, fit_erasers, prior_gain
from bias_jax.instruments.erasure.answering import changes_of
from bias_jax.instruments.erasure.conditions import ERASED, NOTHING, RANDOM, SHUFFLED, Condition, conditions_of
from bias_jax.instruments.faces import PEOPLE
from bias_jax.neighbours import nearest_images, neighbour_values, vote_scores
from bias_jax.probes import OutOfFold, ProbeConfig, centred_signs, cross_validate
from bias_jax.randomness import stable_hash
from bias_jax.statistics import collapsed_strata, shuffled_blocks

VOTES = "votes", "votes influence", "votes learned", "votes taught"  # values of neighbours, and their exchange
HALF, FIT = "half of each image", 0  # array of the task, and the half that erasers are fitted to
# Of each condition: rank, mean squared change as a share of the variance where it was fitted and elsewhere, and what
# the best linear probe of the images it was fitted to can know, at most, before and after.
ERASER = ("rank", "removed", "removed_held_out", "gain_bits_before", "gain_bits")


class Options(Protocol):
    """Those of the instrument that measuring needs."""

    @property
    def shrinkage(self) -> bool: ...

    @property
    def neighbours(self) -> int: ...

    def probes(self) -> ProbeConfig: ...


def measure_layer(
    features: jax.Array, task: Task, options: Options, seed: int, answered: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Arrays of one layer [n, D]: of every condition those of `OutOfFold`, neighbours' votes, and of its eraser.

    Axis T of the arrays of a condition are its targets. ``eraser`` is [K, 5], the columns of `ERASER`. Of the rows
    `answered`, if there are any, what the erasers change (`changes_of`).
    """
    arrays, every = task.arrays, list(task.facts["targets"])
    fit, kept = (np.flatnonzero(chosen) for chosen in (arrays[HALF] == FIT, arrays[HALF] != FIT))
    fitted, held_out = (_take(features, jax.device_put(rows)) for rows in (fit, kept))
    erasers = fitted_erasers(fitted, task, fit, options, seed)
    found: dict[str, np.ndarray] = {}
    weakest = min(options.probes().l2)
    before = {name: prior_gain(fitted, arrays[f"labels of {name}"][fit], weakest) for name in task.facts["erased"]}
    about = np.zeros((len(conditions_of(task.facts)), len(ERASER)))
    for number, condition in enumerate(conditions_of(task.facts)):
        eraser = erasers.get(condition)
        changed = held_out if eraser is None else eraser.apply(held_out)
        targets = condition.targets(every)
        labels = {name: arrays[f"labels of {name}"][kept] for name in targets}
        classes = {name: len(task.facts["targets"][name]) for name in targets}
        result = _probed(changed, labels, classes, task, kept, options, seed)
        votes = _votes(changed, labels, classes, task, kept, options, seed)
        found |= {f"{number} {name}": array for name, array in {**vars(result), **votes}.items()}
        if eraser is not None:
            own = arrays[f"labels of {condition.erased}"][fit]
            removed = float(jax.device_get(_removed(held_out, changed)))
            gain = before[condition.erased], prior_gain(eraser.apply(fitted), own, weakest, fitted)
            about[number] = eraser.rank, eraser.removed, removed, *gain
    if answered is not None:
        found |= changes_of(features, answered, erasers)
    return {**found, "eraser": about}


def fitted_erasers(
    fitted: jax.Array, task: Task, fit: np.ndarray, options: Options, seed: int
) -> dict[Condition, Eraser]:
    """Erasers of all conditions but the first, fitted to features [n, D] of the rows `fit`."""
    people = task.arrays.get(PEOPLE)
    rng = np.random.default_rng(stable_hash(seed, "shuffled labels of erasers"))
    order = shuffled_blocks(None if people is None else people[fit], rng, len(fit))
    labels: dict[str, np.ndarray] = {}
    random: dict[str, tuple[str, int]] = {}
    for name in task.facts["erased"]:
        own = task.arrays[f"labels of {name}"][fit]
        labels |= {_key(name, ERASED): own, _key(name, SHUFFLED): own[order]}
        random[_key(name, RANDOM)] = _key(name, ERASED), stable_hash(seed, "random subspace", name) % 2**63
    found = fit_erasers(fitted, labels, shrinkage=options.shrinkage, random=random)
    wanted = [condition for condition in conditions_of(task.facts) if condition.erased != NOTHING]
    return {condition: found[_key(*condition)] for condition in wanted}


def _key(erased: str, control: str) -> str:
    return erased if control == ERASED else f"{erased}, {control}"


def _probed(
    features: jax.Array, labels: Mapping[str, np.ndarray], classes: Mapping[str, int], task: Task, kept: np.ndarray,
    options: Options, seed: int,
) -> OutOfFold:  # fmt: skip
    """Probes with the same folds, signs and strengths in every condition, so that differences are paired."""
    groups, people = groups_and_people(task.facts, task.arrays, kept)
    signs = stable_hash(seed, "probes of erased layers") % 2**63
    folds = task.arrays["folds"][kept]
    return cross_validate(features, labels, classes, folds, groups, options.probes(), signs, people)


def groups_and_people(
    facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray], kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Stratum of some images, int [n], and their persons, 0 to K - 1, if they have any."""
    people = None if PEOPLE not in arrays else np.unique(arrays[PEOPLE][kept], return_inverse=True)[1]
    return collapsed_strata(arrays[f"labels of {facts['groups']}"][kept], people), people


def _votes(
    features: jax.Array, labels: Mapping[str, np.ndarray], classes: Mapping[str, int], task: Task, kept: np.ndarray,
    options: Options, seed: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Adjusted balanced accuracy of the vote of k neighbours in other folds: the arrays of `VOTES`, [T, ...]."""
    groups, people = groups_and_people(task.facts, task.arrays, kept)
    rng = np.random.default_rng(stable_hash(seed, "neighbours of erased layers") % 2**63)
    signs = centred_signs(groups, options.probes().signs, rng, people)
    nearest = nearest_images(_centred(features), options.neighbours + 1, "cosine", task.arrays["folds"][kept])
    found = []
    for name, own in labels.items():
        counts = np.bincount(own, minlength=classes[name])
        occurring = int((counts > 0).sum())
        room = 1.0 - 1.0 / occurring if occurring > 1 else 1.0
        weights = 1.0 / (room * occurring * counts[own])
        scores = vote_scores(nearest, own, options.neighbours, classes[name])
        values, exchange = neighbour_values(scores, weights, signs)
        found.append((values - 1.0 / (room * occurring * len(own)), *exchange))
    return {name: np.stack(rows).astype(np.float32) for name, rows in zip(VOTES, zip(*found, strict=True), strict=True)}


@jax.jit
def _take(features: jax.Array, rows: jax.Array) -> jax.Array:
    return features[rows].astype(jnp.float32)


@jax.jit
def _centred(features: jax.Array) -> jax.Array:
    return features - features.mean(axis=0, keepdims=True)


@jax.jit
def _removed(before: jax.Array, after: jax.Array) -> jax.Array:
    """Mean squared change as a share of the variance."""
    whole = jnp.square(before - before.mean(axis=0, keepdims=True)).sum()
    return jnp.square(after - before).sum() / jnp.where(whole > 0, whole, 1.0)
