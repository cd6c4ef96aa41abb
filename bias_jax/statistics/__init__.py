"""Intervals that all analyses share."""

from bias_jax.statistics.bootstrap import percentile_interval as percentile_interval
from bias_jax.statistics.bootstrap import stratified_bootstrap as stratified_bootstrap
from bias_jax.statistics.proportions import wilson_interval as wilson_interval
