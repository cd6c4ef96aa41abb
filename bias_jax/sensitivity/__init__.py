"""Whether a network uses what a layer holds: directions between groups, and what answers change along them."""

from bias_jax.sensitivity.directions import Span as Span
from bias_jax.sensitivity.directions import between as between
from bias_jax.sensitivity.directions import contrast as contrast
from bias_jax.sensitivity.directions import span_of as span_of
from bias_jax.sensitivity.means import mean_interval as mean_interval
from bias_jax.sensitivity.permuted import Tested as Tested
from bias_jax.sensitivity.permuted import beyond as beyond
from bias_jax.sensitivity.permuted import permuted_test as permuted_test
