"""What promtool's tests prove of an alert: it fires, is quiet, over a restart, and without its series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

FIRES, QUIET, RESTART, ABSENT = KINDS = ("fires", "is quiet", "over a restart", "without its series")
#: Without their series these fire: that is what they are for.
OF_WHAT_IS_ABSENT = {"EvometricsPartMissing"}
SERIES = re.compile(r"\b(?:evometrics|ClickHouseMetrics)_\w+|\bprocess_start_time_seconds\b|\bup\b")
ALERT = re.compile(r'alertname(=~|!=|=)"([^"]+)"')


def proved(
    rules: Iterable[Mapping[str, Any]], tests: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, list[str]]]:
    """Return the names of the tests that prove each kind, by alert."""
    needed = {rule["alert"]: set(SERIES.findall(re.sub(r'"[^"]*"', "", rule["expr"]))) for rule in rules}
    found: dict[str, dict[str, list[str]]] = {alert: {kind: [] for kind in KINDS} for alert in needed}
    for test in tests:
        given = {each["series"].partition("{")[0] for each in test["input_series"]}
        for alert, fires in looked_at(test, needed):
            for kind in kinds_of(alert, fires, needed[alert], given, test["name"]):
                found[alert][kind].append(test["name"])
    return found


def looked_at(test: Mapping[str, Any], alerts: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Yield each alert that a test looks at, and whether it then fires."""
    for case in test.get("promql_expr_test", []):
        firing = set(re.findall(r'alertname="(\w+)",alertstate="firing"', str(case["exp_samples"])))
        for alert in alerts:
            if selects(case["expr"], alert):
                yield alert, alert in firing
    for case in test.get("alert_rule_test", []):
        yield case["alertname"], bool(case["exp_alerts"])


def kinds_of(alert: str, fires: bool, needed: set[str], given: set[str], name: str) -> Iterator[str]:
    """Yield what one look at an alert proves."""
    if fires:
        yield FIRES
    elif needed <= given:
        yield QUIET
    if needed <= given and "restart" in name:
        yield RESTART
    if not (needed - {"up"} or needed) & given and fires == (alert in OF_WHAT_IS_ABSENT):
        yield ABSENT


def selects(query: str, alert: str) -> bool:
    """Return whether a query for ALERTS asks for an alert, too."""
    if not query.startswith("ALERTS"):
        return False
    matcher = ALERT.search(query)
    if matcher is None:
        return True
    operator, value = matcher.groups()
    if operator == "=~":
        return re.fullmatch(value, alert) is not None
    return (value == alert) == (operator == "=")
