"""`complete_pictures`: pictures and a generative network in; a folder with what it draws in their place out.

A picture's samples depend on the seed, its name and their number, not on what else is drawn. How many pictures are one
batch is decided by the memory there is, once for a folder, since it decides roundings. A batch is stored when it is
done; a run that was interrupted continues with the next.
"""

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
from PIL import Image

from bias_jax.activations.memory import GIB, default_budget_gib
from bias_jax.audit.images import look
from bias_jax.audit.subjects import RANDOM, FlaxSubject, load_subject
from bias_jax.completions import Drawing, batch_bytes, check, complete, given_pixels, sample_keys, span_of
from bias_jax.data import FaceDataset, image_batches
from bias_jax.errors import InputError
from bias_jax.networks import split
from bias_jax.networks.igpt import SIZES, Size
from bias_jax.networks.preparation import to_json
from bias_jax.progress import bar
from bias_jax.randomness import key_for
from bias_jax.report.completion_sheet import ROWS, completion_sheet
from bias_jax.results import RunDirectory, device, exclusive, versions

log = logging.getLogger("bias_jax.audit")
NOTE = "pictures_per_batch"  # in run.json
PREPARED = 64  # pictures that are brought to tokens at once


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


def complete_pictures(
    network: str,
    images: FaceDataset,
    *,
    weights: str = RANDOM,
    config: CompletionConfig | None = None,
    seed: int = 0,
    precision: str = "float32",
    memory_gib: float | None = None,
    skip_unreadable: bool = False,
    like: FlaxSubject | None = None,
    out: str | Path | None = None,
) -> Completions:
    """Give a part of each picture to a network, and let it draw the rest.

    Args:
        network: an iGPT of the registry.
        images: the pictures.
        weights: folder of a checkpoint, or ``random``: the untrained control.
        config: what is given, and how the rest is drawn.
        seed: of what is drawn, and of random weights.
        precision: of the network, a key of `networks.PRECISIONS`.
        memory_gib: for keys and values of attention (default: a quarter of the device's memory).
        skip_unreadable: leave out pictures that cannot be decoded, with a note.
        like: network whose norm and colours random weights get.
        out: folder; completions that were interrupted there continue. None: nothing is written.

    Raises:
        InputError: bad input.
    """
    config = config or CompletionConfig()
    size = size_of(network)
    if out is None:
        with TemporaryDirectory(prefix="bias-jax-") as folder:
            return complete_pictures(
                network, images, weights=weights, config=config, seed=seed, precision=precision,
                memory_gib=memory_gib, skip_unreadable=skip_unreadable, like=like, out=folder,
            )  # fmt: skip
    given = given_pixels(config.keep, size.side)
    with exclusive(out):
        image_set, (seen,) = look([images], skip_unreadable=skip_unreadable)
        subject = load_subject(network, weights, seen.dataset, image_set.image_size, seed, like)
        check(subject.params, config.drawing)
        tokens = tokens_of(seen.dataset, image_set.image_size, subject)
        identity = {
            "model": network,
            "weights_sha256": subject.sha256,
            "preparation": to_json(subject.transform),
            "data_sha256": seen.sha256,
            "given_sha256": hashlib.sha256(np.packbits(given).tobytes()).hexdigest(),
            "drawing": {"count": config.count, **config.drawing._asdict()},
            "precision": precision,
            "seed": seed,
            "versions": versions(),
            "device": device(),
        }
        record = {"weights": subject.title, "data": images.name, "images": len(tokens), "keep": config.keep}
        directory = RunDirectory(out, json.loads(json.dumps(identity)), record)
        for note in seen.dataset.notes:
            log.info("note: %s", note)
        batch = _pictures_per_batch(directory, size, given, config.count, len(tokens), memory_gib)
        samples = _draw_all(directory, size, subject, tokens, given, seen.dataset.image_names, config, seed, precision,
                            batch)  # fmt: skip
        found = Completions(seen.dataset, subject, tokens, samples, given)
        _save_pictures(directory, found, config, seed)
        return found


def size_of(network: str) -> Size:
    """The shape of a generative network.

    Raises:
        InputError: it is none.
    """
    if network not in SIZES:
        raise InputError(f"{network} draws no pictures", remedy=f"choose one of {', '.join(SIZES)}")
    return SIZES[network]


def tokens_of(images: FaceDataset, image_size: tuple[int, int] | None, subject: FlaxSubject) -> np.ndarray:
    """Pictures as the network takes them, int32 [N, n]."""
    on_host, shape, dtype, rest = split(subject.transform, image_size)
    prepare = jax.jit(rest.on_device)
    batches = image_batches(images, PREPARED, shape, on_host, dtype=dtype)
    return np.concatenate([jax.device_get(prepare(jax.device_put(batch))) for _, batch in batches])[: len(images)]


def _pictures_per_batch(
    directory: RunDirectory, size: Size, given: np.ndarray, count: int, pictures: int, memory_gib: float | None
) -> int:
    """As many as memory holds, in batches of equal size; what a folder began with it keeps."""
    if (noted := directory.noted(NOTE, int)) is not None and noted > 0:
        return noted
    budget = (default_budget_gib() if memory_gib is None else memory_gib) * GIB
    one = batch_bytes(size, span_of(given), count)
    if one > budget:
        problem = f"{count} completions of one picture need {one / GIB:.2f} GiB, more than {budget / GIB:.2f} GiB"
        raise InputError(problem, remedy="lower --count, give more of the pictures by --keep, or raise --memory-gib")
    largest = int(budget // one)
    batch = -(-pictures // -(-pictures // largest))
    log.info(
        "%d pictures x %d completions, %d pictures at a time: %.2f GiB for keys and values, of %.2f GiB",
        pictures, count, batch, batch * one / GIB, budget / GIB,
    )  # fmt: skip
    directory.note(NOTE, batch)
    return batch


def _draw_all(
    directory: RunDirectory, size: Size, subject: FlaxSubject, tokens: np.ndarray, given: np.ndarray,
    names: Sequence[str], config: CompletionConfig, seed: int, precision: str, batch: int,
) -> np.ndarray:  # fmt: skip
    """Every batch that is not stored yet; int32 [N, S, n]."""
    first, last = span_of(given)
    found = []
    with bar("complete", len(tokens) * config.count * (last - first), "pixel") as progress:
        for number, start in enumerate(range(0, len(tokens), batch)):
            file, real = f"samples/{number:05d}.arrow", min(batch, len(tokens) - start)
            rows = [min(row, len(tokens) - 1) for row in range(start, start + batch)]  # all batches have one shape

            def done(pixels: int, real: int = real) -> None:
                progress.update(pixels * real * config.count)

            if directory.has_arrays(file):
                done(last - first)
            else:
                keys = sample_keys([key_for(seed, "completions", names[row]) for row in rows], config.count)
                drawn = complete(
                    subject.params, size, tokens[rows], given, keys, config.drawing, precision=precision, done=done
                )
                directory.save_arrays(file, {"tokens": drawn[:real].astype(np.int16)})
            found.append(directory.load_arrays(file)["tokens"].astype(np.int32))
    samples = np.concatenate(found)
    if samples.shape != (len(tokens), config.count, tokens.shape[1]):
        raise InputError("samples are not those of this run", file=directory.path, remedy="delete its folder samples")
    return samples


def _save_pictures(directory: RunDirectory, found: Completions, config: CompletionConfig, seed: int) -> None:
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
