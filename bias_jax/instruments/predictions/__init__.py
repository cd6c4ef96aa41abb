"""Predictions: what the network itself says of people, by group."""

from bias_jax.instruments.predictions.instrument import Predictions as Predictions
