"""Multi-label heads on frozen features, and who they recognise."""

from bias_jax.disparity.comparisons import group_rows as group_rows
from bias_jax.disparity.comparisons import paired_rows as paired_rows
from bias_jax.disparity.comparisons import spread_rows as spread_rows
from bias_jax.disparity.decisions import best_thresholds as best_thresholds
from bias_jax.disparity.decisions import class_scores as class_scores
from bias_jax.disparity.decisions import matched_thresholds as matched_thresholds
from bias_jax.disparity.decisions import top_labels as top_labels
from bias_jax.disparity.fitting import FittedHeads as FittedHeads
from bias_jax.disparity.fitting import Split as Split
from bias_jax.disparity.fitting import fit_layer as fit_layer
from bias_jax.disparity.fitting import mean_average_precision as mean_average_precision
from bias_jax.disparity.fitting import replicates as replicates
from bias_jax.disparity.heads import HeadConfig as HeadConfig
from bias_jax.disparity.heads import Heads as Heads
from bias_jax.disparity.heads import dense as dense
from bias_jax.disparity.heads import head_logits as head_logits
from bias_jax.disparity.heads import head_weights as head_weights
from bias_jax.disparity.heads import train_heads as train_heads
from bias_jax.disparity.losses import LOSSES as LOSSES
from bias_jax.disparity.rates import ALL as ALL
from bias_jax.disparity.rates import MEAN as MEAN
from bias_jax.disparity.rates import GroupRates as GroupRates
from bias_jax.disparity.rates import group_rates as group_rates
from bias_jax.disparity.rates import image_events as image_events
from bias_jax.disparity.rates import resampling as resampling
from bias_jax.disparity.rates import top_associations as top_associations
