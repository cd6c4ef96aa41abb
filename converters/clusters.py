"""The colours of iGPT, which its weights do not hold: OpenAI's ``kmeans_centers.npy``, or the settings of transformers'
image processor.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from bias_jax.errors import InputError
from bias_jax.networks import Preparation
from bias_jax.networks.tokens import COLOURS, Tokens

NAMES = ("kmeans_centers.npy", "preprocessor_config.json")  # what is looked for beside the weights
SOURCE = f"give OpenAI's {NAMES[0]} or transformers' {NAMES[1]} by --clusters"


def with_clusters(preparation: Preparation, clusters: Path | None, weights: Path) -> Preparation:
    """The preparation with the colours of a file.

    Args:
        preparation: of a network; anything but `Tokens` has no colours and is given back.
        clusters: the file; None: one that lies beside the weights.
        weights: file or folder.

    Raises:
        InputError: there is no such file, it holds no colours, or the network has none.
    """
    if not isinstance(preparation, Tokens):
        if clusters is not None:
            raise InputError("images of this network are not made colours", remedy="leave out --clusters")
        return preparation
    if clusters is None:
        folder = weights if weights.is_dir() else weights.parent
        clusters = next((folder / name for name in NAMES if (folder / name).is_file()), None)
    if clusters is None:
        raise InputError("the colours of the network are not beside its weights", file=weights, remedy=SOURCE)
    centres, sha256 = read_clusters(clusters)
    try:
        return preparation.with_palette(centres, sha256)
    except InputError as error:
        raise InputError(str(error), file=clusters) from None


def read_clusters(path: Path) -> tuple[np.ndarray, str]:
    """Colours of a file, [512, 3] from -1 to 1, and its SHA-256.

    Raises:
        InputError: it cannot be read, or is neither of the two kinds of file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path, remedy=SOURCE) from None
    try:
        if content.startswith(b"\x93NUMPY"):
            found = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            found = np.array(json.loads(content)["clusters"], np.float64)
    except Exception as error:  # NumPy and JSON raise many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        problem = f"holds no {COLOURS} colours ({type(error).__name__}: {reason[:80]})"
        raise InputError(problem, file=path, remedy=SOURCE) from None
    return found, hashlib.sha256(content).hexdigest()
