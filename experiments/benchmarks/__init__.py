"""One module per benchmark: `add_options(parser)` and `benchmark(options) -> int`."""
