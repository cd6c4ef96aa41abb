"""LEACE: least-squares concept erasure (Belrose et al. 2023, arXiv 2306.03819).

Of all affine maps after which labels and features do not covary, it changes the features least. Then no linear function
of them predicts the labels better than their frequencies do, whatever convex loss it is trained for. In the axes of the
features (see `spectrum`), with variances d: whitened means of the classes span the columns Q, and

    left = V sqrt(d) Q        right = V Q / sqrt(d)        x -> x - left right' (x - mean)

With shrinkage, d are the variances of a covariance that is drawn towards a multiple of the identity by as much as is
best for its number of images (Bodnar, Gupta & Parolya 2014); where these are at least as many as dimensions, a Cholesky
factor of it does what the axes would (see `solved`). What is erased from the fitted images is erased as
completely, with a little more change than necessary; from other images it is erased better, the more so the fewer
images there are for each dimension.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bias_jax.erasure.eraser import Eraser
from bias_jax.erasure.solved import linear_shrinkage, solved_erasers, spanned
from bias_jax.erasure.spectrum import Spectrum, spectrum
from bias_jax.errors import InputError


def fit_eraser(features: Any, labels: Any, *, shrinkage: bool = True) -> Eraser:
    """Fit the map that erases one concept.

    Args:
        features: [N, D], NumPy or JAX, finite; float32, float64 or any other real numbers. D may be far above N.
        labels: class of each image, any whole numbers [N].
        shrinkage: of the covariance, see the module. False: the covariance of these images as it is, by its
            pseudo-inverse: the smallest change of these images, and for D >= N hardly any effect on others.

    Raises:
        InputError: shapes do not fit, features are not finite, or there is one class only.

    >>> features = np.array([[0.0, 0.0], [0.0, 1.0], [2.0, 0.0], [2.0, 1.0]])
    >>> fit_eraser(features, [0, 0, 1, 1], shrinkage=False).apply(features).round(6).tolist()
    [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    return fit_erasers(features, {"labels": labels}, shrinkage=shrinkage)["labels"]


def fit_erasers(
    features: Any,
    labels: Mapping[str, Any],
    *,
    shrinkage: bool = True,
    random: Mapping[str, tuple[str, int]] | None = None,
) -> dict[str, Eraser]:
    """Fit several erasers to the same features, which are decomposed once.

    Args:
        features: see `fit_eraser`.
        labels: name -> class of each image [N].
        shrinkage: see `fit_eraser`.
        random: name -> (one of the labels, seed): erasers of its rank, of directions that are drawn at random after
            whitening, where all have the same variance: what it costs to erase nothing in particular.

    Raises:
        InputError: see `fit_eraser`.
    """
    values = _checked_features(features)
    indicators = {name: _indicators(name, given, len(values)) for name, given in labels.items()}
    with jax.enable_x64(True):
        # Directions drawn at random are drawn among the axes that have variance, which a factor does not know.
        if shrinkage and not random and values.shape[1] <= len(values):
            solved = solved_erasers(values, indicators)
            if solved is not None:
                return solved
        axes = spectrum(values)
        scale = _scale(axes, shrinkage)
        found = {}
        for name, columns in indicators.items():
            products = np.asarray(jax.device_get(axes.against(jax.device_put(columns))))
            found[name] = _eraser(axes, scale, spanned(scale.signal[:, None] * products))
        for name, (like, seed) in (random or {}).items():
            drawn = np.random.default_rng(seed).standard_normal((len(scale.roots), found[like].rank))
            found[name] = _eraser(axes, scale, spanned(np.where(scale.roots[:, None] > 0, drawn, 0.0)))
        return found


class _Scale(NamedTuple):
    """Lengths along the axes, float64 [m] on the host."""

    roots: np.ndarray  # singular values of the centred features
    deviations: np.ndarray  # roots of the variances d that features are whitened by; 0: the axis is not there

    @property
    def signal(self) -> np.ndarray:
        """What U' z is multiplied by to be whitened."""
        kept = self.deviations > 0
        return np.where(kept, self.roots / np.where(kept, self.deviations, 1.0), 0.0)


def _scale(axes: Spectrum, shrinkage: bool) -> _Scale:
    images, width = axes.features.shape
    roots = np.asarray(jax.device_get(axes.roots))
    variances = np.square(roots) / (images - 1)
    if shrinkage and roots.any():
        share, level = linear_shrinkage(float(variances.sum()), float(np.square(variances).sum()), width, images)
        variances = np.where(roots > 0, share * variances + level, 0.0)
    return _Scale(roots, np.sqrt(variances))


def _eraser(axes: Spectrum, scale: _Scale, basis: np.ndarray) -> Eraser:
    deviations = scale.deviations[:, None]
    inverse = np.where(deviations > 0, 1.0 / np.where(deviations > 0, deviations, 1.0), 0.0)
    both = np.concatenate([deviations * basis, inverse * basis], axis=1)
    mean, factors = jax.device_get((axes.mean, axes.in_features(jax.device_put(both))))
    left, right = np.asarray(factors[:, : basis.shape[1]]), np.asarray(factors[:, basis.shape[1] :])
    # Coordinates of the fitted images along `right` are U spread; what is taken away are these times `left`.
    spread = basis * inverse * scale.roots[:, None]
    taken = (np.square(deviations) * basis).T @ basis * (spread.T @ spread)
    whole = np.square(scale.roots).sum()
    return Eraser(np.asarray(mean), left, right, float(taken.sum() / whole) if whole > 0 else 0.0)


def _checked_features(given: Any) -> jax.Array:
    """Features on their device, or on the first one.

    Raises:
        InputError: see `fit_eraser`.
    """
    values = given if isinstance(given, jax.Array) else np.asarray(given)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"features must be [N, D], got {list(values.shape)}", remedy="give one row an image")
    if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise InputError(f"features must be real numbers, got {values.dtype}", remedy="convert them to float32")
    if not isinstance(values, jax.Array):
        values = values if values.dtype.kind == "f" else values.astype(np.float64)
        with jax.enable_x64(values.dtype == np.float64):
            values = jax.device_put(values)
    finite = jax.device_get(_finite_rows(values))
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InputError(f"features of row {row} are not finite", remedy="leave it out, or check the weights")
    return values


@jax.jit
def _finite_rows(values: jax.Array) -> jax.Array:
    return jnp.isfinite(values).all(axis=1)


def _indicators(name: str, given: Any, images: int) -> np.ndarray:
    """Centred one-hot labels, float64 [N, C].

    Raises:
        InputError: see `fit_eraser`.
    """
    labels = np.asarray(jax.device_get(given))
    if labels.shape != (images,):
        problem = f"{name} have the shape {list(labels.shape)}, but there are {images} rows of features"
        raise InputError(problem, remedy="give one label a row")
    if labels.dtype.kind not in "biuf" or (labels != np.floor(labels)).any():
        raise InputError(f"{name} must be whole numbers, got {labels.dtype}", remedy="number the classes")
    classes, number = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        problem = f"{name} are all {classes[0]:g}: there is nothing to erase between classes"
        raise InputError(problem, remedy="give images of at least two classes")
    hot = np.eye(len(classes))[number]
    return hot - hot.mean(axis=0)
