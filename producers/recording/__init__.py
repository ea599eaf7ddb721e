"""Recording without waiting: a recorder that any thread and callback may call, and a run of candidates."""

__all__: list[str] = []
