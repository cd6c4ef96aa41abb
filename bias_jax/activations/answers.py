"""What a user's function gives of images, read as a network's output and its activations by name.

Functions answer ``{layer: array}`` or ``(output, {layer: array})``. Mappings may be nested, and what was noted several
times may be a tuple, as Flax's captured intermediates are: their names are joined with dots and numbered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bias_jax.activations.pooling import OUTPUT, PIXELS
from bias_jax.errors import InputError, quoted

FORM = "return {layer: array}, or (output, {layer: array})"
SHAPES = "give [N, D], tokens [N, T, D] or feature maps [N, H, W, U] of all N images"
SILENT = ("intermediates", "__call__")  # parts of the names of Flax's captured intermediates that say nothing


class Answer(NamedTuple):
    """What a function gave, as it gave it."""

    output: Any
    activations: dict[str, Any]  # by name
    ordered: bool  # whether their order means something


def named_answer(answer: Any, of: str) -> Answer:
    """An answer's parts and their names; their arrays are not looked at.

    Args:
        answer: of the function.
        of: name of the network, for messages.

    Raises:
        InputError: the answer has another form, or a name is no text, is reserved or is there twice.
    """
    output, given = None, answer
    if isinstance(answer, tuple | list) and len(answer) == 2:
        output, given = answer
    if not isinstance(given, Mapping):
        found = f"a {type(answer).__name__}"
        if isinstance(answer, tuple | list):
            found += f" of {', '.join(type(part).__name__ for part in answer) or 'nothing'}"
        raise InputError(f"{of} answers with {found}, not with activations by name", remedy=FORM)
    found_by_name: dict[str, Any] = {}
    for name, value in _flat(given, (), of):
        if name in (PIXELS, OUTPUT):
            remedy = FORM if name == OUTPUT else "call it otherwise"
            raise InputError(f"{of} names a layer {name!r}, which is the name of something else here", remedy=remedy)
        if name in found_by_name:
            raise InputError(f"{of} names two layers {name!r}", remedy="give each a name of its own")
        found_by_name[name] = value
    if not found_by_name:
        raise InputError(f"{of} answers with no activations", remedy=FORM)
    return Answer(output, found_by_name, not isinstance(given, nnx.State))


def read_answer(
    answer: Answer, images: int, of: str, *, channels_first: bool = False
) -> tuple[jax.Array | None, dict[str, jax.Array]]:
    """The output [N, C], if there is one, and the activations [N, D] or [N, H, W, U] by name, in the order given.

    Args:
        answer: of `named_answer`; arrays of JAX, or whatever NumPy reads.
        images: N.
        of: name of the network, for messages.
        channels_first: feature maps are [N, U, H, W].

    Returns:
        Tokens [N, T, D] become their mean. What is not floating becomes float32.

    Raises:
        InputError: an array is none, or has not a row for every image.
    """
    found = {
        name: _activation(value, images, f"{of}: layer {quoted(name)}", channels_first)
        for name, value in answer.activations.items()
    }
    return None if answer.output is None else _output(answer.output, images, of), found


def blocks(names: Sequence[str], repeated: Callable[[str], bool]) -> tuple[str, ...]:
    """Of names with dots those to look at where nobody chooses: blocks of a network, not their parts.

    Args:
        names: of modules that are called, in depth order.
        repeated: whether a name is that of a member of a list of modules.

    A member of a list stands for all that is inside it. What holds such lists is left out, and so is what is inside
    something else.

    >>> names = ["stem", "stem.conv", "body.blocks.0.conv", "body.blocks.0", "body", "head"]
    >>> blocks(names, lambda name: name.endswith(".0"))
    ('stem', 'body.blocks.0', 'head')
    """
    members = {name for name in names if repeated(name)}
    holders = {parent for name in members if not members & {*_parents(name)} for parent in _parents(name)}
    tops = {name for name in names if name not in holders}
    return tuple(name for name in names if name in tops and not any(parent in tops for parent in _parents(name)))


def _parents(name: str) -> list[str]:
    """
    >>> _parents("a.b.c")
    ['a', 'a.b']
    """
    parts = name.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts))]


def _output(value: Any, images: int, of: str) -> jax.Array:
    """The output [N, C]."""
    output = _array(value, f"{of}: its output")
    if output.ndim != 2 or output.shape[0] != images:
        problem = f"{of}: its output has shape {list(output.shape)} for {images} images"
        raise InputError(problem, remedy="give logits [N, C], or None for no output")
    return output


def _flat(given: Mapping[Any, Any], path: tuple[str, ...], of: str) -> Iterator[tuple[str, Any]]:
    """Names and arrays of a mapping, of those inside it, and of tuples in it."""
    for key, value in given.items():
        key = str(key) if isinstance(given, nnx.State) else key  # numbers in lists of modules
        if not isinstance(key, str):
            problem = f"{of} names a layer {quoted(repr(key))}, which is no text"
            raise InputError(problem, remedy="use strings for names")
        names = path if key in SILENT else (*path, key)
        value = value.get_value() if isinstance(value, nnx.Variable) else value
        if isinstance(value, Mapping):
            yield from _flat(value, names, of)
        elif names:  # else it is what the whole network gives
            for number, one in enumerate(value if isinstance(value, tuple | list) else [value]):
                yield ".".join(names) + (f"_{number}" if number else ""), one


def _activation(value: Any, images: int, what: str, channels_first: bool) -> jax.Array:
    x = _array(value, what)
    if x.ndim not in (2, 3, 4) or x.shape[0] != images or 0 in x.shape:
        raise InputError(f"{what} has shape {list(x.shape)} for {images} images", remedy=SHAPES)
    if x.ndim == 3:
        return x.astype(jnp.float32).mean(axis=1)
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 and channels_first else x


def _array(value: Any, what: str) -> jax.Array:
    """Floats of any width as they are; whole numbers and truth values as float32."""
    try:
        array = value if isinstance(value, jax.Array) else np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} is no array ({type(error).__name__}: {error})", remedy=SHAPES) from None
    if jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.asarray(array, jnp.float32) if array.dtype == np.float64 else jnp.asarray(array)
    if not (jnp.issubdtype(array.dtype, jnp.integer) or array.dtype == bool):
        raise InputError(f"{what} is no array of numbers ({quoted(str(array.dtype))})", remedy=SHAPES)
    return jnp.asarray(array).astype(jnp.float32)
