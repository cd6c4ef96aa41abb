"""Sensitivity: whether the network's answer changes along what a layer holds of groups."""

from bias_jax.instruments.sensitivity.instrument import Sensitivity as Sensitivity
