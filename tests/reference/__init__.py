"""The pages of `docs/reference`, made from the code: `python -m tests.reference` writes them.

Each module makes one page. What a page says comes from parsers, dataclasses, schemas, migrations and
docstrings; only headings and introductions stand here. `tests/test_docs.py` fails where a page is not what
its module makes, so whoever changes the code runs the command and commits the pages with it.
"""
