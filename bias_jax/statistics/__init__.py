"""Intervals and corrections that all analyses share."""

from bias_jax.statistics.bootstrap import bootstrap_weights as bootstrap_weights
from bias_jax.statistics.bootstrap import percentile_interval as percentile_interval
from bias_jax.statistics.bootstrap import stratified_bootstrap as stratified_bootstrap
from bias_jax.statistics.multiple_testing import benjamini_hochberg as benjamini_hochberg
from bias_jax.statistics.multiple_testing import holm as holm
from bias_jax.statistics.proportions import clopper_pearson_interval as clopper_pearson_interval
from bias_jax.statistics.proportions import wilson_interval as wilson_interval
