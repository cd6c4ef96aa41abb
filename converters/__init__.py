"""From published weights files to checkpoints of this project."""

import sys

from bias_jax.endings import begin

if sys.argv[0] == "-m":  # `python -m converters` is starting; on an import argv names another program
    begin()

from converters.fitting import convert as convert
