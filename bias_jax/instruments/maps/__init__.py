"""Topographic activation maps: units that respond alike lie side by side, one map for each group."""

from bias_jax.instruments.maps.instrument import Maps as Maps
from bias_jax.instruments.maps.units import units_of_layers as units_of_layers
