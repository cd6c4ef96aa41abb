"""The run directory: manifest, arrays, tidy tables, atomic writes, resume."""

from bias_jax.results.arrays import read_arrays as read_arrays
from bias_jax.results.arrays import write_arrays as write_arrays
from bias_jax.results.provenance import device as device
from bias_jax.results.provenance import versions as versions
from bias_jax.results.run_directory import DamagedError as DamagedError
from bias_jax.results.run_directory import Folder as Folder
from bias_jax.results.run_directory import RunDirectory as RunDirectory
from bias_jax.results.run_directory import exclusive as exclusive
