"""Finished completions: as pictures, as files, and as a data set that can be audited."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bias_jax.audit.subjects import FlaxSubject
from bias_jax.completions import Drawing
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError
from bias_jax.report.completion_sheet import ROWS, completion_sheet
from bias_jax.results import Folder


@dataclass(frozen=True)
class CompletionConfig:
    """What is given of pictures, and how the rest is drawn."""

    keep: str = "half"  # what is given: half (the upper one), a number of rows, or a black and white picture (32 x 32)
    count: int = 8  # completions of each picture
    temperature: float = 1.0  # of the network's distribution; 0: the most likely colour
    top_k: int = 0  # draw only from so many most likely colours (default: from all; published completions: 40)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError("--count must be positive", remedy="give the number of completions of each picture")

    @property
    def drawing(self) -> Drawing:
        return Drawing(self.temperature, self.top_k)


@dataclass(frozen=True)
class Completions:
    """Finished completions of N pictures, S of each."""

    dataset: FaceDataset  # the pictures that were completed
    subject: FlaxSubject  # by what
    tokens: np.ndarray  # of the pictures as the network sees them, int32 [N, n]
    samples: np.ndarray  # int32 [N, S, n]
    given: np.ndarray  # bool [n]

    @property
    def originals(self) -> np.ndarray:
        """The pictures in the network's size and colours, uint8 [N, side, side, 3]."""
        return self.subject.transform.visible(self.tokens)

    @property
    def pictures(self) -> np.ndarray:
        """What was drawn, with what was given, uint8 [N, S, side, side, 3]."""
        count, samples, pixels = self.samples.shape
        found = self.subject.transform.visible(self.samples.reshape(count * samples, pixels))
        return found.reshape(count, samples, *found.shape[1:])

    def original_faces(self) -> FaceDataset:
        """The pictures in the network's size and colours, with their labels."""
        return _faces(self.dataset, self.originals[:, None], "originals")

    def completed_faces(self) -> FaceDataset:
        """Completions with the labels of their originals; all of one picture show one person."""
        return _faces(self.dataset, self.pictures, "completions")


def _faces(dataset: FaceDataset, pictures: np.ndarray, name: str) -> FaceDataset:
    """Pictures, uint8 [N, S, side, side, 3], as a data set with the labels of N images."""
    count, samples = pictures.shape[:2]
    rows = np.repeat(np.arange(count), samples)
    people = np.arange(count) if dataset.persons is None else dataset.persons
    repeated = dataset.take(rows)
    numbers = np.tile(np.arange(1, samples + 1), count)

    def read(i: int) -> bytes:
        encoded = io.BytesIO()
        Image.fromarray(pictures[rows[i], numbers[i] - 1]).save(encoded, "png")
        return encoded.getvalue()

    return FaceDataset(
        name=f"{dataset.name}, {name}",
        attributes=repeated.attributes,
        labels=repeated.labels,
        image_names=tuple(f"{image}, {n}" for image, n in zip(repeated.image_names, numbers, strict=True)),
        rows=repeated.rows,
        read_bytes=read,
        source=f"{name} of {dataset.source}",
        solo_attributes=repeated.solo_attributes,
        people=people[rows],
        in_table=False,
    )


def save_pictures(directory: Folder, found: Completions, config: CompletionConfig, seed: int) -> None:
    """PNGs, sheets and the table; those that are whole stay."""
    originals, pictures = found.originals, found.pictures
    count, samples = pictures.shape[:2]
    rows = []
    for i, name in enumerate(found.dataset.image_names):
        labels = {
            a.name: a.categories[found.dataset.labels[a.name][i]]
            for a in (*found.dataset.attributes, *found.dataset.solo_attributes)
        }
        for sample in range(samples):
            file = f"pictures/{i:05d}-{sample + 1:03d}.png"
            if not directory.has_figure(file):
                directory.save_picture(file, pictures[i, sample])
            rows.append({"model": found.subject.model, "weights": found.subject.title, "image": name,
                         "sample": sample + 1, "file": file, **labels, "keep": config.keep,
                         "given_pixels": int(found.given.sum()), "temperature": config.temperature,
                         "top_k": config.top_k, "seed": seed})  # fmt: skip
    side = originals.shape[1]
    for start in range(0, count, ROWS):
        file, own = f"sheets/{start // ROWS + 1:04d}.png", slice(start, start + ROWS)
        if not directory.has_figure(file):
            sheet = completion_sheet(originals[own], pictures[own], found.given.reshape(side, side),
                                  found.dataset.image_names[own])  # fmt: skip
            directory.save_picture(file, sheet)
    directory.save_table("completions.parquet", rows)
