"""Completions of iGPT: pixels per second, against transformers' `generate` with its cache.

Both have the same random weights in float32, get the same half pictures and draw at temperature 1, several samples of
each picture. Times hold what is given at the beginning and every pixel after it. Peers take fewer pictures at a time:
their rate does not depend on that beyond a few.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.completions import Drawing, Span, batch_bytes, complete, sample_keys
from bias_jax.completions.batches import sequence_bytes
from bias_jax.errors import InputError
from bias_jax.networks import NETWORKS, igpt, random_params
from bias_jax.networks.igpt import SIZES, Size
from bias_jax.results import device, versions
from converters.original import import_transformers
from experiments.benchmarks.peers import check_names, require, torch_in_words, use_torch
from experiments.benchmarks.report import Column, Line, Table
from experiments.benchmarks.timing import rates, ratio, timed

COUNTED = "completions-benchmark"  # name of a network of fewer blocks, meanwhile


@dataclass(frozen=True)
class CompletionsBenchmark:
    """What is measured."""

    network: str = "igpt_s"  # whose size
    blocks: int = 0  # its blocks (default: all)
    images: int = 8  # pictures at a time
    samples: int = 8  # completions of each
    rows: int = 16  # rows of 32 pixels that are given
    pixels: int = 512  # that are drawn behind them
    peer_images: int = 1  # pictures at a time, of the peer
    repeats: int = 1  # rounds, in alternation; medians are printed
    peers: tuple[str, ...] = ("transformers",)  # transformers; --peers alone measures this package only

    def __post_init__(self) -> None:
        check_names(self.peers, ("transformers",))
        if self.network not in SIZES:
            raise InputError(f"{self.network} draws no pictures", remedy=f"choose one of {', '.join(SIZES)}")
        sizes = self.images, self.samples, self.rows, self.pixels, self.peer_images, self.repeats
        if min(sizes) < 1 or self.blocks < 0 or self.rows * 32 + self.pixels > 1024:
            problem = "sizes must be positive, and rows and pixels no more than the picture"
            raise InputError(problem, remedy="see --help")


def run_completions(config: CompletionsBenchmark) -> Iterator[Line]:
    """One row for each program."""
    require(config.peers)
    size = SIZES[config.network]
    size = replace(size, blocks=config.blocks or size.blocks)
    NETWORKS[COUNTED] = igpt.definition(size)
    try:
        params = random_params(COUNTED, 0, jnp.zeros((1, size.context), jnp.int32))
    finally:
        del NETWORKS[COUNTED]
    start, last = config.rows * size.side, config.rows * size.side + config.pixels
    given = (np.arange(size.context) < start) | (np.arange(size.context) >= last)
    tokens = np.random.default_rng(0).integers(0, size.colours, (config.images, size.context)).astype(np.int32)
    yield f"{device()}, jax {versions()['jax']}"
    yield f"{config.network}, {size.blocks} blocks; {start} pixels given, {config.pixels} drawn at temperature 1"
    yield from _costs(size, start, last, config)
    keys = sample_keys(list(jax.random.split(jax.random.key(0), config.images)), config.samples)
    programs: dict[str, Any] = {
        "bias-jax": partial(complete, params, size, tokens, given, keys, Drawing(temperature=1.0))
    }
    if config.peers:
        torch, place = use_torch()
        yield f"{torch_in_words(torch, place)}, float32"
        model = transformers_model(torch, size, params, place)
        prompts = tokens[: config.peer_images, :start]
        programs["transformers"] = partial(generate, torch, model, prompts, config.samples, config.pixels)
    yield Table("Completions", (
        Column("program"), Column("sequences", form="d"), Column("pixels", "pixels/s", ".1f", 20),
        Column("first call", "s", ".1f"), Column("ratio", form=".1f", width=20),
    ))  # fmt: skip
    first = {name: timed(program) for name, program in programs.items()}
    seconds = {name: [timed(program)] for name, program in programs.items()}
    for _ in range(config.repeats - 1):
        for name, program in programs.items():
            seconds[name].append(timed(program))
    each = {"bias-jax": config.images * config.samples, "transformers": config.peer_images * config.samples}
    per_pixel = {name: [s / each[name] for s in own] for name, own in seconds.items()}
    for name, own in seconds.items():
        times = ratio(per_pixel["bias-jax"], per_pixel[name])
        yield name, each[name], rates(own, each[name] * config.pixels), first[name], times


def _costs(size: Size, start: int, last: int, config: CompletionsBenchmark) -> Iterator[Line]:
    """What a pixel costs at least: products, and what is read from memory."""
    length, d, blocks = (start + last) / 2, size.width, size.blocks
    flop = 2 * 12 * blocks * d**2 + 4 * blocks * d * length + 2 * size.colours * d
    weights = 4 * (12 * blocks * d**2 + size.colours * d)
    shared, own = sequence_bytes(size, start), sequence_bytes(size, 1) * (last - start) / 2
    yield (f"a pixel in the middle: {flop / 1e9:.3f} GFLOP; it reads {own / 1e6:.1f} MB of its own keys and values, "
           f"its share of the picture's {shared / 1e6:.1f} MB and of the {weights / 1e6:.0f} MB of weights; "
           f"without sharing, {(own + shared) / 1e6:.1f} MB")  # fmt: skip
    total = config.images * batch_bytes(size, Span(start, last), config.samples) / 2**30
    yield f"memory of {config.images} pictures with {config.samples} samples each: {total:.2f} GiB"


def transformers_model(torch: Any, size: Size, params: Any, place: str) -> Any:
    """transformers' network with our parameters."""
    transformers = import_transformers()
    config = transformers.ImageGPTConfig(
        vocab_size=size.colours + 1, n_positions=size.context, n_embd=size.width, n_layer=size.blocks,
        n_head=size.heads,
    )  # fmt: skip
    with torch.device("meta"):  # the weights are about to be replaced
        model = transformers.ImageGPTForCausalImageModeling(config)
    own = jax.device_get(params)
    found = {"transformer.wte.weight": np.concatenate([own["wte"], own["sos"][None]]), "lm_head.weight": own["wtet"],
             "transformer.wpe.weight": own["wpe"], "transformer.ln_f.weight": own["ln_f"]["rms"]}  # fmt: skip
    for i, block in own["h"].items():
        at, attention = f"transformer.h.{i}.", block["attn"]
        matrices = {
            "attn.c_attn": np.concatenate([attention[f"{which}_proj"] for which in "qkv"], axis=1),
            "attn.c_proj": attention["c_proj"], "mlp.c_fc": block["mlp"]["c_fc"], "mlp.c_proj": block["mlp"]["c_proj"],
        }  # fmt: skip
        for name, matrix in matrices.items():
            found |= {f"{at}{name}.weight": matrix, f"{at}{name}.bias": np.zeros(matrix.shape[1], np.float32)}
        found |= {f"{at}ln_1.weight": block["ln_1"], f"{at}ln_2.weight": block["ln_2"]}
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in found.items()}
    # Masks are no weights: they are built, not read.
    masks = {name: torch.tril(torch.ones(value.shape, dtype=value.dtype)) for name, value in model.named_buffers()}
    model.load_state_dict(tensors, strict=False, assign=True)
    for name, mask in masks.items():
        module, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(module), leaf, mask)
    return model.eval().to(place)


def generate(
    torch: Any, model: Any, tokens: np.ndarray, samples: int, pixels: int, *, greedy: bool = False
) -> np.ndarray:
    """Completions by transformers, int [N, S, p + pixels], of the first p colours [N, p]."""
    start = np.full((len(tokens), 1), model.config.vocab_size - 1)
    fed = torch.from_numpy(np.concatenate([start, tokens], axis=1).astype(np.int64)).to(model.device)
    drawing: dict[str, Any] = {"do_sample": False}
    if not greedy:
        drawing = {"do_sample": True, "temperature": 1.0, "top_k": 0, "num_return_sequences": samples}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.generate(
            input_ids=fed, max_new_tokens=pixels, use_cache=True, pad_token_id=0, eos_token_id=None, **drawing
        )
    return found[:, 1:].cpu().numpy().reshape(len(tokens), -1, found.shape[1] - 1)
