"""Pooled activations of every layer, in banks on the device."""

from bias_jax.activations.attention import LinearScore as LinearScore
from bias_jax.activations.attention import grad_cam as grad_cam
from bias_jax.activations.attention import occlusion_maps as occlusion_maps
from bias_jax.activations.extraction import Bank as Bank
from bias_jax.activations.extraction import extract_bank as extract_bank
from bias_jax.activations.extraction import extract_batch as extract_batch
from bias_jax.activations.memory import LayerPlan as LayerPlan
from bias_jax.activations.memory import MemoryPlan as MemoryPlan
from bias_jax.activations.memory import plan_memory as plan_memory
from bias_jax.activations.pooling import PIXELS as PIXELS
from bias_jax.activations.pooling import RULES as RULES
from bias_jax.activations.pooling import pool as pool
