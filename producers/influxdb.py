"""Completed evolutions as InfluxDB line protocol over HTTP: 1.x `/write`, 2.x `/api/v2/write`."""

from __future__ import annotations

import base64
import threading
import urllib.error
import urllib.request
from collections import deque
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from evometrics.producers.exporters import Exporter
from evometrics.schemas.events import Event, EvolutionCompleted
from evometrics.schemas.kpis import performance

MEASUREMENT = "evolution_metrics"
#: The specification's names.
BUCKET, ORGANISATION = "aivillage_evolution", "aivillage"
TIMEOUT = 5.0
#: Lines kept while InfluxDB is away; the oldest go first.
MOST_LINES = 10_000
BATCH_LINES = 1000
REFUSED = range(400, 500)
TRY_AGAIN = (401, 403, 404, 408, 429)


class InfluxExporter(Exporter):
    """Sends each completion once, as a point at its time."""

    def __init__(self, url: str, token: str, interval: float) -> None:
        super().__init__(f"influxdb {urlsplit(url).hostname}", interval)
        self.url, self.headers = write_address(url, token)
        self.lines: deque[str] = deque(maxlen=MOST_LINES)
        self.sending = threading.Lock()

    def observe(self, event: Event) -> None:
        if isinstance(event, EvolutionCompleted):
            self.lines.append(line(event))

    def send(self) -> None:
        with self.sending:
            while self.lines:
                batch = [self.lines.popleft() for _ in range(min(BATCH_LINES, len(self.lines)))]
                try:
                    self.post("\n".join(batch).encode())
                except urllib.error.HTTPError as error:
                    if error.code not in REFUSED or error.code in TRY_AGAIN:
                        self.lines.extendleft(reversed(batch[: MOST_LINES - len(self.lines)]))
                    raise OSError(f"{error.code} {error.read(300).decode(errors='replace')}") from None
                except OSError:
                    self.lines.extendleft(reversed(batch[: MOST_LINES - len(self.lines)]))
                    raise

    def post(self, body: bytes) -> None:
        """Send one batch."""
        request = urllib.request.Request(self.url, body, self.headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            response.read()


def write_address(url: str, token: str) -> tuple[str, dict[str, str]]:
    """Return the URL to write to and its headers.

    With `?db=` it is the 1.x interface; else 2.x, with the specification's bucket and organisation unless
    `?bucket=` and `&org=` name others. A path that is given is used as it is.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    if "db" in query:
        path = "/write"
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        path = "/api/v2/write"
        query = {"bucket": BUCKET, "org": ORGANISATION, **query}
        if token:
            headers["Authorization"] = f"Token {token}"
    host = parts.netloc.rpartition("@")[2]
    path = parts.path.rstrip("/") or path
    return f"{parts.scheme}://{host}{path}?{urlencode({**query, 'precision': 'ns'})}", headers


def line(event: EvolutionCompleted) -> str:
    """Return a completion as one line (InfluxDB line protocol; time in nanoseconds)."""
    tags = {
        "agent_id": event.agent_id,
        "evolution_type": event.evolution_type,
        "node_id": event.node_id,
        "status": event.status,
        "strategy": event.strategy_used,
    }
    before, after = performance(event.pre_kpis), performance(event.post_kpis)
    numbers = {
        "duration_seconds": event.duration_seconds,
        "memory_used_mb": event.memory_used_mb,
        "cpu_percent_avg": event.cpu_percent_avg,
        "performance_score": after,
        "baseline_performance": before,
        "improvement_delta": None if before is None or after is None else after - before,
    }
    fields = [f"{name}={float(value)!r}" for name, value in numbers.items() if value is not None]
    fields += [f"success={'true' if event.success else 'false'}", f"error_count={event.error_count}i"]
    fields += [f"warning_count={event.warning_count}i", f"evolution_id={quoted(event.evolution_id)}"]
    named = "".join(f",{name}={escaped(value)}" for name, value in tags.items() if value)
    return f"{MEASUREMENT}{named} {','.join(fields)} {event.occurred_at * 1000}"


def escaped(value: str) -> str:
    """Escape a tag's value; line breaks, which no tag may hold, become spaces; no backslash at the end."""
    value = " ".join(value.splitlines()).rstrip("\\") or "_"
    for character in ",= ":
        value = value.replace(character, "\\" + character)
    return value


def quoted(value: str) -> str:
    """Return a string field's value in quotes."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{" ".join(value.splitlines())}"'
