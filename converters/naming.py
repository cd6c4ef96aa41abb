"""What a family of networks must say so that files of its weights become parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from bias_jax.networks import Variant
from converters.entries import PublishedWeights

Shape = tuple[int, ...]


class Complete(NamedTuple):
    """The arrays of one network, after what is odd about them was put in order."""

    arrays: dict[str, Any]  # by the file's names, values as in the file
    missing: tuple[str, ...]  # parts at the end that the file does not hold; NaN stands for them
    said: list[str]  # what was done, a clause each


class Naming(Protocol):
    """How one kind of file names the arrays of one network, and lays them out.

    Names have dots between their parts, also where the files have slashes. One array of a file may fill several
    parameters, which take their parts of it.
    """

    @property
    def separator(self) -> str:
        """What stands between the parts of names in the files: "." or "/"."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Every array that can be used, in the layouts of the file."""

    @property
    def body(self) -> Mapping[str, Shape]:
        """Those of them by which the network is recognised: every file of it has them, in these shapes."""

    def training_only(self, name: str) -> bool:
        """Whether an array of this name serves training only, and is dropped."""

    def preferred(self, prefixes: Sequence[str]) -> str | None:
        """Of several networks in a file, that which is taken if the user does not choose; None: the user must."""

    def complete(self, arrays: Mapping[str, Any]) -> Complete:
        """Other spellings of names, and parts that may be absent.

        Raises:
            InputError: the arrays contradict each other.
        """

    def variant(self, arrays: Mapping[str, Any]) -> Variant:
        """What the arrays say of the network.

        Raises:
            InputError: they say nothing.
        """

    def key(self, path: tuple) -> str:
        """Name of the array that fills the parameter at a path of our tree."""

    def to_flax(self, path: tuple, array: np.ndarray) -> np.ndarray:
        """The parameter at a path, from that array; an array of an impossible shape is given back as it is."""

    def file_shape(self, path: tuple, shape: Shape) -> Shape:
        """Shape that this array must have for a parameter of this shape, for messages."""


@dataclass(frozen=True)
class Option:
    """Something that files do not say, and a user may."""

    name: str
    choices: tuple[str, ...]  # the usual one first
    help: str


@dataclass(frozen=True, eq=False)
class Family:
    """The conversion of some networks."""

    namings: Callable[[str, Mapping[str, str]], Sequence[Naming]]  # (network, values of options) -> kinds of files
    published: tuple[PublishedWeights, ...] = ()
    options: tuple[Option, ...] = ()
    source: str = "use weights of the network of this very name"  # the way out for files of something else
    # Network -> an array that is in every file of it. Where another network was asked for, its files are known by that
    # before it is built; without a mark it is always built.
    marks: Mapping[str, str] = field(default_factory=dict)
