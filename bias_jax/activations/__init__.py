"""Pooled activations of every layer, in banks on the device."""

from bias_jax.activations.attention import LinearScore as LinearScore
from bias_jax.activations.attention import grad_cam as grad_cam
from bias_jax.activations.attention import occlusion_maps as occlusion_maps
from bias_jax.activations.extraction import Bank as Bank
from bias_jax.activations.extraction import extract_bank as extract_bank
from bias_jax.activations.extraction import extract_wave as extract_wave
from bias_jax.activations.group_means import GroupMeans as GroupMeans
from bias_jax.activations.group_means import GroupSums as GroupSums
from bias_jax.activations.group_means import add_to_sums as add_to_sums
from bias_jax.activations.group_means import empty_sums as empty_sums
from bias_jax.activations.group_means import group_means as group_means
from bias_jax.activations.memory import LayerPlan as LayerPlan
from bias_jax.activations.memory import MemoryPlan as MemoryPlan
from bias_jax.activations.memory import Need as Need
from bias_jax.activations.memory import activation_shapes as activation_shapes
from bias_jax.activations.memory import pack as pack
from bias_jax.activations.memory import plan_memory as plan_memory
from bias_jax.activations.pooling import OUTPUT as OUTPUT
from bias_jax.activations.pooling import PIXELS as PIXELS
from bias_jax.activations.pooling import RULES as RULES
from bias_jax.activations.pooling import Rule as Rule
from bias_jax.activations.pooling import pool as pool
from bias_jax.activations.pooling import spread as spread
from bias_jax.activations.reinsertion import answers_to_changes as answers_to_changes
from bias_jax.activations.slopes import Slopes as Slopes
from bias_jax.activations.slopes import answer_slopes as answer_slopes
