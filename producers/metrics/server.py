"""A node's `/metrics`: in threads of its own, so that a scrape delays neither recording nor sending."""

from __future__ import annotations

import logging
import threading

from evometrics.producers.metrics.node import NodeMetrics
from evometrics.schemas.service.beginnings import Beginnings
from evometrics.schemas.service.exposition import Exposition
from evometrics.schemas.service.http import (
    PLAIN_TEXT,
    HealthServer,
    HttpAddress,
    HttpRequest,
    HttpSettings,
    Response,
)
from evometrics.schemas.service.settings import SettingsError, read_settings

logger = logging.getLogger(__name__)


def serve_metrics(port: int, host: str, metrics: NodeMetrics) -> HealthServer | None:
    """Listen; None where that is impossible, which is logged: recording continues without metrics.

    With a certificate and a token where `EVOMETRICS_HTTP_…` sets them, as the other parts.
    """
    exposition = Exposition(metrics.registry, Beginnings())

    def answer(request: HttpRequest) -> Response:
        if request.path == "/metrics":
            return exposition.answer(request)
        if request.path == "/health/live":
            return Response(200, PLAIN_TEXT, b"ok\n")
        return Response(404, PLAIN_TEXT, b"try /metrics or /health/live\n")

    try:
        http = read_settings(HttpSettings, "http")
        server = HealthServer(HttpAddress(port, host, http.certificate, http.key, http.token), answer)
    except SettingsError as error:
        logger.error("can't serve /metrics: %s", error)
        return None
    except OSError as error:
        logger.error(
            "can't serve /metrics on %s:%d: %s; give another prometheus_port", host, port, error.strerror
        )
        return None
    threading.Thread(target=server.serve_forever, name="evometrics-metrics", daemon=True).start()
    scheme = "https" if http.certificate else "http"
    logger.info("metrics at %s://%s:%d/metrics", scheme, host, server.port)
    return server
