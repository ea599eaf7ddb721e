"""Nodes that the sink hears of: the newest report of each, until its collector says that it stops."""

from __future__ import annotations

import json

from evometrics.schemas.events import SystemEvent
from evometrics.sinks.worker.nodes import NodesHeard
from tests.support.sinks import common


def report(node: str, at: float, event_type: str = "collector_health", **data: object) -> SystemEvent:
    given = common("") | {"node_id": node, "occurred_at": round(at * 1e6)}
    return SystemEvent(**given, event_type=event_type, data=json.dumps({"outbox_depth": 0, **data}))


def shown(nodes: NodesHeard) -> dict[str, float]:
    (family,) = nodes.collect()
    return {sample.labels["node_id"]: sample.value for sample in family.samples}


def test_a_node_is_shown_with_its_newest_report_until_it_says_that_it_stops() -> None:
    nodes = NodesHeard(60)
    nodes.hear(report("one", 100.5), 0)
    nodes.hear(report("two", 90), 1)
    nodes.hear(report("one", 80), 0)  # of an outbox that was sent late
    assert shown(nodes) == {"one": 100.5, "two": 90}
    nodes.hear(report("one", 70, stops=True), 0)  # of a process before this one
    assert shown(nodes) == {"one": 100.5, "two": 90}
    nodes.hear(report("one", 110, stops=True), 0)
    assert shown(nodes) == {"two": 90}
    nodes.hear(report("one", 120), 0)
    assert shown(nodes) == {"one": 120, "two": 90}


def test_only_reports_make_a_node_known_and_another_sinks_nodes_are_not_shown() -> None:
    nodes = NodesHeard(60)
    nodes.hear(report("command", 100, event_type="dead_letters_retried"), 0)
    nodes.hear(report("one", 100), 0)
    nodes.hear(report("two", 100), 1)
    nodes.book.keep([1])
    assert shown(nodes) == {"two": 100}
