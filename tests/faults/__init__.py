"""Random faults under load, with a model that knows the right answer: `python -m tests.faults --help`."""
