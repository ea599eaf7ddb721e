"""When each node was last heard of: what an alert on a silent node stands on, also where no one scrapes it.

A collector reports its health every `flush_interval`, and says in its last report that it stops. A node that
stopped is not shown; one that was killed, or is cut off, is shown with the time of its last report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from evometrics.schemas.events import SystemEvent
from evometrics.schemas.metrics import NODE_HEARD
from evometrics.schemas.service.agents import AgentBook, Shown

#: Nodes shown by one sink, at most.
MOST_NODES = 1000
#: The system event by which a collector reports its health.
HEALTH = "collector_health"
MICROSECONDS = 1_000_000


@dataclass(slots=True)
class NodeHeard(Shown):
    """A node's newest report, by its own clock, Unix microseconds."""

    at: int = 0


class NodesHeard(Collector):
    """The nodes whose reports come from this sink's partitions."""

    def __init__(self, forget_seconds: float) -> None:
        """`forget_seconds`: as in `AgentBook`."""
        self.book = AgentBook(NodeHeard, MOST_NODES, forget_seconds)

    def hear(self, event: SystemEvent, partition: int) -> None:
        """Take up a report; the last one of a collector that stops ends the node's series."""
        if event.event_type != HEALTH:
            return
        node = self.book.find(event.node_id, partition)
        if node is None or event.occurred_at < node.at:  # an outbox of a dead process may come late
            return
        node.at = event.occurred_at
        if stops(event.data):
            self.book.agents.pop(event.node_id, None)

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, for `prometheus_client`."""
        heard = GaugeMetricFamily(NODE_HEARD.name, NODE_HEARD.help, labels=NODE_HEARD.labels)
        for node_id, node in self.book.snapshot().items():
            heard.add_metric([node_id], node.at / MICROSECONDS)
        yield heard


def stops(data: str) -> bool:
    """Return whether a report says that its collector stops."""
    try:
        found = json.loads(data)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("stops") is True
