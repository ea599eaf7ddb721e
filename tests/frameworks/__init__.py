"""The real frameworks, recorded through the whole pipeline; `python -m tests.frameworks` runs them.

A framework is a module in `runs`, named as its adapter, with

- `PACKAGES`: what `pip install` takes to get it; the first one's version is in the table;
- `run(recorder, folder) -> Expected`: runs it with the adapter and that recorder, in a folder of its own, and
  returns what the framework itself says that it did. Each run is a process of its own.
"""
