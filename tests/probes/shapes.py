"""What tests of cross-validated probes have alike, so that they share compiled programs.

A program belongs to the number of images, folds, strengths and targets, and to the padded numbers of axes and classes.
"""

import numpy as np

from bias_jax.probes import ProbeConfig

N, FOLDS, WIDTH = 240, 4, 30
CONFIG = ProbeConfig(l2=(1e-2, 1.0, 100.0), folds=FOLDS, draws=400)


def normal(rng, width=WIDTH):
    """Features [N, D] without information."""
    return rng.standard_normal((N, width)).astype(np.float32)
