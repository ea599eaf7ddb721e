"""A module for each framework; `tests.frameworks` says what it holds."""
