"""From published weights files to checkpoints of this project."""

import sys

from bias_jax.endings import end_at_once_on_signals

if sys.argv[0] == "-m":  # `python -m converters` is starting; on an import argv names another program
    end_at_once_on_signals()

from converters.torchvision import convert as convert
