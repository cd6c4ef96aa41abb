"""LEACE by its authors' package, one target after the other."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from experiments.benchmarks.peers import use_torch

Erase = Callable[[np.ndarray], np.ndarray]


def fit_with_peer(features: np.ndarray, labels: Mapping[str, np.ndarray]) -> dict[str, Erase]:
    """name -> function that erases features [N, D], by concept-erasure.

    Directions of any correlation count, as they do here; by default it leaves those below 0.01.
    """
    torch, place = use_torch()
    from concept_erasure import LeaceFitter

    x = torch.from_numpy(features).to(place)
    found: dict[str, Erase] = {}
    for name, numbers in labels.items():
        hot = torch.nn.functional.one_hot(torch.from_numpy(numbers).long().to(place)).to(x.dtype)
        eraser = LeaceFitter.fit(x, hot, svd_tol=1e-7).eraser
        found[name] = partial(_erase, eraser, torch, place)
    return found


def _erase(eraser: Any, torch: Any, place: str, features: np.ndarray) -> np.ndarray:
    return eraser(torch.from_numpy(features).to(place)).cpu().numpy()
