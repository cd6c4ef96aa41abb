"""The two principal axes of a table, by subspace iteration: matrix products only."""

import numpy as np

COLUMNS = 8  # iterated together: the first two converge as (8th / 2nd eigenvalue), not as (3rd / 2nd)


def principal_axes(x: np.ndarray, rng: np.random.Generator, iterations: int = 30) -> np.ndarray:
    """Orthonormal principal axes of x [N, D], float32 [D, 2]; the largest entry of each is positive.

    Where x has fewer than two axes, what is missing is zero. On the host: iterations are short, and their
    decompositions are long to compile.
    """
    x = np.asarray(x, np.float32)
    centred = x - x.mean(axis=0)
    axes = rng.standard_normal((x.shape[1], min(COLUMNS, *x.shape)), np.float32)
    for _ in range(iterations):
        axes = np.linalg.qr(centred.T @ (centred @ axes))[0]
    scores = centred @ axes
    axes = (axes @ np.linalg.eigh(scores.T @ scores)[1][:, ::-1])[:, :2]
    strongest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    return np.pad(axes * np.sign(strongest), ((0, 0), (0, 2 - axes.shape[1])))
