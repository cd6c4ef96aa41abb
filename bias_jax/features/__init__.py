"""Features that were computed elsewhere, in the place of a network: files, arrays, and their labels."""

from bias_jax.features.matching import label_features as label_features
from bias_jax.features.matching import labels_of as labels_of
from bias_jax.features.opening import Features as Features
from bias_jax.features.opening import hold_features as hold_features
from bias_jax.features.opening import of_layers as of_layers
from bias_jax.features.opening import open_features as open_features
from bias_jax.features.values import ArrayValues as ArrayValues
from bias_jax.features.values import Values as Values
from bias_jax.features.values import as_float32 as as_float32
from bias_jax.features.values import block_rows as block_rows
from bias_jax.features.values import needed_blocks as needed_blocks
