"""Out-of-fold predictions of layers' probes: strength chosen on inner folds, reported on outer folds (see `nested`)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np

from bias_jax.arithmetic import Fast, check_fast
from bias_jax.devices import device_mesh, replicate
from bias_jax.probes.axes import Coordinates, principal_axes
from bias_jax.probes.between_folds import centred_signs
from bias_jax.probes.checks import check_data, whole_numbers
from bias_jax.probes.nested import BY_IMAGE, BY_TARGET, Job, Nested, probe_jobs
from bias_jax.probes.paths import checked_strengths, stacked
from bias_jax.probes.room import deals, job_bytes, stacks
from bias_jax.probes.sizes import padded_classes
from bias_jax.statistics import Exchange, shuffled_blocks


@dataclass(frozen=True)
class ProbeConfig:
    """How linear probes are trained and validated."""

    l2: tuple[float, ...] = tuple(10.0**k for k in range(-3, 5))  # strengths, on features of root mean square 1
    folds: int = 5  # outer folds, stratified by group; at least 3
    shuffles: int = 1  # repeats of the shuffled-label control
    tolerance: float = 1e-4  # certified gap at which a probe stops, relative to its objective
    max_steps: int = 1000  # solver steps per strength
    # of the solver's inner products; what is reported is computed and certified in float32 whatever it is
    arithmetic: Fast = "float32"
    signs: int = 2  # random vectors that estimate the covariance between folds
    draws: int = 2000  # bootstrap draws for intervals

    def __post_init__(self) -> None:
        checked_strengths(self.l2)
        if self.folds < 3:
            raise ValueError(f"folds must be at least 3, two of which are left out at a time, got {self.folds}")
        if self.shuffles < 0:
            raise ValueError(f"shuffles must not be negative, got {self.shuffles}")
        for name in ("max_steps", "signs", "draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        check_fast(self.arithmetic)
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of every target's probe; row 0 is the real one, rows 1 to S the shuffled controls."""

    truth: np.ndarray  # labels that predictions are judged by, int32 [1 + S, T, N]
    predicted: np.ndarray  # held out: class numbers by the probe that never saw the image, int32 [1 + S, T, N]
    log_probability: np.ndarray  # held out, of the true class, nats, float32 [1 + S, T, N]
    fitted: np.ndarray  # training: by the next fold's probe, which was trained on the image, int32 [1 + S, T, N]
    fitted_log_probability: np.ndarray  # training, float32 [1 + S, T, N]
    influence: np.ndarray  # see `statistics.Exchange`, float32 [1 + S, T, V, N]
    learned: np.ndarray  # float32 [1 + S, T, V, P, N]
    taught: np.ndarray  # the same shape
    inner_predicted: np.ndarray  # by two inner probes (see `choice`), strongest penalty first, int32 [T, R, 2, N]
    inner_log_probability: np.ndarray  # of the true class, nats, float32, the same shape
    folds: np.ndarray  # fold of each image, int [N]
    l2: np.ndarray  # strength chosen for each outer fold, float64 [T, F]
    relative_gap: np.ndarray  # largest certified gap over the objective, of all probes of a target, float32 [T]

    def exchange(self, t: int, v: int) -> Exchange:
        """What images do to each other's values of target t in metric v; arrays [1 + S, ..., N]."""
        return Exchange(self.influence[:, t, v], self.learned[:, t, v], self.taught[:, t, v])


def cross_validate(
    features: jax.Array,
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, int],
    folds: np.ndarray,
    groups: np.ndarray,
    config: ProbeConfig,
    seed: int,
    people: np.ndarray | None = None,
) -> OutOfFold:
    """Probe one layer [N, D] for all targets; see `cross_validate_layers`."""
    found = cross_validate_layers({"features": features}, labels, classes, folds, groups, config, seed, people)
    return next(found)[1]


def cross_validate_layers(
    bank: Mapping[str, jax.Array],
    labels: Mapping[str, np.ndarray],
    classes: Mapping[str, int],
    folds: np.ndarray,
    groups: np.ndarray,
    config: ProbeConfig,
    seed: int,
    people: np.ndarray | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> Iterator[tuple[str, OutOfFold]]:
    """Probe layers of one width for all targets.

    Args:
        bank: layer -> features [N, D], on the first device.
        labels: target -> class numbers int [N], all known.
        classes: target -> number of classes.
        folds: fold of each image, int [N], numbers 0 to ``config.folds`` - 1, none of them empty.
        groups: intersectional group of each image, int [N]; their sizes count as fixed.
        config: see `ProbeConfig`.
        seed: of the shuffled labels and the signs, the same for every layer and target.
        people: person of each image, int [N], 0 to K - 1, each in one fold; None: all differ.
        mesh: the devices that jobs are spread over; None: the first one.

    Yields:
        Layer and predictions, in the order of the bank.

    Raises:
        ValueError: for shapes or numbers that do not fit, or features that float32 cannot hold.
    """
    bank, labels = check_data(bank, labels)
    images = len(next(iter(bank.values())))
    folds, groups = whole_numbers("folds", folds, images), whole_numbers("groups", groups, images)
    if (found := np.unique(folds).tolist()) != list(range(config.folds)):
        raise ValueError(f"folds must be numbered 0 to {config.folds - 1}, got {found}")
    if people is not None:
        people = whole_numbers("people", people, images)
        if len(np.unique(np.stack([people, folds]), axis=1).T) > len(np.unique(people)):
            raise ValueError("a person has images in several folds")
    for target, y in labels.items():
        if target not in classes or y.min() < 0 or y.max() >= classes[target]:
            size = classes.get(target, 0)
            raise ValueError(f"target {target!r} has labels from {y.min()} to {y.max()}, but {size} classes from 0")
    rng = np.random.default_rng(seed)
    shuffles = [_shuffle_within_folds(folds, rng, people) for _ in range(config.shuffles)]
    truth = {t: np.stack([y, *(y[order] for order in shuffles)]) for t, y in labels.items()}
    # A generator of their own: differences between runs need the same signs, whatever the number of shuffles.
    signs = centred_signs(groups, config.signs, np.random.default_rng([seed, 1]), people)
    mesh = device_mesh(1) if mesh is None else mesh
    how = Nested(
        checked_strengths(config.l2), folds, signs, config.tolerance, config.max_steps, config.arithmetic, mesh
    )
    for layers in stacks(bank):
        coordinates = [principal_axes(bank[layer]).coordinates for layer in layers]
        results = _probe_stack(replicate(mesh, stacked(coordinates)), truth, classes, how)
        del coordinates
        for number, layer in enumerate(layers):
            own = [results[number, t] for t in labels]
            yield (
                layer,
                OutOfFold(
                    truth=np.stack([truth[t] for t in labels], axis=1).astype(np.int32),
                    **{name: np.stack([r[name] for r in own], axis=1) for name in BY_IMAGE},
                    **{name: np.stack([r[name] for r in own]) for name in BY_TARGET},
                    folds=folds,
                ),
            )


def _probe_stack(
    stack: Coordinates, truth: Mapping[str, np.ndarray], classes: Mapping[str, int], how: Nested
) -> dict[tuple[int, str], dict[str, np.ndarray]]:
    """Fields of `OutOfFold` by layer and target; targets of one padded size are one batch."""
    layers, images, width = stack.features.shape
    of_size: dict[int, list[str]] = {}
    for target in truth:
        of_size.setdefault(padded_classes(classes[target]), []).append(target)
    found: dict[tuple[int, str], dict[str, np.ndarray]] = {}
    for size, targets in of_size.items():
        jobs = [Job(layer, target) for layer in range(layers) for target in range(len(targets))]
        bytes_of_one = job_bytes(images, width, size * (how.folds.max() + 1), shared=layers == 1)
        for some, dealt in deals(jobs, bytes_of_one, how.mesh):
            mine = sorted({job.target for job in some})
            own = [Job(job.layer, mine.index(job.target)) for job in some]
            names = [targets[t] for t in mine]
            results = probe_jobs(stack, [truth[n] for n in names], [classes[n] for n in names], own, dealt, how)
            found |= {(job.layer, targets[job.target]): fields for job, fields in zip(some, results, strict=True)}
    return found


def _shuffle_within_folds(folds: np.ndarray, rng: np.random.Generator, people: np.ndarray | None) -> np.ndarray:
    """A permutation of the images that keeps each fold's label counts; labels of a person stay together."""
    order = np.arange(len(folds))
    for f in np.unique(folds):
        members = np.flatnonzero(folds == f)
        order[members] = members[shuffled_blocks(None if people is None else people[members], rng, len(members))]
    return order
