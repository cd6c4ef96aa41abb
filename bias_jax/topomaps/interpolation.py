"""How the values of units in the plane become an image."""

from dataclasses import dataclass

import jax
import numpy as np
from matplotlib.tri import Triangulation


@dataclass(frozen=True)
class Interpolation:
    """Linear interpolation from units to pixels, decided once per layout and then applied to any values."""

    corners: np.ndarray  # units at the corners of the triangle around each pixel, int32 [pixels, 3]
    shares: np.ndarray  # barycentric weights, float32 [pixels, 3]; NaN outside the hull of the units
    side: int

    def images(self, values: jax.Array | np.ndarray) -> np.ndarray:
        """Values [G, U] -> images float32 [G, side, side]; NaN outside the hull."""
        found = np.asarray(jax.device_get(values), np.float32)
        images = (found[:, self.corners] * self.shares[None]).sum(axis=2)
        return images.reshape(-1, self.side, self.side)


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


def rounded(positions: np.ndarray) -> np.ndarray:
    """Positions [U, 2] of the unit square moved into the disc inside it; sides become arcs, order is kept.

    The elliptical mapping x sqrt(1 - y^2 / 2), y sqrt(1 - x^2 / 2) of the square from -1 to 1.
    """
    y, x = (2.0 * positions - 1.0).T
    return 0.5 + 0.5 * np.stack([y * np.sqrt(1.0 - x**2 / 2.0), x * np.sqrt(1.0 - y**2 / 2.0)], axis=1)
