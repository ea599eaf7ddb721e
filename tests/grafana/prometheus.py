"""The panels that ask Prometheus: each expression is asked as Grafana does, and its series are counted."""

from __future__ import annotations

import math

from tests.alerts.prometheus import Prometheus
from tests.grafana.macros import Shown
from tests.grafana.panels import Asked


def answered(asked: Asked, seen: Shown, prometheus: Prometheus) -> int:
    """Ask a panel's expression and return how many series have a number. Raises OSError."""
    expression = seen.expression(asked.target["expr"])
    if asked.target.get("instant"):
        found = prometheus.ask("query", query=expression, time=str(seen.end))["result"]
        values = [[each["value"]] for each in found]
    else:
        times = {"start": str(seen.begin), "end": str(seen.end), "step": str(seen.interval)}
        values = [
            each["values"] for each in prometheus.ask("query_range", query=expression, **times)["result"]
        ]
    return sum(any(math.isfinite(float(value)) for _, value in points) for points in values)


def highest(asked: Asked, seen: Shown, prometheus: Prometheus) -> float:
    """Return the highest value of a panel's expression at present; 0 where there is none."""
    found = prometheus.ask("query", query=seen.expression(asked.target["expr"]), time=str(seen.end))["result"]
    return max((float(each["value"][1]) for each in found), default=0.0)
