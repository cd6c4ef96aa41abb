"""Everything that can be chosen about topographic maps."""

from dataclasses import dataclass
from typing import Literal, get_args, get_type_hints

from bias_jax.activations import Rule
from bias_jax.errors import InputError
from bias_jax.topomaps import FORCES, METHODS, Force, Method


@dataclass(frozen=True)
class MapsConfig:
    """By default the self-organizing map of every layer, with a figure of all groups and two errors."""

    layouts: tuple[str, ...] = ()  # of random, graph, som, pca, tsne, umap (default: som; with compare: all)
    forces: tuple[str, ...] = ("none",)  # of none, long, short: force steps that spread units over a disc afterwards
    quality: bool = False  # measure every layout: neighbourhoods kept, spatial order, smoothness, stability
    compare: bool = False  # measure all layouts, with and without force steps; no maps are drawn
    metric: Literal["cosine", "euclidean"] = "cosine"  # distance of profiles, for graph, attraction and order
    from_distances: bool = False  # PCA, t-SNE and UMAP see rows of the distance matrix (published in 2022)
    published_som: bool = False  # the paper's map: online, sigma 1, rate 0.5, 10 steps per unit
    size_weighted: bool = False  # weight groups by their images in the mean that is subtracted
    contrast: tuple[str, ...] = ()  # only these groups, e.g. 'White / Male,Black / Male' (default: all)
    errors: Literal["none", "correct", "confusion"] = "none"  # group images by label and correctness, or prediction
    predictions: str = ""  # run directory with probes on the same images, for errors
    target: str = "gender"  # what these probes predict, for errors
    order: Literal["table", "dendrogram"] = "table"  # of groups: a table of attributes, or likest side by side
    round: bool = False  # move the units of a square layout into a disc
    align: bool = False  # turn each layer's map, made round, to match that of the first layer
    seeds: int = 2  # layouts whose likeness is measured, with quality or compare (only the first is drawn)
    permutations: int = 99  # of the units, for the p-value of Moran's I
    # reduction of feature maps for this instrument alone (default: that of the run); none keeps every position
    reduction: Literal["", Rule] = ""

    def __post_init__(self) -> None:
        problems = {
            f"layouts must be of {', '.join(METHODS)}": set(self.layouts) <= set(METHODS),
            f"forces must be of {', '.join(FORCES)}": set(self.forces) <= set(FORCES) and len(self.forces) > 0,
            "seeds must be positive": self.seeds > 0,
            "permutations must be at least 19": self.permutations >= 19,
            "errors and predictions belong together": (self.errors == "none") == (not self.predictions),
            "errors and contrast exclude each other": self.errors == "none" or not self.contrast,
        }
        for name, kind in get_type_hints(MapsConfig).items():
            if isinstance(getattr(self, name), str) and (allowed := get_args(kind)):
                problems[f"{name} must be of {', '.join(map(repr, allowed))}"] = getattr(self, name) in allowed
        for problem, fine in problems.items():
            if not fine:
                raise InputError(f"maps: {problem}", remedy="see --help")

    @property
    def measured(self) -> bool:
        """Whether layouts are measured, which needs all pairs of units, permutations and several seeds."""
        return self.quality or self.compare

    @property
    def methods(self) -> tuple[Method, ...]:
        """Layouts that are asked for, in the order of the paper."""
        chosen = self.layouts or (METHODS if self.compare else ("som",))
        return tuple(method for method in METHODS if method in chosen)

    @property
    def spreads(self) -> tuple[Force, ...]:
        """Force layouts to compute after each."""
        return FORCES if self.compare else tuple(force for force in FORCES if force in self.forces)
