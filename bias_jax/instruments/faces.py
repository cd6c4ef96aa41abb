"""What instruments of labelled faces have in common."""

from bias_jax.data import FaceDataset
from bias_jax.errors import InputError


def require_faces(instrument: str, faces: FaceDataset | None) -> FaceDataset:
    """The faces of the run.

    Raises:
        InputError: it has none.
    """
    if faces is None:
        remedy = "give labelled images: --data, or faces= from Python"
        raise InputError(f"{instrument} needs labelled faces, and this run has none", remedy=remedy)
    return faces
