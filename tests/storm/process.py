"""The process that a disaster happens to: python -m tests.storm.process LOG FAILING ARGUMENTS.."""

import os
import sys
from pathlib import Path

from bias_jax.endings import begin

if __name__ == "__main__":
    log, failing, *arguments = sys.argv[1:]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    begin()
    from tests.storm.disasters import fail_writes
    from tests.storm.subject import main

    assert Path(log).exists()
    fail_writes(failing)
    sys.exit(main(arguments))
