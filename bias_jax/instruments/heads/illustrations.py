"""Contact sheets and average attention as arrays: what needs the network, so that figures do not."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bias_jax.audit import Arrays, Context, FlaxSubject, Rows, Stored, Subject
from bias_jax.data import FaceDataset
from bias_jax.disparity import FittedHeads, held_out_slices
from bias_jax.instruments.heads.config import HeadsConfig
from bias_jax.instruments.heads.examples import (
    attention_images,
    compared,
    group_examples,
    loss_examples,
    widest_spread,
)
from bias_jax.instruments.heads.maps import Maps, look_at, mean_attention
from bias_jax.instruments.heads.problem import Problem, fitted_heads, problem_of
from bias_jax.progress import track

log = logging.getLogger("bias_jax.instruments")
SHEETS = ("sheet-losses", "sheet-groups")


def attention_name(attribute: str) -> str:
    """Name of the illustration of an attribute's average attention."""
    return f"attention-{file_name(attribute)}"


def file_name(text: str) -> str:
    """Text as part of a file name."""
    return text.replace(" ", "-").replace("/", "-")


def illustrations(
    stored: Stored, config: HeadsConfig, images: FaceDataset, subject: Subject, tables: Mapping[str, Rows],
    context: Context,
) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
    """Illustrations that are not there yet, or were made with other settings.

    Sheets (`SHEETS`): ``pictures`` uint8 [n, side, side, 3], ``cams`` float32 [n, J, h, w], ``occlusions`` float32
    [n, J, cells, cells], ``captions`` [n]. Attention of each attribute: ``groups`` [G], mean ``pictures`` uint8
    [G, side, side, 3], ``attention`` [G, J, h, w], ``images`` (their number) int [G]. All have ``losses`` [J] and the
    ``settings`` they were made with.

    Args:
        stored: fitted heads, and illustrations that are there already.
        config: what to look at.
        images: all N images.
        subject: the network; no maps are made of a subject that is no network of the registry.
        tables: with ``rates`` and ``spreads``.
        context: of the run.
    """
    if not config.examples:
        return
    if not isinstance(subject, FlaxSubject):
        log.info("note: heads: no maps of %s, which is no network of the registry", subject.model)
        return
    problem, layer = problem_of(stored.facts, stored.arrays), tables["rates"][0]["layer"]
    settings = np.array([json.dumps([config.examples, config.attention, config.cam_layer, config.occlusion])])
    there = {name for name in stored.illustrated() if np.array_equal(stored.illustrations(name)["settings"], settings)}
    attentions = {attention_name(attribute.name) for attribute in problem.attributes} if config.attention else set()
    missing = (attentions | set(SHEETS)) - there
    if not missing:
        return
    fitted, truth, pair = fitted_heads(stored, layer), problem.truth(config.judged), compared(config)
    common = {"losses": np.array([config.losses[j] for j in pair]), "settings": settings}

    def look(chosen: np.ndarray, labels: Sequence[np.ndarray], cells: int) -> Maps:
        """Maps of some evaluated images, each for the sum of the logits of some labels."""
        weights = [[label_weights(fitted, problem, j, i, own) for j in pair]
                   for i, own in zip(chosen, labels, strict=True)]  # fmt: skip
        return look_at(images.take(problem.rows[chosen]), np.stack(weights), layer, subject, context,
                       cam_layer=config.cam_layer or layer, cells=cells)  # fmt: skip

    spread = widest_spread(tables["spreads"], problem, config)
    sheets = {
        "sheet-losses": loss_examples(fitted, problem, truth, config),
        "sheet-groups": group_examples(fitted, problem, truth, config, spread) if spread is not None else [],
    }
    for name, examples in track(sheets.items(), "contact sheets", unit="sheet"):
        if name in missing and examples:
            labels = [np.array([example.label]) for example in examples]
            found = look(np.array([example.image for example in examples]), labels, config.occlusion)
            yield name, {**vars(found), "captions": np.array([example.caption for example in examples]), **common}
    chosen = attention_images(problem, truth, config.attention)
    if attentions & missing and len(chosen):
        found = look(chosen, [np.flatnonzero(truth[image] == 1) for image in chosen], 0)
        for attribute in problem.attributes:
            own = problem.categories[attribute.name][chosen]
            yield attention_name(attribute.name), {**group_means(found, own, attribute.categories), **common}


def group_means(found: Maps, categories: np.ndarray, names: Sequence[str]) -> Arrays:
    """Mean picture and attention of the categories that occur.

    Args:
        found: maps of n images.
        categories: of each image, int [n].
        names: of all categories.
    """
    groups = np.unique(categories)
    return {
        "groups": np.array([names[g] for g in groups]),
        "pictures": np.stack([found.pictures[categories == g].mean(axis=0) for g in groups]).astype(np.uint8),
        "attention": np.stack([mean_attention(found.cams[categories == g]) for g in groups]),
        "images": np.array([int((categories == g).sum()) for g in groups]),
    }


def label_weights(fitted: FittedHeads, problem: Problem, j: int, image: int, labels: np.ndarray) -> np.ndarray:
    """Weights [D] of the sum of some labels' logits, of the first seed's head that did not train on the image."""
    places = held_out_slices(problem.splits)
    split = next(f for f, place in enumerate(places) if place.start <= image < place.stop)
    return fitted.weights[split, j][:, labels].sum(axis=1)
