"""Where each unit of a layer lies in the plane, and how the values of units become an image."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.tri import Triangulation

from bias_jax.topomaps.som import FittedMap, SelfOrganizingMap


def som_layout(units: jax.Array, *, epochs: int, seed: int) -> tuple[np.ndarray, FittedMap]:
    """Lay out units [U, D] on a square self-organizing map of side floor(sqrt(U)) + 1.

    Returns:
        Positions [U, 2] in the unit square, and the map. Units that share a node stand evenly on a circle of
        radius 1/5 node around it, in the order of their numbers.
    """
    side = math.isqrt(units.shape[0]) + 1
    fitted = SelfOrganizingMap(side, side, epochs=epochs).fit(units, seed=seed)
    winners = jax.device_get(fitted.winners(units))
    positions = winners.astype(np.float64)
    node = winners[:, 0] * side + winners[:, 1]
    for shared in np.unique(node):
        members = np.flatnonzero(node == shared)
        if len(members) > 1:
            angle = 2.0 * np.pi * np.arange(len(members)) / len(members)
            positions[members] += 0.2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    span = np.ptp(positions, axis=0)
    return (positions - positions.min(axis=0)) / np.where(span > 0, span, 1.0), fitted


@dataclass(frozen=True)
class Interpolation:
    """Linear interpolation from units to pixels, decided once per layout and then applied to any values."""

    corners: np.ndarray  # units at the corners of the triangle around each pixel, int32 [pixels, 3]
    shares: np.ndarray  # barycentric weights, float32 [pixels, 3]; NaN outside the hull of the units
    side: int

    def images(self, values: jax.Array) -> jax.Array:
        """Values [G, U] -> images [G, side, side]; NaN outside the hull."""
        return _interpolate(jnp.asarray(values), *jax.device_put((self.corners, self.shares))).reshape(
            -1, self.side, self.side
        )


@jax.jit
def _interpolate(values: jax.Array, corners: jax.Array, shares: jax.Array) -> jax.Array:
    return (values[:, corners] * shares).sum(axis=2)


def triangulate(positions: np.ndarray, side: int = 100) -> Interpolation:
    """Delaunay triangulation of positions [U, 2] in the unit square, sampled at side x side pixel centres.

    First axis of the positions runs down the image, the second to the right.
    """
    axis = (np.arange(side) + 0.5) / side
    px, py = (a.ravel() for a in np.meshgrid(axis, axis))
    # A jitter far below a pixel keeps units on grid lines from degenerate triangles.
    y, x = (positions + 1e-6 * np.random.default_rng(0).standard_normal(positions.shape)).T
    try:
        mesh = Triangulation(x, y)
    except (ValueError, RuntimeError):  # fewer than three units, or all on one line: the nearest unit everywhere
        nearest = (np.square(px[:, None] - x) + np.square(py[:, None] - y)).argmin(axis=1)
        corners = np.repeat(nearest[:, None], 3, axis=1).astype(np.int32)
        return Interpolation(corners, np.full(corners.shape, 1.0 / 3.0, np.float32), side)
    triangle = np.asarray(mesh.get_trifinder()(px, py), dtype=np.int64)
    corners = mesh.triangles[triangle]
    (x0, x1, x2), (y0, y1, y2) = x[corners].T, y[corners].T
    area = (y1 - y2) * (x0 - x2) + (x2 - x1) * (y0 - y2)
    first = ((y1 - y2) * (px - x2) + (x2 - x1) * (py - y2)) / area
    second = ((y2 - y0) * (px - x2) + (x0 - x2) * (py - y2)) / area
    shares = np.stack([first, second, 1.0 - first - second], axis=1)
    shares[triangle < 0] = np.nan
    return Interpolation(corners.astype(np.int32), shares.astype(np.float32), side)
