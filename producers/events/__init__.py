"""From an application's objects to events and their bytes; a bad value costs only that value.

Pure, except for the clock. Imports the contract, `ticks`, and what `resources` measures.
"""

__all__ = [
    "cells",
    "convert",
    "custom_metrics",
    "encoder",
    "evolution_events",
    "given",
    "jsontext",
    "kpi",
    "left_out",
    "metric_row",
    "open_evolutions",
    "progress",
    "values",
]
