"""`complete_pictures`: pictures and a generative network in; a folder with what it draws in their place out.

A picture's samples depend on the seed, its name and their number, not on what else is drawn. How many pictures are one
batch is decided by the memory there is, once for a folder, since it decides roundings. A batch is stored when it is
done; a run that was interrupted continues with the next.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np

from bias_jax.activations.memory import GIB, default_budget_gib
from bias_jax.audit.completed import CompletionConfig, Completions, save_pictures
from bias_jax.audit.images import look
from bias_jax.audit.subjects import RANDOM, FlaxSubject, load_subject
from bias_jax.completions import batch_bytes, check, complete, given_pixels, sample_keys, span_of
from bias_jax.data import FaceDataset, image_batches
from bias_jax.errors import InputError
from bias_jax.networks import split
from bias_jax.networks.igpt import SIZES, Size
from bias_jax.networks.preparation import to_json
from bias_jax.progress import bar
from bias_jax.randomness import key_for
from bias_jax.results import RunDirectory, device, exclusive, versions

log = logging.getLogger("bias_jax.audit")
NOTE = "pictures_per_batch"  # in run.json
PREPARED = 64  # pictures that are brought to tokens at once


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
        save_pictures(directory, found, config, seed)
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
