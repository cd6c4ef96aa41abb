"""Papers whose findings are tested, a module each; see `experiments.reproduce`."""
