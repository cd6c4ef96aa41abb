"""Everything that can be chosen about multi-label heads and who they recognise."""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, get_args, get_type_hints

from bias_jax.disparity import LOSSES, MENDS, THRESHOLDS, HeadConfig
from bias_jax.disparity.heads import Unverified
from bias_jax.errors import InputError

Decision = Literal["matched", "tuned", "fixed", "top"]
BIGGEST_VOCABULARY = 7178  # labels of the Inclusive Images challenge


class Column(NamedTuple):
    """What stands side by side in every table: a loss, or one of them with a fix for groups."""

    loss: str
    mend: str = ""  # of `disparity.MENDS`, or none

    @property
    def name(self) -> str:
        """As tables call it."""
        return f"{self.loss}, {self.mend}" if self.mend else self.loss


@dataclass(frozen=True)
class HeadsConfig(HeadConfig):
    """How heads are trained, which labels they learn, on which images, and what is looked at."""

    unverified: Unverified = "negative"  # a label that nobody verified is unknown (mask), or absent (negative)
    label_attributes: tuple[str, ...] = ()  # attributes whose categories are the labels (default: all of the faces)
    labels: str = ""  # file of labels: Open Images, tuning labels or image,labels; instead of attributes
    machine_labels: str = ""  # further labels made by a machine, in Open Images' layout
    machine_confidence: float = 0.5  # labels of a machine with less confidence are ignored
    descriptions: str = ""  # CSV of label code and display name
    label_encoding: str = ""  # of these files, without byte order mark, e.g. cp1252 (default: utf-8)
    label_skip_lines: int = 0  # lines above the header of labels and machine_labels
    images: str = ""  # folder of the images of labels, to train on (default: labels describes the faces themselves)
    vocabulary: tuple[str, ...] = ()  # labels to train (default: all)
    min_images: int = 10  # a label of a file is trained if it is present in so many images
    max_labels: int = BIGGEST_VOCABULARY  # number of a file's labels at most, the most frequent ones
    # Labels that are right for a category and wrong for the attribute's others, for images: female=Woman|Girl,male=Man
    truth: tuple[str, ...] = ()
    always: tuple[str, ...] = ()  # labels that are right for every evaluated image, for images: Person
    families: tuple[str, ...] = ()  # families of harmful labels: crime=Handcuffs|Prison,animal=Ape|Monkey
    family_top: int = 5  # an association is a label of the family among so many best
    seeds: int = 2  # trainings with other minibatches and initial weights
    folds: int = 5  # outer folds, at least 3; one of the others is for tuning. Without effect with images or planted
    # Matched: per label as many images as have it; tuned: best F2; both on tuning images; fixed: threshold;
    # top: 2 to 5 labels of the top_pool best, see the Inclusive Images challenge
    decision: Decision = "matched"
    threshold: float = 0.5  # probability above which a label is given, for decision fixed and top
    top_pool: int = 150  # classes that are scored against all others, for decision top
    # Fixes as further columns: reweighted groups, balanced sampling of groups, thresholds of each group
    mends: tuple[str, ...] = ()
    mended_loss: str = "binary_cross_entropy"  # the loss that is mended
    mended_groups: str = ""  # whose groups: an attribute, or "race x gender" (default: all attributes together)
    report_layer: str = ""  # layer of tables by group and of figures (default: the best on tuning images)
    report_labels: tuple[str, ...] = ()  # labels with numbers of their own (default: the 30 most frequent)
    draws: int = 1000  # bootstrap draws, and permutations of group labels
    examples: int = 4  # images on each contact sheet; 0: no maps
    attention: int = 8  # images per group for the average attention; 0: none
    cam_layer: str = ""  # layer of Grad-CAM (default: the layer of the head)
    occlusion: int = 7  # cells per side of occlusion maps
    planted: bool = False  # self-test: drawn faces with labels whose disparity was planted, instead of the run's faces

    def __post_init__(self) -> None:
        distinct = 0 < len(self.losses) == len(set(self.losses))
        steps = min(self.epochs, self.minibatch, self.seeds)
        problems = {
            f"losses must be of {', '.join(LOSSES)}, each once": distinct and set(self.losses) <= set(LOSSES),
            "learning_rates must be positive numbers": len(self.learning_rates) > 0 and min(self.learning_rates) > 0,
            "weight_decays must be numbers from 0": len(self.weight_decays) > 0 and min(self.weight_decays) >= 0,
            "epochs, minibatch and seeds must be positive": steps > 0,
            "momentum must be from 0 to below 1": 0 <= self.momentum < 1,
            "machine_confidence must be from 0 to 1": 0 <= self.machine_confidence <= 1,
            "label_skip_lines must not be negative": self.label_skip_lines >= 0,
            "folds must be at least 3": self.folds >= 3,
            "threshold must lie between 0 and 1": 0 < self.threshold < 1,
            "draws must be at least 100": self.draws >= 100,
            "examples and attention must not be negative": min(self.examples, self.attention) >= 0,
            "occlusion must be from 1 to 32": 1 <= self.occlusion <= 32,
            "min_images, max_labels and family_top must be positive": min(
                self.min_images, self.max_labels, self.family_top
            ) > 0,
            f"mends must be of {', '.join(MENDS)}, each once": len(self.mends) == len(set(self.mends) & set(MENDS)),
            "mended_loss must be one of losses": not self.mends or self.mended_loss in self.losses,
            "mends needs groups of the training images, which those of --images do not have": not (
                self.mends and self.images
            ),
            f"mends {THRESHOLDS} is for decision matched and tuned": THRESHOLDS not in self.mends
            or self.decision in ("matched", "tuned"),
            "images needs labels": not self.images or bool(self.labels),
            "images needs truth or always": not self.images or bool(self.truth or self.always),
            "truth and always are for images": bool(self.images) or not (self.truth or self.always),
            "give labels or label_attributes, not both": not (self.labels and self.label_attributes),
            "planted brings labels of its own: leave out labels and label_attributes": not self.planted
            or not (self.labels or self.label_attributes),
        }  # fmt: skip
        for name, kind in get_type_hints(HeadsConfig).items():
            if isinstance(getattr(self, name), str) and (allowed := get_args(kind)):
                problems[f"{name} must be of {', '.join(allowed)}"] = getattr(self, name) in allowed
        for problem, fine in problems.items():
            if not fine:
                raise InputError(f"heads: {problem}", remedy="see --help")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Losses, and behind them what is mended."""
        return (*map(Column, self.losses), *(Column(self.mended_loss, mend) for mend in MENDS if mend in self.mends))

    @property
    def training(self) -> HeadConfig:
        """What training depends on, and nothing else: programs are compiled once for each of these."""
        return HeadConfig(**{f.name: getattr(self, f.name) for f in fields(HeadConfig)})

    @property
    def judged(self) -> Unverified:
        """What an unverified label of an evaluated image is: with `truth`, nothing but what it says is known."""
        return "mask" if self.images else self.unverified
