"""Linear probes: which layers tell groups apart, and which groups are confused."""

from bias_jax.instruments.probes.instrument import Probes as Probes
from bias_jax.instruments.probes.stored import Shapes as Shapes
from bias_jax.instruments.probes.stored import fitting_results as fitting_results
from bias_jax.instruments.probes.stored import probe_facts as probe_facts
from bias_jax.instruments.probes.stored import probe_results as probe_results
from bias_jax.instruments.probes.stored import shapes_of as shapes_of
