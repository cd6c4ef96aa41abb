"""What an instrument is: how it asks for pictures and layers, measures, and turns what was stored into results.

An instrument is a frozen dataclass, its fields are its options. A run walks every instrument through the same steps:

1. `pictures`: which images must go through the network;
2. `prepare`: after all were looked at once, the labels, folds or tests that decide what is measured (a `Task`);
3. `measure`: features of all layers of one width -> arrays to be stored per layer;
4. `intervene` (only if it has it): the network runs again on its images, changed on the way by what was measured;
5. `tables`: from what was stored alone;
6. `illustrate` (only if it has it): once more to single images, with the network, e.g. for attention maps;
7. `figures`, `findings`: from what was stored alone; with `excerpts` and `account`, what a report says of it.

Tables, figures and findings see a `Stored`, which can be opened again without images or network.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from bias_jax.activations import OUTPUT as OUTPUT
from bias_jax.activations import PIXELS as PIXELS
from bias_jax.audit.images import ImageSet, Seen
from bias_jax.data import FaceDataset
from bias_jax.devices import device_mesh
from bias_jax.report.account import Account, Excerpt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bias_jax.audit.stored import Stored
    from bias_jax.audit.subjects import FlaxSubject, Subject

# Sources of activations: the network of the run, the same architecture without training, and no network at all.
NETWORK, UNTRAINED, BASELINE = "network", "untrained network", "no network"

Arrays = Mapping[str, np.ndarray]
Rows = Sequence[Mapping[str, Any]]  # of a tidy table


class Layer(NamedTuple):
    """One layer as an instrument sees it."""

    name: str
    grid: tuple[int, int, int]  # (h, w, U); features D = h * w * U, channels fastest

    @property
    def features(self) -> int:
        return self.grid[0] * self.grid[1] * self.grid[2]


class Groups(NamedTuple):
    """Asks for mean activations of groups instead of the activations themselves: memory G x D instead of n x D."""

    labels: Mapping[str, np.ndarray]  # layer -> group of each image, int [n]; negative: in no group
    size: int  # number of groups G


@dataclass(frozen=True)
class Task:
    """What an instrument measures, on which images."""

    rows: np.ndarray  # of the image set, int [n], in the order of the features that `measure` gets
    sha256: str  # of the images and labels it was prepared from
    facts: Mapping[str, Any]  # names of classes and the like, JSON; stored, and part of the instrument's identity
    arrays: Arrays = field(default_factory=dict)  # labels, folds and the like; stored, and part of the identity
    notes: tuple[str, ...] = ()  # for the reader, one sentence each
    groups: Groups | None = None  # `measure` gets `activations.GroupMeans` of these instead of features
    intervenes: bool = True  # whether `intervene`, if the instrument has it, has anything to do


class Choice(NamedTuple):
    """The layers of a run."""

    layers: tuple[str, ...]  # chosen by the user, or the network's default ones, in depth order
    by_user: bool
    output: bool = True  # whether there is a valid output
    pixels: bool = True  # whether there are pixels, in the place of a layer


@dataclass(frozen=True)
class Context:
    """What the instruments of a run share."""

    seed: int
    pooling: str  # the rule of `activations.RULES` by which layers are reduced
    precision: str = "float32"  # of the network, a key of `networks.PRECISIONS`
    drop_contradictory: bool = False  # whether equal pictures with different labels are left out, not refused
    mesh: jax.sharding.Mesh = field(default_factory=lambda: device_mesh(1))  # devices that work may be spread over


@runtime_checkable
class Instrument(Protocol):
    """One way to look at activations; see the module for what happens when."""

    name: ClassVar[str]  # as users choose it; also its folder in the run directory
    sources: ClassVar[tuple[str, ...]]  # of `NETWORK` (what is audited), `UNTRAINED` and `BASELINE` (beside it)
    places: ClassVar[tuple[str, ...]]  # options that say where data lie: their content counts, not their name
    looks: ClassVar[tuple[str, ...]]  # options that only figures depend on

    def pictures(self, faces: FaceDataset | None, context: Context) -> FaceDataset:
        """The images it needs, usually the faces of the run themselves.

        Raises:
            InputError: its options do not fit the data.
        """

    def choose(self, available: Choice) -> tuple[str, ...]:
        """Layers it measures, of the available ones and `PIXELS` and `OUTPUT`."""

    def prepare(self, seen: Seen, faces: FaceDataset | None, layers: Mapping[str, tuple[Layer, ...]],
                context: Context) -> Task:  # fmt: skip
        """Everything that decides its numbers, but the activations.

        Args:
            seen: its pictures, readable ones only.
            faces: the faces of the run as given, if it has any.
            layers: source -> the layers that will be measured.
            context: of the run.
        """

    def measure(
        self, task: Task, layers: Sequence[Layer], features: Mapping[str, Any], wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        """Arrays to be stored for each layer; a layer is stored as soon as it is yielded.

        Args:
            task: of `prepare`.
            layers: all layers of one width.
            features: layer -> array [n, D] on the device (with `Task.groups`, its `GroupMeans` [G, D]).
            wanted: the layers that are not stored yet; others need not be yielded.
            context: of the run.
        """

    def tables(self, stored: "Stored") -> Iterator[tuple[str, Rows]]:
        """Tidy tables by name, one row a number."""

    def figures(self, stored: "Stored", tables: Mapping[str, Rows]) -> Iterable[tuple[str, "Callable[[], Figure]"]]:
        """Figures by name; each is drawn when it is called."""

    def findings(self, stored: "Stored", tables: Mapping[str, Rows]) -> Iterable[str]:
        """What was found: sentences, each with its interval and its control."""


@runtime_checkable
class Accounted(Protocol):
    """An instrument that explains itself in a report."""

    account: ClassVar[Account]  # its question, how to read its numbers, what they do not mean

    def excerpts(self, stored: "Stored", tables: Mapping[str, Rows]) -> Iterable[Excerpt]:
        """The parts of its tables that say most, the main one first."""


@runtime_checkable
class Listing(Protocol):
    """An instrument that shows numbers on a terminal in a way of its own, not as its excerpts."""

    def listing(self, stored: "Stored", tables: Mapping[str, Rows]) -> Iterable[str]:
        """Its numbers as aligned text, a paragraph each."""


@runtime_checkable
class Intervening(Protocol):
    """An instrument that changes layers by what it measured, and sees what the network makes of that.

    It needs a network of the registry, which takes offsets (`networks.forward`); the road refuses any other subject
    before anything is measured, or leaves `intervene` out with a note (`intervenes_if_possible`).
    """

    def intervene(
        self, task: Task, images: ImageSet, subject: "FlaxSubject", stored: "Stored", wanted: Sequence[str],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        """Arrays to be stored for each layer; `Stored.interventions` gives them back.

        Args:
            task: of `prepare`.
            images: its pictures, in the order of the features that `measure` got.
            subject: the audited network.
            stored: what was measured of all layers.
            wanted: the layers of the network, `PIXELS` and `OUTPUT` left out, that are not stored yet.
            context: of the run.
        """


@runtime_checkable
class Illustrating(Protocol):
    """An instrument that looks once more at single images when all layers are measured."""

    def illustrate(
        self, task: Task, seen: Seen, subject: "Subject", stored: "Stored", tables: Mapping[str, Rows],
        context: Context,
    ) -> Iterator[tuple[str, Arrays]]:  # fmt: skip
        """Arrays to be stored, by name; `Stored.illustrations` gives them back."""


def measured_by_all(instrument: Instrument) -> bool:
    """Whether all processes of a run must measure together: the instrument spreads its work over `Context.mesh`.

    It says so by a class variable ``collective``; the others are measured by the leading process alone.
    """
    return getattr(instrument, "collective", False)


def intervenes_if_possible(instrument: Instrument) -> bool:
    """Whether it has something to say where no layer can be changed on the way, too.

    It says so by a class variable ``intervenes_if_possible``.
    """
    return getattr(instrument, "intervenes_if_possible", False)


def needs_no_pictures(instrument: Instrument) -> bool:
    """Whether it can measure features that were computed elsewhere, without pictures, a network or an output.

    It says so by a class variable ``without_pictures``.
    """
    return getattr(instrument, "without_pictures", False)


def pooling_of(instrument: Instrument, context: Context) -> str:
    """The rule by which an instrument's layers are reduced: its own, if it has one, or that of the run."""
    return getattr(instrument, "reduction", "") or context.pooling
