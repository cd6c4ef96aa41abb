"""Multi-label heads on frozen features, and who they recognise."""

from bias_jax.disparity.heads import HeadConfig as HeadConfig
from bias_jax.disparity.heads import Heads as Heads
from bias_jax.disparity.heads import dense as dense
from bias_jax.disparity.heads import head_logits as head_logits
from bias_jax.disparity.heads import head_weights as head_weights
from bias_jax.disparity.heads import train_heads as train_heads
from bias_jax.disparity.losses import LOSSES as LOSSES
