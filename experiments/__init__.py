"""Entry points."""

import sys

from bias_jax.endings import end_at_once_on_signals

if sys.argv[0] == "-m":  # `python -m experiments.NAME` is starting; on an import argv names another program
    end_at_once_on_signals()
