"""What is measured of a layer, and what the network answers as the layer is changed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from bias_jax.activations import answer_slopes
from bias_jax.audit import OUTPUT, Arrays, Context, FlaxSubject, ImageSet, Stored, Task
from bias_jax.errors import InputError
from bias_jax.instruments.faces import PEOPLE
from bias_jax.instruments.predictions.classes import class_names, family_members
from bias_jax.randomness import stable_hash
from bias_jax.sensitivity import Span, between, contrast, mean_interval, span_of

INSIDE, LOOKED_AT = "inside", "looked at"  # arrays of the task: bool [G, n], rows int [m]
RANDOM = 16  # random directions of a layer


def measure_layer(layer: str, features: jax.Array) -> Arrays:
    """The images of a layer in the space that they span, or what the network predicts of them.

    Raises:
        InputError: a feature is not finite.
    """
    found = np.asarray(jax.device_get(features), np.float32)
    if not np.isfinite(found).all():
        problem = f"layer {layer} holds values that are no numbers or infinite"
        raise InputError(problem, remedy="check the weights, or use --precision float32")
    if layer == OUTPUT:
        return {"predicted": found.argmax(axis=1)}
    span = span_of(found)
    return {"basis": span.basis.astype(np.float32), "coordinates": span.coordinates, "scale": np.array([span.scale])}


def loaded_span(stored: Stored, layer: str) -> Span:
    """What `measure_layer` found."""
    arrays = stored.load(layer)
    return Span(arrays["basis"], arrays["coordinates"], float(arrays["scale"][0]))


def contrasts_of(arrays: Arrays) -> np.ndarray:
    """Weights of the images in every difference of means, [G, n]."""
    return np.stack([contrast(row.astype(bool)) for row in arrays[INSIDE]])


def answers_of(stored: Stored) -> tuple[tuple[str, ...], Mapping[str, np.ndarray]]:
    """Names of the network's classes, and the numbers of those in each family.

    Raises:
        InputError: a family has a class that the network does not have.
    """
    outputs = next(layer.features for layer in stored.layers if layer.name == OUTPUT)
    facts: Mapping[str, Any] = stored.facts
    names = class_names(facts["classes"], outputs, stored.run["weights"])
    return names, family_members(facts["families"], names)


def change_layers(
    task: Task, images: ImageSet, subject: FlaxSubject, stored: Stored, wanted: Sequence[str], context: Context
) -> Iterator[tuple[str, Arrays]]:
    """Slopes of each layer's answers: of C classes and F families, A = C + F.

    ``slopes`` [r, A], means over the images along each axis, per unit of the layer; of the directions between groups
    ``low``, ``high`` and ``positive`` [G, A], the interval of the mean and the share of images with a slope above 0;
    ``random`` [R, A], means along random directions. The latter are per scale of the layer.
    """
    names, families = answers_of(stored)
    members = np.array([np.isin(np.arange(len(names)), own) for own in families.values()], bool)
    members = members.reshape(len(families), len(names))
    rows = task.arrays[LOOKED_AT]
    chosen, contrasts = images.take(rows), contrasts_of(task.arrays)
    people = task.arrays[PEOPLE][rows] if PEOPLE in task.arrays else None
    for layer in wanted:
        span = loaded_span(stored, layer)
        rng = np.random.default_rng(stable_hash(context.seed, "random directions", layer))
        drawn = rng.standard_normal((RANDOM, span.basis.shape[1]))
        drawn *= span.scale / np.linalg.norm(drawn, axis=1, keepdims=True)
        groups = np.pad(between(contrasts, span.coordinates, span.scale), ((0, 0), (0, RANDOM)))
        found = answer_slopes(
            subject.model, subject.params, subject.transform, chosen.pictures, chosen.image_size, layer,
            np.concatenate([span.basis, drawn]), groups, members, precision=context.precision,
        )  # fmt: skip
        if not np.isfinite(found.along).all():
            problem = f"derivatives of the answer along layer {layer} are no numbers or infinite"
            raise InputError(problem, remedy="check the weights, or use --precision float32")
        _, low, high = mean_interval(found.along.transpose(0, 2, 1), people)
        yield (
            layer,
            {
                "slopes": found.mean[: len(span.basis)],
                "random": found.mean[len(span.basis) :],
                "low": low,
                "high": high,
                "positive": (found.along > 0).mean(axis=1),
            },
        )
