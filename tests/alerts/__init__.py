"""Each alert on a real stack, with a real Prometheus and the fault made; `python -m tests.alerts` runs it."""
