"""Producers in other languages against the whole pipeline; `python -m tests.other_producers` runs them."""
