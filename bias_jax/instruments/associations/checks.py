"""What is refused before anything runs: options that contradict each other, tests that are too large."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from bias_jax.association.draws import LARGEST
from bias_jax.association.exact import feasible
from bias_jax.association.permutation import Method
from bias_jax.association.sampled import MOST_DRAWS
from bias_jax.association.statistic import Alternative
from bias_jax.data import AssociationStimuli
from bias_jax.errors import InputError

if TYPE_CHECKING:
    from bias_jax.instruments.associations.instrument import Associations

FEWEST_DRAWS = 1000  # p-values below 0.001 are what many layers and tests need
FEWEST_BOOTSTRAP = 100


def check_options(options: "Associations") -> None:
    """Refuse options that no test can be run with.

    Raises:
        InputError: the first that is wrong.
    """
    groups = (options.x, options.y, options.a, options.b)
    methods, alternatives = get_args(Method), get_args(Alternative)
    checks = {
        "give either stimuli, or x, y, a and b, not both": not (options.stimuli and any(groups)),
        "x, y, a and b belong together": not any(groups) or all(groups),
        "per_set must be positive": options.per_set > 0,
        f"method must be one of {', '.join(methods)}": options.method in methods,
        f"alternative must be one of {', '.join(alternatives)}": options.alternative in alternatives,
        f"draws must be from {FEWEST_DRAWS} to {MOST_DRAWS}": FEWEST_DRAWS <= options.draws <= MOST_DRAWS,
        f"bootstrap must be at least {FEWEST_BOOTSTRAP}": options.bootstrap >= FEWEST_BOOTSTRAP,
    }
    for problem, fine in checks.items():
        if not fine:
            raise InputError(f"associations: {problem}", remedy="see --help")


def check_sizes(tests: Sequence[AssociationStimuli], method: Method) -> None:
    """Refuse tests whose relabellings cannot be counted as asked.

    Raises:
        InputError: the first such test.
    """
    for test in tests:
        x, y = (len(rows) for rows in test.rows[:2])
        if x + y > LARGEST:
            problem = f"test {test.name!r} has {x + y} target images, more than the {LARGEST} that can be relabelled"
            raise InputError(problem, remedy="use fewer images, e.g. a smaller per_set")
        if method == "exact" and not feasible(x + y, x):
            problem = f"test {test.name!r} has {x} and {y} target images, too many to count every relabelling"
            raise InputError(problem, remedy="use method bounds or sampled")
