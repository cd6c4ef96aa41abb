"""iGPT's weights by the names of OpenAI's checkpoints or of transformers' -> parameters; all or nothing.

Both are read by name, never by order: OpenAI's code makes keys before queries, transformers' matrix has queries first.
OpenAI's projections are [heads, channels, in], but the last one of attention [heads, channels, out]; all other
matrices, and all of transformers', are [in, out], like ours.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks.igpt import Size
from converters.contents import flatten, listed, shape_of
from converters.tf_checkpoint import TensorFlowCheckpoint
from converters.torchvision import no_floats, single_precision

OURS = "use weights of OpenAI's iGPT, or of transformers' ImageGPTForCausalImageModeling, of this very size"
# Masks in old files of transformers, known by their whole names: that of a bias ends alike.
MASKS = ("attn.bias", "attn.masked_bias")
WHOLE = slice(None)


class Piece(NamedTuple):
    """One array of a file, and where it goes."""

    key: str
    shape: tuple[int, ...]  # in the file
    leaf: str = ""  # name of our parameter; empty: the array must hold zeros, for which we have no parameter
    block: int | None = None  # of the blocks' parameters, which of them
    columns: slice = WHOLE  # of our parameter
    ours: Callable[[np.ndarray], np.ndarray] = np.asarray  # from the layout in the file to ours


def fit_igpt(
    name: str, size: Size, content: Any, *, ignore_extra: bool = False
) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    """Parameters of arrays under either set of names.

    Args:
        name: of the network, for messages.
        size: of the network.
        content: names -> arrays, possibly in further mappings or with something before every name. Of a
            `TensorFlowCheckpoint`, in which optimizers leave arrays of the same shapes, the others are never looked at.
        ignore_extra: leave out arrays that are no part of the network, instead of refusing them.

    Returns:
        The parameters, see `Size.shapes`; what was done to get there, for the reader; and whether there is a matrix
        of the output: of a bare ImageGPTModel, which has none, it is NaN.

    Raises:
        InputError: all faults, in one message.
    """
    lazily = isinstance(content, TensorFlowCheckpoint)
    arrays = content if lazily else {key: leaf.value for key, leaf in flatten(content).items()}
    found = _openai(arrays, size) or _transformers(arrays, size)
    if found is None:
        shown = ", ".join([*arrays][:6]) or "none"
        raise InputError(f"does not fit {name}: its names are {shown}", remedy=OURS)
    prefix, pieces, known = found
    headless = all(piece.leaf != "wtet" for piece in pieces)
    faults: list[str] = []
    params = _empty(size.shapes)
    for piece in pieces:
        value, fault = _read(piece, arrays)
        if fault:
            faults.append(f"{piece.key} {fault}")
        elif piece.leaf:
            target = params[piece.leaf] if piece.block is None else params["h"][piece.leaf][piece.block]
            target[..., piece.columns] = piece.ours(value)
    if headless:
        params["wtet"][:] = np.nan
    extra = sorted(set(arrays) - {piece.key for piece in pieces} - known)
    changes = [f"taken off every name: {prefix!r}"] if prefix else []
    if extra and (lazily or ignore_extra):
        changes.append(f"{'not read' if lazily else 'ignored'}: {_listed(extra)}")
    elif extra:
        faults.append(f"{_listed(extra)} {'is' if len(extra) == 1 else 'are'} not part of {name}")
    if faults:
        told = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else "")
        only_extra = len(faults) == 1 and extra and not lazily and not ignore_extra
        remedy = "--ignore-extra leaves that out" if only_extra else OURS
        raise InputError(f"does not fit {name}: {told}", remedy=remedy)
    return jax.device_put(params, may_alias=False), tuple(changes), not headless


def _openai(arrays: Mapping[str, Any], size: Size) -> tuple[str, list[Piece], set[str]] | None:
    """Prefix, pieces and what else may be there, if the names are those of OpenAI's checkpoints."""
    prefix = _prefix(arrays, "wtet", "/.")
    if prefix is None:
        return None
    d, projection = size.width, (size.heads, size.width // size.heads, size.width)

    def pieces() -> Iterator[Piece]:
        for leaf in ("sos", "wte", "wpe", "wtet"):
            yield Piece(leaf, size.shapes[leaf], leaf)
        yield Piece("ln_f/g", (d,), "ln_f")
        for i in range(size.blocks):
            for leaf in ("ln_1", "ln_2"):
                yield Piece(f"h{i}/{leaf}/g", (d,), leaf, i)
            for place, which in enumerate("qkv"):
                own = slice(place * d, (place + 1) * d)
                yield Piece(f"h{i}/attn/{which}_proj", projection, "c_attn", i, own, lambda a: a.reshape(d, d).T)
            yield Piece(f"h{i}/attn/c_proj", projection, "c_proj", i, ours=lambda a: a.reshape(d, d))
            yield Piece(f"h{i}/mlp/c_fc/w", (d, 4 * d), "c_fc", i)
            yield Piece(f"h{i}/mlp/c_proj/w", (4 * d, d), "c_out", i)

    return prefix, [piece._replace(key=prefix + piece.key) for piece in pieces()], set()


def _transformers(arrays: Mapping[str, Any], size: Size) -> tuple[str, list[Piece], set[str]] | None:
    """The same, if the names are those of transformers' ImageGPT."""
    prefix = _prefix(arrays, "wpe.weight", ".")
    if prefix is None:
        return None
    d, head = size.width, f"{prefix.removesuffix('transformer.')}lm_head.weight"

    def pieces() -> Iterator[Piece]:
        table = (size.colours + 1, d)
        yield Piece("wte.weight", table, "wte", ours=lambda a: a[:-1])
        yield Piece("wte.weight", table, "sos", ours=lambda a: a[-1])
        yield Piece("wpe.weight", (size.context, d), "wpe")
        yield Piece("ln_f.weight", (d,), "ln_f")
        matrices = {
            "attn.c_attn": ("c_attn", d, 3 * d), "attn.c_proj": ("c_proj", d, d), "mlp.c_fc": ("c_fc", d, 4 * d),
            "mlp.c_proj": ("c_out", 4 * d, d),
        }  # fmt: skip
        for i in range(size.blocks):
            for leaf in ("ln_1", "ln_2"):
                yield Piece(f"h.{i}.{leaf}.weight", (d,), leaf, i)
            for key, (leaf, inputs, outputs) in matrices.items():
                yield Piece(f"h.{i}.{key}.weight", (inputs, outputs), leaf, i)
                yield Piece(f"h.{i}.{key}.bias", (outputs,))

    masks = {f"{prefix}h.{i}.{mask}" for i in range(size.blocks) for mask in MASKS}
    found = [piece._replace(key=prefix + piece.key) for piece in pieces()]
    if head in arrays:
        found.append(Piece(head, (size.colours, d), "wtet"))
    return prefix, found, masks


def _prefix(arrays: Mapping[str, Any], ending: str, separators: str) -> str | None:
    """What stands before all names: the shortest that stands before this one."""
    found = [key.removesuffix(ending) for key in arrays if key.endswith(ending)]
    return min((prefix for prefix in found if prefix == "" or prefix[-1] in separators), key=len, default=None)


def _read(piece: Piece, arrays: Mapping[str, Any]) -> tuple[np.ndarray, str | None]:
    """The array in float32, or what is wrong with it."""
    empty = np.zeros(0, np.float32)
    if piece.key not in arrays:
        return empty, "is missing"
    array = arrays[piece.key]
    if fault := no_floats(array):
        return empty, fault
    if shape_of(array) not in (piece.shape, (1, *piece.shape)):  # some files have an axis of length 1 in front
        return empty, f"has shape {shape_of(array)} instead of {piece.shape}"
    value, fault = single_precision(np.reshape(array, piece.shape))
    if not fault and not piece.leaf and value.any():
        fault = "is not zero: iGPT as published has no biases, so this is another network or a fine-tuned one"
    return value, fault


def _empty(shapes: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _empty(s) if isinstance(s, dict) else np.empty(s, np.float32) for k, s in shapes.items()}


def _listed(names: list[str]) -> str:
    return listed(name.replace("/", ".") for name in names)
