"""What was asked and answered: families of prompts, cosines with every picture, the nearest prompt."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bias_jax.audit import Stored
from bias_jax.instruments.predictions.views import Event
from bias_jax.instruments.zeroshot.ensembles import similarities
from bias_jax.instruments.zeroshot.prompts import PromptFamily

COSINES = "cosines"  # array of a layer: with all texts, [n, T]
MISTAKEN = ""  # in the place of a prompt: the nearest one is not that of the picture's category


def texts_key(number: int) -> str:
    """Array of a `Task`: embeddings of the texts of a family, [P, M, D]."""
    return f"embeddings of the texts of family {number}"


class Asked(NamedTuple):
    """One family and its answers."""

    name: str
    attribute: str  # whose categories the labels are; empty: of none
    labels: tuple[str, ...]  # of the prompts P
    texts: np.ndarray  # embeddings of length 1, [P, M, D]
    cosines: np.ndarray  # [n, P, M]
    truth: np.ndarray | None  # the prompt of each picture's category, int [n]

    @property
    def similarity(self) -> np.ndarray:
        """With the ensemble of all templates, [n, P]."""
        return similarities(self.cosines, self.texts)

    def events(self, chosen: np.ndarray) -> list[Event]:
        """What may be said of a picture whose nearest prompt is `chosen`, int [n]: a wrong category, each prompt."""
        found = [Event(self.name, label, 1, chosen == p) for p, label in enumerate(self.labels)]
        if self.truth is None:
            return found
        return [Event(self.name, MISTAKEN, 1, chosen != self.truth), *found]


def family_facts(family: PromptFamily) -> dict[str, Any]:
    """A family as JSON."""
    return {"name": family.name, "attribute": family.attribute, "labels": family.labels, "prompts": family.prompts,
            "templates": family.templates}  # fmt: skip


def asked_of(stored: Stored) -> list[Asked]:
    """Every family."""
    (layer,) = stored.layers
    cosines = stored.load(layer.name)[COSINES]
    categories: Mapping[str, Sequence[str]] = dict(stored.facts["attributes"])
    found, start = [], 0
    for number, family in enumerate(stored.facts["families"]):
        texts, labels, attribute = stored.arrays[texts_key(number)], tuple(family["labels"]), family["attribute"]
        prompts, templates, _ = texts.shape
        own = cosines[:, start : start + prompts * templates].reshape(len(cosines), prompts, templates)
        start += prompts * templates
        truth = None
        if attribute:
            place = [labels.index(c) if c in labels else -1 for c in categories[attribute]]
            truth = np.array(place)[stored.arrays[attribute]]
        found.append(Asked(family["name"], attribute, labels, texts, own, truth))
    return found
