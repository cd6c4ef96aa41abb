"""Variance partition: how much of the distance between groups is each attribute or interaction."""

from bias_jax.instruments.variance.instrument import Variance as Variance
