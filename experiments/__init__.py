"""Entry points."""

import sys

from bias_jax.endings import begin

if sys.argv[0] == "-m":  # `python -m experiments.NAME` is starting; on an import argv names another program
    begin()
