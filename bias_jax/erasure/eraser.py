"""A fitted eraser: an affine map of low rank that can be applied to any features of its layer, kept and read again."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.arithmetic import matmul
from bias_jax.errors import InputError, writing

BLOCK = 1024  # images that are erased at once
FIELDS = "mean", "left", "right", "removed"


@dataclass(frozen=True, eq=False)
class Eraser:
    """x -> x - left right' (x - mean), for features x of D dimensions.

    ``right' left`` is the identity, so that erasing twice is erasing once.
    """

    mean: np.ndarray  # of the features it was fitted to, float64 [D]
    left: np.ndarray  # directions that are taken away, float64 [D, r]
    right: np.ndarray  # how much of each there is in x - mean, float64 [D, r]
    removed: float  # mean squared length of what is taken away, as a share of the variance; in the fitted images

    @property
    def rank(self) -> int:
        """Number of directions r that are taken away, at most classes - 1."""
        return self.left.shape[1]

    def apply(self, features: Any) -> Any:
        """Features [N, D] or [D] without the concept.

        They stay where they are, on the host (NumPy, computed in float64) or on their device (computed in float32, or
        in float64 if they are), and keep their dtype.

        Raises:
            InputError: they have another width.
        """
        if np.ndim(features) not in (1, 2) or np.shape(features)[-1] != len(self.mean):
            problem = f"the eraser takes features [N, {len(self.mean)}], got {list(np.shape(features))}"
            raise InputError(problem, remedy="give the layer and pooling that it was fitted to")
        if isinstance(features, jax.Array):
            return self._on_device(features)
        given = np.asarray(features)
        rows = given.reshape(-1, given.shape[-1])
        kept = np.empty(rows.shape, given.dtype if given.dtype.kind == "f" else np.float64)
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK].astype(np.float64)
            kept[start : start + BLOCK] = block - (block - self.mean) @ self.right @ self.left.T
        return kept.reshape(given.shape)

    def factors(self, dtype: Any, place: Any = None) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Mean, left and right on a device or sharding, for `erase`."""
        return tuple(jax.device_put(a.astype(dtype), place) for a in (self.mean, self.left, self.right))

    def _on_device(self, features: jax.Array) -> jax.Array:
        if not jnp.issubdtype(features.dtype, jnp.floating):
            raise InputError(f"features must be real numbers, got {features.dtype}", remedy="convert them to float32")
        sharding, devices = features.sharding, features.devices()
        place: Any = next(iter(devices))
        if isinstance(sharding, jax.NamedSharding):
            place = jax.NamedSharding(sharding.mesh, jax.P())
        double = features.dtype == np.float64
        with jax.enable_x64(double):
            return _apply(features, *self.factors(np.float64 if double else np.float32, place))

    def save(self, path: str | Path) -> None:
        """Write it to one file, NumPy's npz.

        Raises:
            WriteError: the file cannot be written.
        """
        with writing(path), Path(path).open("wb") as stream:
            np.savez(stream, mean=self.mean, left=self.left, right=self.right, removed=np.asarray(self.removed))


def load_eraser(path: str | Path) -> Eraser:
    """Read what `Eraser.save` wrote.

    Raises:
        InputError: the file is absent, or holds something else.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            mean, left, right, removed = (file[name] for name in FIELDS)
    except Exception as error:  # NumPy and zipfile raise many kinds on damaged files
        raise InputError(f"cannot be read ({error})", file=path, remedy="give a file that Eraser.save wrote") from None
    real = all(a.dtype.kind == "f" and np.isfinite(a).all() for a in (mean, left, right, removed))
    if not real or mean.ndim != 1 or left.shape != right.shape or left.ndim != 2 or len(left) != len(mean):
        raise InputError("holds no eraser", file=path, remedy="give a file that Eraser.save wrote")
    return Eraser(mean, left, right, float(removed))


def erase(x: jax.Array, mean: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """Erase rows [..., D] in the arithmetic of the factors; the dtype of x is kept."""
    wide = x.astype(mean.dtype)
    centred = wide - mean.reshape((1,) * (x.ndim - 1) + (-1,))
    return (wide - matmul(matmul(centred, right), left.T)).astype(x.dtype)


@partial(jax.jit)
def _apply(x: jax.Array, mean: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    if x.ndim == 1 or len(x) <= BLOCK:
        return erase(x, mean, left, right)
    return jax.lax.map(lambda row: erase(row, mean, left, right), x, batch_size=BLOCK)
