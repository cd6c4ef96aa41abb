"""What instruments of labelled faces have in common."""

from typing import ClassVar

from bias_jax.audit import NETWORK, PIXELS, Choice, Context
from bias_jax.data import FaceDataset
from bias_jax.errors import InputError


class OfFaces:
    """An instrument that measures the audited network, and its pixels, on the faces of the run; see `Instrument`."""

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = (NETWORK,)
    places: ClassVar[tuple[str, ...]] = ()
    looks: ClassVar[tuple[str, ...]] = ()

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        return require_faces(self.name, faces)

    def choose(self, available: Choice) -> tuple[str, ...]:
        return (PIXELS, *available.layers)


def require_faces(instrument: str, faces: FaceDataset | None) -> FaceDataset:
    """The faces of the run.

    Raises:
        InputError: it has none.
    """
    if faces is None:
        remedy = "give labelled images: --data, or faces= from Python"
        raise InputError(f"{instrument} needs labelled faces, and this run has none", remedy=remedy)
    return faces
