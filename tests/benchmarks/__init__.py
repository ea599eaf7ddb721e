"""How fast the pipeline is, beside other ways to do the same work: `python -m tests.benchmarks --help`."""
