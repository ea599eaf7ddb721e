"""Real clients at the embedded ClickHouse front, with their defaults; `python -m tests.clients` runs them."""
