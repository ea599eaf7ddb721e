"""The pages of `docs/reference`, made from the code: `python -m tests.reference` writes them.

Each page has a module of its name here. What a page says comes from parsers, dataclasses, schemas, migrations
and docstrings; only headings and introductions stand here. `tests/test_docs.py` fails where a page differs
from what its module makes, so whoever changes the code runs the command and commits the pages with it.
`reading` and `calls` are for that test: what stands in any page, and whether the command line takes it.
"""
