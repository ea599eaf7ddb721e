"""A node's `/metrics`: in threads of its own, so that a scrape delays neither recording nor sending."""

from __future__ import annotations

import logging
import threading

from evometrics.producers.metrics.node import NodeMetrics
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.http import PLAIN_TEXT, HealthServer, HttpAddress, HttpRequest, Response

logger = logging.getLogger(__name__)


def serve_metrics(port: int, host: str, metrics: NodeMetrics) -> HealthServer | None:
    """Listen; None where the address can't be bound, which is logged: recording continues without metrics."""

    exposition = Exposition(metrics.registry, beginnings=Beginnings())

    def answer(request: HttpRequest) -> Response:
        if request.path == "/metrics":
            return exposition.answer(request)
        if request.path == "/health/live":
            return Response(200, PLAIN_TEXT, b"ok\n")
        return Response(404, PLAIN_TEXT, b"try /metrics or /health/live\n")

    try:
        server = HealthServer(HttpAddress(port, host), answer)
    except OSError as error:
        logger.error(
            "can't serve /metrics on %s:%d: %s; give another prometheus_port", host, port, error.strerror
        )
        return None
    threading.Thread(target=server.serve_forever, name="evometrics-metrics", daemon=True).start()
    logger.info("metrics at http://%s:%d/metrics", host, server.port)
    return server
