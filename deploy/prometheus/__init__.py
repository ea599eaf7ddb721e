"""Prometheus: the alert rules, and examples of its and Alertmanager's configuration; data files without code.

`evometrics alerts` prints them. Imports nothing.
"""

__all__: list[str] = []
