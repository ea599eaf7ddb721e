"""InfluxDB for tests: the real 1.x server where it is installed, and a stand-in that answers as told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from evometrics.producers.exporters.influxdb import InfluxDBBackend
from evometrics.schemas.events import EvolutionCompleted
from evometrics.schemas.ids import new_event_id

#: What a stand-in answers: status, headers, body.
Answer = tuple[int, dict[str, str], str]
TAKEN: Answer = (204, {}, "")


@dataclass
class Request:
    """What reached the stand-in."""

    path: str
    authorization: str | None
    lines: list[str]


@dataclass
class StandIn:
    """A server of InfluxDB's HTTP interface; `answer` says what it makes of a request."""

    port: int = 0
    answer: Callable[[Request], Answer] = lambda request: TAKEN
    requests: list[Request] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """Every line of every request, in order."""
        return [line for request in self.requests for line in request.lines]


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run a stand-in on a free port."""
    held = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            request = Request(self.path, self.headers["Authorization"], body.split("\n"))
            held.requests.append(request)
            status, headers, text = held.answer(request)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def completion(number: int = 0, **fields: Any) -> EvolutionCompleted:
    """Return a completion; `number` is in its evolution_id and its time."""
    values: dict[str, Any] = {
        "event_id": new_event_id(),
        "agent_id": "agent-1",
        "node_id": "node-1",
        "occurred_at": 1_700_000_000_000_000 + number,
        "started_at": 1_699_999_940_000_000,
        "evolution_id": f"e-{number}",
        "duration_seconds": 60.0,
        "memory_used_mb": 512.0,
        "success": True,
        "status": "succeeded",
        "pre_kpis": {"performance": 0.5},
        "post_kpis": {"performance": 0.75},
    }
    return EvolutionCompleted(**{**values, **fields})


def number_of(line: str) -> int:
    """Return the number of the completion that a line was made of."""
    return int(line.partition('evolution_id="e-')[2].partition('"')[0])


def filled(url: str, count: int, **more: Any) -> InfluxDBBackend:
    """Return a backend that has observed so many completions."""
    backend = InfluxDBBackend(url, **more)
    for number in range(count):
        backend.observe(completion(number))
    return backend
