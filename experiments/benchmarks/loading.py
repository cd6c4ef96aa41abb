"""Decoding and loading of images: images per second of each decoder, and how long extraction waits for data."""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from bias_jax.activations import plan_memory
from bias_jax.activations.extraction import Kept, extract_batches
from bias_jax.audit import load_subject
from bias_jax.data import CalibrationConfig, calibration_faces, image_batches, read_fairface
from bias_jax.data.dataset import FaceDataset
from bias_jax.data.decoding import THREADS, decode, decode_with_pil, fast_decoder
from bias_jax.devices import device_mesh
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import alternate, median, rates


@dataclass(frozen=True)
class LoadingBenchmark:
    """What is measured."""

    data_dir: str = ""  # FairFace folder (default: calibration faces as JPEG)
    images: int = 512  # images to decode
    extract: int = 128  # images to run through ResNet50
    batch_size: int = 32  # images per forward pass
    repeats: int = 5  # rounds of every measurement


def run_loading(options: LoadingBenchmark) -> Iterator[Line]:
    """Rates of decoders, and what extraction waits for."""
    dataset = _dataset(options)
    encoded = [dataset.read_bytes(i) for i in range(len(dataset))]
    average = sum(map(len, encoded)) / len(encoded)
    yield f"{len(encoded)} JPEG images of {decode(encoded[0]).shape[:2]} pixels, {average:,.0f} bytes on average"
    decoders: dict[str, Callable[[bytes], Any]] = {"PIL": decode_with_pil}
    if (fast := fast_decoder()) is not None:
        decoders["simplejpeg"] = fast
        same = all(np.array_equal(np.asarray(fast(data)), decode_with_pil(data)) for data in encoded)
        yield f"simplejpeg equals PIL on every pixel of every image: {same}"
    else:
        yield "simplejpeg is left out: it is not installed"
    rate = Column("rate", "images/s", ",.1f", 28)
    yield Table("Decoding", (Column("decoder", width=24), Column("threads", form="d"), rate))
    with ThreadPoolExecutor(THREADS) as pool:
        programs: dict[tuple[str, int], Callable[[], object]] = {}
        for name, decoder in decoders.items():
            programs[name, 1] = partial(_decode_all, decoder, encoded, map)
            programs[name, THREADS] = partial(_decode_all, decoder, encoded, pool.map)
        for (name, threads), seconds in alternate(programs, options.repeats).items():
            yield name, threads, rates(seconds, len(encoded))
    waits = [_waiting(dataset, options) for _ in range(max(options.repeats // 2, 1) + 1)][1:]  # the first compiles
    yield Table(
        "Extraction of ResNet50", (Column("images", form="d"), rate, Column("waiting for data", form=".2%", width=22))
    )
    count = min(options.extract, len(dataset))
    yield count, rates([total for _, total in waits], count), median([wait / total for wait, total in waits])


def _decode_all(decoder: Callable[[bytes], Any], encoded: list[bytes], apply: Callable) -> list:
    return list(apply(decoder, encoded))


def _dataset(options: LoadingBenchmark) -> FaceDataset:
    if options.data_dir:
        dataset = read_fairface(options.data_dir)
        return dataset.take(np.arange(min(options.images, len(dataset))))
    config = CalibrationConfig(per_group=-(-options.images // 24))
    faces = calibration_faces(config, 0).take(np.arange(options.images))

    def as_jpeg(i: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(decode(faces.read_bytes(i))).save(stream, "jpeg")
        return stream.getvalue()

    encoded = [as_jpeg(i) for i in range(len(faces))]
    return FaceDataset(**{**vars(faces), "read_bytes": lambda i: encoded[i]})


def _waiting(dataset: FaceDataset, options: LoadingBenchmark) -> tuple[float, float]:
    """Seconds spent waiting for batches, and in all, over one extraction of all default layers."""
    images = dataset.take(np.arange(min(options.extract, len(dataset))))
    size = decode(images.read_bytes(0)).shape[:2]
    subject = load_subject("resnet50", "random", images, size, 0)
    plan = plan_memory("resnet50", subject.params, images=len(images))
    rows = -(-len(images) // options.batch_size) * options.batch_size
    banks: Any = tuple(jnp.zeros((rows, layer.features)) for layer in plan.layers)
    wave = tuple(Kept(layer.name, layer.rule, layer.features, 0, layer.storage) for layer in plan.layers)
    position = jnp.zeros(1, jnp.int32)
    waited, begin = 0.0, time.perf_counter()
    before = begin
    for start, batch in image_batches(images, options.batch_size, size):
        if start:  # the first batch is start-up, not waiting
            waited += time.perf_counter() - before
        else:
            begin = time.perf_counter()
        banks, _, position = extract_batches(
            banks, subject.params, jax.device_put(batch), position,
            network="resnet50", wave=wave, transform=subject.transform, precision="float32", mesh=device_mesh(1),
        )  # fmt: skip
        jax.block_until_ready(banks)
        before = time.perf_counter()
    return waited, time.perf_counter() - begin
