"""Where recomputed tests come from: embeddings in files, or pictures that went through a network."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from bias_jax.association import cosines, image_associations
from bias_jax.audit.stored import as_rows, open_stored, read_tables
from bias_jax.audit.subjects import RAW_PIXELS
from bias_jax.errors import InputError
from bias_jax.instruments.associations.stored import tests_of
from bias_jax.published.steed2021.findings import Recomputed
from bias_jax.published.steed2021.numbers import NETWORKS, PUBLISHED

SETS = "XYAB"
UNTRAINED = "the network is untrained, and the row is about a trained one"


def read_embeddings(folder: str | Path) -> list[Recomputed]:
    """Tests of ``TEST__MODEL.npz``, also ``real_TEST__MODEL.npz``, each with arrays X, Y, A and B [n, D].

    TEST is the published name in lower case with hyphens, MODEL ``igpt_l_32`` or ``simclr_152_3x_sk1``.

    Raises:
        InputError: no such file, or one that is no such test.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError("no such directory", file=root, remedy="give the folder of TEST__MODEL.npz")
    found = []
    for row in PUBLISHED:
        name = f"{re.sub('[^a-z0-9]+', '-', row.test.lower()).strip('-')}__{row.model}.npz"
        for path in (root / name, root / f"real_{name}"):
            if path.exists():
                x, y, a, b = _sets(path)
                targets = np.concatenate([x, y])
                near = cosines(targets, a), cosines(targets, b)
                s = image_associations(targets, a, b)
                found.append(Recomputed(row, s, *near, len(x), True, f"from {path.name}"))
    if not found:
        remedy = "name files e.g. weight__igpt_l_32.npz, with arrays X, Y, A and B"
        raise InputError("holds no embeddings of a published test", file=root, remedy=remedy)
    return found


def from_pictures(run: str | Path, *, trained: bool) -> Iterator[Recomputed]:
    """Tests of a finished run with associations: in iGPT's layer of the paper, else in the last layer.

    Rows of the model that was published under another name here; of another network, of both models, and then they
    decide nothing.
    """
    stored = open_stored(Path(run) / "associations")
    network = stored.run["model"]
    names = [layer.name for layer in stored.layers]
    layer = next((name for name in names if name.endswith(".ieat")), names[-1])
    arrays = stored.load(layer)
    pixels = {
        row["test"]: row["effect_size"]
        for row in as_rows(read_tables(stored.folder))["associations"]
        if (row["layer"], row["cosine"]) == (RAW_PIXELS, "raw")
    }
    models = [model for model, own in NETWORKS.items() if own == network]
    reason = "" if models else f"{network} is not a published model"
    reason = reason if trained else UNTRAINED
    for number, test in enumerate(tests_of(stored.facts, stored.arrays)):
        for row in PUBLISHED:
            if row.test == test.name and row.model in (models or NETWORKS):
                s, to_a, to_b = (arrays[f"{number}.raw.{part}"] for part in "sab")
                about = f"layer {layer} of {network}"
                about += f", raw pixels give d {pixels[test.name]:.2f}" if test.name in pixels else ""
                yield Recomputed(row, s, to_a, to_b, len(test.rows[0]), False, about, reason)


def digest_of(recomputed: Sequence[Recomputed]) -> tuple[str, int]:
    """SHA-256 of the cosines of all tests, and how many target images these have."""
    digest = hashlib.sha256()
    for one in recomputed:
        digest.update(f"{one.row}{one.size}".encode())
        digest.update(np.ascontiguousarray(one.to_a).tobytes() + np.ascontiguousarray(one.to_b).tobytes())
    return digest.hexdigest(), sum(len(one.s) for one in recomputed)


def _sets(path: Path) -> list[np.ndarray]:
    remedy = "give arrays X, Y, A and B [n, D] of finite numbers"
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            sets = [np.asarray(arrays[name], np.float64) for name in SETS]
    except Exception as error:  # NumPy and zipfile raise many kinds on damaged files
        raise InputError(f"cannot be read ({type(error).__name__}: {error})", file=path, remedy=remedy) from None
    if any(x.ndim != 2 or not len(x) or not np.isfinite(x).all() or x.shape[1] != sets[0].shape[1] for x in sets):
        raise InputError("its arrays do not fit", file=path, remedy=remedy)
    return sets
