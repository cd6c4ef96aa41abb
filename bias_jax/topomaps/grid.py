"""The grid of a self-organizing map: where nodes lie, which are neighbours, how far an update reaches, how it shrinks.

Geometry and schedules are those of MiniSom 2.3, so that results can be compared number by number.
"""

from typing import Any, Literal, get_args

import numpy as np

Topology = Literal["rectangular", "hexagonal"]
Neighbourhood = Literal["gaussian", "bubble"]
Decay = Literal["exponential", "asymptotic", "linear", "inverse"]


def check_choices(topology: str, neighbourhood: str, decay: str) -> None:
    """Refuse names that do not exist.

    Raises:
        ValueError: naming the choices.
    """
    for kind, given in ((Topology, topology), (Neighbourhood, neighbourhood), (Decay, decay)):
        if given not in get_args(kind):
            raise ValueError(f"{given!r} is none of {', '.join(get_args(kind))}")


def node_positions(rows: int, cols: int, topology: Topology) -> np.ndarray:
    """Euclidean positions [K, 2] of the nodes, row by row; direct neighbours are at distance 1.

    On a hexagonal grid every second column, counted from the last, is moved up by half a node.
    """
    row, column = (a.ravel().astype(float) for a in np.indices((rows, cols)))
    if topology == "hexagonal":
        row -= 0.5 * ((cols - 1 - column) % 2 == 0)
        column *= np.sqrt(3.0) / 2.0
    return np.stack([row, column], axis=1)


def adjacency(rows: int, cols: int, topology: Topology) -> np.ndarray:
    """Which nodes are neighbours, bool [K, K]: eight on a rectangular grid, six on a hexagonal one."""
    at = node_positions(rows, cols, topology)
    distance = np.sqrt(np.square(at[:, None] - at).sum(axis=2))
    return (distance > 0) & (distance < (1.01 if topology == "hexagonal" else 1.42))


def influence(apart: Any, sigma: Any, neighbourhood: Neighbourhood, numpy: Any = np) -> Any:
    """How strongly nodes are updated that lie `apart` [..., axes] from the winner, in nodes: [...].

    A bubble reaches the nodes fewer than sigma rows and columns away, on either grid.

    Args:
        apart: differences of positions; for a bubble of rows and columns, also on a hexagonal grid.
        sigma: width.
        neighbourhood: its form.
        numpy: NumPy, or jax.numpy inside a compiled program.
    """
    if neighbourhood == "bubble":
        return (numpy.abs(apart) < sigma).all(axis=-1).astype(np.float32)
    return numpy.exp(-numpy.square(apart).sum(axis=-1) / (2.0 * numpy.square(sigma)))


def decayed(decay: Decay, steps: int, sigma: float, sigma_end: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Neighbourhood and learning rate at each of `steps` steps, [steps].

    exponential: sigma falls geometrically to sigma_end, the rate stays. asymptotic: both fall to a third. linear and
    inverse: sigma to 1 and the rate to 0, in a line or as a hyperbola.
    """
    t = np.arange(steps)
    if decay == "exponential":
        return sigma * (sigma_end / sigma) ** (t / max(steps - 1, 1)), np.full(steps, rate)
    if decay == "asymptotic":
        fall = 1.0 + 2.0 * t / steps
        return sigma / fall, rate / fall
    if decay == "linear":
        return sigma + t * (1.0 - sigma) / steps, rate * (1.0 - t / steps)
    return sigma / (1.0 + t * (sigma - 1.0) / steps), rate / (1.0 + 100.0 * t / steps)
