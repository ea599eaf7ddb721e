"""Recording from code that does not wait: a recorder for any thread and callback, and a run with candidates."""

__all__: list[str] = []
