"""This process's events as Prometheus metrics, pushed to a Pushgateway.

One group by node, which is deleted when the collector stops: a gateway forgets nothing by itself, and the
last values of processes that are gone would be averaged in for ever. A killed process leaves its group, and
the node's next process replaces it. Where several processes of a node push at a time, each further one has a
group of its own, `node-1`, `node-2`: in one group they would overwrite each other.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evometrics.producers.events.custom_metrics import RegisteredMetric
from evometrics.producers.exporters.exporter import INTERVAL, Exporter
from evometrics.producers.metrics.events import EventMetrics
from evometrics.producers.metrics.node import require_client
from evometrics.schemas.events import Event
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.settings import masked

JOB = "evolution_metrics"
TIMEOUT = 5.0
#: Processes of a node that push at a time, at most; beyond them they share the last group.
MOST_PROCESSES = 100


class Turn:
    """This process's number among those of its node that push, from 0; held until it is given back.

    By a lock on a file beside the outbox, which the system takes back from a process that is killed.
    """

    def __init__(self, beside: Path) -> None:
        """Raises OSError."""
        self.number = 0
        beside.parent.mkdir(parents=True, exist_ok=True)
        while not self.taken(beside.with_name(f"{beside.stem}.pushing-{self.number}")):
            self.number += 1

    def taken(self, path: Path) -> bool:
        """Try to take a number; True at the last one, whether or not another process has it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path, self.descriptor = path, os.open(path, flags, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if self.number < MOST_PROCESSES - 1:
                os.close(self.descriptor)
                return False
        return True

    def give_back(self) -> None:
        os.close(self.descriptor)


class PrometheusBackend(Exporter):
    """Pushes under a job, grouped by instance: the node, with a number where several processes push."""

    def __init__(
        self,
        gateway_url: str,
        job_name: str = JOB,
        *,
        node_id: str = "",
        interval: float = INTERVAL,
        beside: Path | None = None,
    ) -> None:
        """Raises `SettingsError` where prometheus_client is missing.

        `node_id`: empty = the host's name. `beside`: the file beside which this node's processes agree on
        their groups; None = this is the only one.
        """
        super().__init__(f"pushgateway {masked(gateway_url)}", interval)
        require_client("prometheus_gateway", gateway_url)
        from prometheus_client import CollectorRegistry

        self.gateway = gateway_url
        self.job = job_name
        self.node = node_id or socket.gethostname()
        self.beside = beside
        self.turn: Turn | None = None
        self.registry = CollectorRegistry()
        self.metrics = EventMetrics(self.registry)
        self.exposition = Exposition(self.registry)
        self.sending = threading.Lock()
        self.pushed = False

    @property
    def group(self) -> dict[str, str]:
        """The labels of this process's group beside the job."""
        number = self.turn.number if self.turn is not None else 0
        return {"instance": f"{self.node}-{number}" if number else self.node}

    def observe(self, event: Event) -> None:
        self.metrics.observe(event)

    def register(self, metric: RegisteredMetric) -> None:
        self.metrics.add(metric)

    def send(self) -> None:
        from prometheus_client import CollectorRegistry, push_to_gateway
        from prometheus_client.exposition import default_handler

        with self.sending:
            if self.turn is None and self.beside is not None:
                self.turn = Turn(self.beside)
            body = self.exposition.text().encode()

            def put(**given: Any) -> Callable[[], None]:
                """Send our body for that of a registry without metrics."""
                return default_handler(**given | {"data": body})

            few = CollectorRegistry()
            push_to_gateway(self.gateway, self.job, few, self.group, TIMEOUT, put)
            self.pushed = True

    def close(self) -> None:
        """Delete the group."""
        from prometheus_client import delete_from_gateway

        with self.sending:  # a push that is under way would bring it back
            if self.pushed:
                delete_from_gateway(self.gateway, self.job, grouping_key=self.group, timeout=TIMEOUT)
                self.pushed = False
            if self.turn is not None:
                self.turn.give_back()
                self.turn = None
