"""Intervals, corrections and variance partitions that analyses share."""

from bias_jax.statistics.bootstrap import bootstrap_weights as bootstrap_weights
from bias_jax.statistics.bootstrap import percentile_interval as percentile_interval
from bias_jax.statistics.bootstrap import stratified_bootstrap as stratified_bootstrap
from bias_jax.statistics.cross_validation import Exchange as Exchange
from bias_jax.statistics.cross_validation import cross_validated_spread as cross_validated_spread
from bias_jax.statistics.cross_validation import deviations as deviations
from bias_jax.statistics.differences import Differences as Differences
from bias_jax.statistics.differences import paired_differences as paired_differences
from bias_jax.statistics.factorial_design import ALL_GROUPS as ALL_GROUPS
from bias_jax.statistics.factorial_design import LEVELS as LEVELS
from bias_jax.statistics.factorial_design import FactorialDesign as FactorialDesign
from bias_jax.statistics.factorial_design import factorial_design as factorial_design
from bias_jax.statistics.multiple_testing import benjamini_hochberg as benjamini_hochberg
from bias_jax.statistics.multiple_testing import holm as holm
from bias_jax.statistics.multiple_testing import max_t as max_t
from bias_jax.statistics.permanova import VariancePartition as VariancePartition
from bias_jax.statistics.permanova import permanova as permanova
from bias_jax.statistics.permanova import relabellings as relabellings
from bias_jax.statistics.permuted_residuals import group_sums as group_sums
from bias_jax.statistics.persons import by_person as by_person
from bias_jax.statistics.persons import collapsed_strata as collapsed_strata
from bias_jax.statistics.persons import effective_trials as effective_trials
from bias_jax.statistics.persons import home_groups as home_groups
from bias_jax.statistics.persons import shuffled_blocks as shuffled_blocks
from bias_jax.statistics.proportions import clopper_pearson_interval as clopper_pearson_interval
from bias_jax.statistics.proportions import wilson_interval as wilson_interval
