"""Linear probes: can the groups be told apart by a linear function of a layer's activations?"""

from bias_jax.probes.comparisons import COMPARED as COMPARED
from bias_jax.probes.comparisons import Difference as Difference
from bias_jax.probes.comparisons import attribute_pairs as attribute_pairs
from bias_jax.probes.comparisons import compare_probes as compare_probes
from bias_jax.probes.comparisons import layer_pairs as layer_pairs
from bias_jax.probes.comparisons import model_pairs as model_pairs
from bias_jax.probes.comparisons import probe_values as probe_values
from bias_jax.probes.convex import ConvexProbes as ConvexProbes
from bias_jax.probes.convex import fit_convex as fit_convex
from bias_jax.probes.mistakes import frequent_mistakes as frequent_mistakes
from bias_jax.probes.mistakes import mistake_types as mistake_types
from bias_jax.probes.readouts import HELD_OUT as HELD_OUT
from bias_jax.probes.readouts import TRAINING as TRAINING
from bias_jax.probes.recalls import class_recalls as class_recalls
from bias_jax.probes.recalls import confusion as confusion
from bias_jax.probes.recipe import RecipeNumbers as RecipeNumbers
from bias_jax.probes.recipe import RecipeProbes as RecipeProbes
from bias_jax.probes.recipe import fit_recipe as fit_recipe
from bias_jax.probes.recipe_config import RecipeConfig as RecipeConfig
from bias_jax.probes.scores import Score as Score
from bias_jax.probes.scores import score_probes as score_probes
from bias_jax.probes.validation import OutOfFold as OutOfFold
from bias_jax.probes.validation import ProbeConfig as ProbeConfig
from bias_jax.probes.validation import cross_validate as cross_validate
from bias_jax.probes.validation import cross_validate_layers as cross_validate_layers
