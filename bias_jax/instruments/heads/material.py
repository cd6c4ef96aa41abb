"""Which pictures heads are trained and evaluated on, and the labels that are read from files."""

from dataclasses import dataclass, field, fields

from bias_jax.data import FaceDataset, LabelSet, locate_images, open_images, read_labels
from bias_jax.data.planted_labels import PlantedConfig, planted_faces
from bias_jax.instruments.faces import require_faces
from bias_jax.instruments.heads.config import HeadsConfig

TRAINING, EVALUATED = "training/", "evaluated/"  # mark the names of images where both are joined


@dataclass(frozen=True)
class LabelledImages(FaceDataset):
    """Pictures that bring labels with them, so that a large file of labels is read once."""

    known: LabelSet = field(kw_only=True)


def pictures_of(config: HeadsConfig, faces: FaceDataset | None, seed: int) -> FaceDataset:
    """The images that must go through the network: drawn ones, training images and faces, or the faces themselves.

    Raises:
        InputError: naming file, row and way out; there are no faces.
    """
    if config.planted:
        drawn, known = planted_faces(PlantedConfig(), seed)
        return LabelledImages(**{f.name: getattr(drawn, f.name) for f in fields(FaceDataset)}, known=known)
    evaluated = require_faces("heads", faces)
    if not config.images:
        return evaluated
    training, known = locate_images(labels_of(config), open_images(config.images), "training images")
    return join(training, evaluated, known)


def labels_of(config: HeadsConfig) -> LabelSet:
    """Labels of a file, of the vocabulary that is trained."""
    found = read_labels(
        config.labels,
        machine=config.machine_labels or None,
        descriptions=config.descriptions or None,
        machine_confidence=config.machine_confidence,
        encoding=config.label_encoding,
        skip_lines=config.label_skip_lines,
    )
    return found.restrict(config.vocabulary, minimum=config.min_images, most=config.max_labels)


def join(training: FaceDataset, evaluated: FaceDataset, known: LabelSet) -> LabelledImages:
    """All images as one data set without attributes, training images first.

    Args:
        training: images to train on.
        evaluated: images to evaluate on.
        known: labels of the training images.
    """
    first = len(training)
    return LabelledImages(
        name=f"{training.name} and {evaluated.name}",
        attributes=(),
        labels={},
        image_names=(*(TRAINING + n for n in training.image_names), *(EVALUATED + n for n in evaluated.image_names)),
        rows=(*training.rows, *evaluated.rows),
        read_bytes=lambda i: training.read_bytes(i) if i < first else evaluated.read_bytes(i - first),
        source=f"{training.source}, {evaluated.source}",
        known=known,
    )
