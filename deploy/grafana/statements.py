"""Expressions that statements of several panels share, in the plugin's macros and Grafana's variables."""

from __future__ import annotations

from evometrics.deploy.grafana.panels import STATUS_COLOURS
from evometrics.deploy.ui.pages.statements import ENDED, GAIN, RATES

#: Rows of candidates within the dashboard's time; those of whole runs have the candidates' costs once more.
WHERE = "$__timeFilter(occurred_at) AND NOT endsWith(evolution_type, '_run')"
#: A run's name; what belongs to none goes by its type, as a node's evolutions of a night do.
RUN = "ifNull(run_id, concat(evolution_type, ' (no run)'))"
AT = "$__timeInterval(occurred_at) AS time"
BY_STATUS = ", ".join(f"countIf(status = '{each}') AS {each}" for each in STATUS_COLOURS)
#: Whether a lower score is better.
MINIMIZED = "ifNull(any(direction), '') = 'minimize'"
BEST = f"if({MINIMIZED}, min(performance_score), max(performance_score))"
COST_PER_SUCCESS = "sumOrNull(cost_usd) / nullIf(countIf(success), 0)"

__all__ = [
    "AT",
    "BEST",
    "BY_STATUS",
    "COST_PER_SUCCESS",
    "ENDED",
    "GAIN",
    "MINIMIZED",
    "RATES",
    "RUN",
    "WHERE",
    "chosen",
    "newest",
    "success",
]


def success(of: str) -> str:
    """Return a statement for the share of some evolutions that succeeded, and the ends of its interval.

    `of`: where they are, from `FROM` on.
    """
    return (
        f"SELECT success_rate, low, high FROM (SELECT {ENDED} AS attempts, "
        f"countIf(success) AS succeeded, {RATES} {of})"
    )


def newest(select: str, most: int) -> str:
    """Return a statement with `time` that gives its newest rows, oldest first."""
    return f"SELECT * FROM ({select} ORDER BY time DESC LIMIT {most}) ORDER BY time"


def chosen(column: str, variable: str) -> str:
    """Return that a column has one of the values chosen for a variable, or any where that is All."""
    return f"$__conditionalAll({column} IN (${{{variable}:singlequote}}), ${variable})"
