"""Completed evolutions as points in InfluxDB 1.x, 2.x and 3.x, written with InfluxDB's own client library.

2.x and 3.x share an interface, `/api/v2/write`; a bucket of 2.x is a database in 3.x, which ignores the
organisation. 1.x before 1.8 has only `/write`, which `?db=` in the URL selects.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit
from zlib import crc32

from evometrics.producers.exporters.exporter import INTERVAL, Exporter, TryLater
from evometrics.schemas.events import Event, EvolutionCompleted
from evometrics.schemas.evolutions.outcome import evolution_metrics
from evometrics.schemas.service.settings import SettingsError

logger = logging.getLogger(__name__)

MEASUREMENT = "evolution_metrics"
#: The specification's names.
BUCKET, ORGANISATION = "aivillage_evolution", "aivillage"
TIMEOUT = 5.0
#: Lines kept while InfluxDB is unreachable; beyond it the oldest are dropped, and counted.
MOST_LINES = 10_000
BATCH_LINES = 1000
#: Refused because of a line itself: it would be refused again. Anything else is retried.
FOR_GOOD = (400, 413, 422)
#: InfluxDB is overloaded.
PAUSES = (429, 503)
#: Refused lines kept for inspection.
MOST_REFUSED = 100
#: Seconds to wait where InfluxDB asks for a pause without a length; and the longest pause.
PAUSE, LONGEST_PAUSE = 5.0, 3600.0
TAGS = ("agent_id", "evolution_type", "node_id", "status", "strategy_used")
NUMBERS = (
    *("duration_minutes", "memory_used_mb", "cpu_percent_avg", "gpu_memory_mb", "performance_score"),
    *("baseline_performance", "improvement_delta", "relative_improvement", "quality_score", "efficiency"),
)
OTHERS = ("success", "error_count", "warning_count", "evolution_id")


class InfluxDBBackend(Exporter):
    """Sends each completion as a point at its time.

    Attributes:
        refused: number of lines that InfluxDB permanently refused; each was logged with the reason.
        refused_lines: the last of them, with the reason.
        dropped: lines dropped because InfluxDB was unreachable for too long.
    """

    def __init__(
        self,
        url: str,
        bucket: str = BUCKET,
        org: str = ORGANISATION,
        *,
        token: str = "",
        interval: float = INTERVAL,
    ) -> None:
        """`url` may contain `?db=` (1.x), or `?bucket=` and `&org=`, which override the arguments.

        Raises `SettingsError` where influxdb-client is not installed.
        """
        super().__init__(f"influxdb {urlsplit(url).hostname}", interval)
        if find_spec("influxdb_client") is None:
            raise SettingsError(
                f"setting influxdb_url={self.address!r}: needs influxdb-client; "
                "install `evometrics[influxdb]`, or leave the setting out"
            )
        from influxdb_client import InfluxDBClient

        self.target = target_of(url, bucket, org, token)
        self.client = InfluxDBClient(
            self.target.host,
            token=self.target.secret or None,
            org=org,
            timeout=int(TIMEOUT * 1000),
            auth_basic=self.target.basic,
        )
        self.lines: deque[str] = deque()
        self.lock = threading.Lock()
        self.sending = threading.Lock()
        self.dropped = 0
        self.refused = 0
        self.refused_lines: deque[tuple[str, str]] = deque(maxlen=MOST_REFUSED)

    def observe(self, event: Event) -> None:
        if isinstance(event, EvolutionCompleted):
            made = line(event)
            with self.lock:
                self.lines.append(made)
                self.drop_oldest()

    def send(self) -> None:
        with self.sending:
            while batch := self.next_batch():
                self.write(batch)

    def next_batch(self) -> list[str]:
        """Take the next lines out of the queue."""
        with self.lock:
            return [self.lines.popleft() for _ in range(min(BATCH_LINES, len(self.lines)))]

    def drop_oldest(self) -> None:
        """Keep only the newest lines; the caller holds the lock."""
        while len(self.lines) > MOST_LINES:
            self.lines.popleft()
            self.dropped += 1

    def write(self, lines: list[str]) -> None:
        """Write lines; those permanently refused are found, logged and kept, and the others are written.

        Raises `TryLater` where InfluxDB asks for a pause, OSError where it is unreachable; what is left is
        then at the head of the queue again.
        """
        parts = [lines]  # the last part is sent next
        while parts:
            try:
                reason = self.post(parts[-1])
            except BaseException:
                with self.lock:
                    for part in parts:
                        self.lines.extendleft(reversed(part))
                    self.drop_oldest()
                raise
            part = parts.pop()
            if reason and len(part) == 1:
                self.refuse(part[0], reason)
            elif reason:  # lines that were accepted are overwritten with the same values
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]

    def post(self, lines: list[str]) -> str:
        """Send one request; return why it was permanently refused, or empty text. Raises like `write`."""
        from influxdb_client.rest import ApiException
        from urllib3.exceptions import HTTPError

        try:
            self.client.api_client.call_api(
                self.target.path,
                "POST",
                query_params=list(self.target.query.items()),
                header_params={"Content-Type": "text/plain; charset=utf-8", "Accept": "application/json"},
                body="\n".join(lines).encode(),
                _return_http_data_only=True,
            )
        except HTTPError as error:
            raise OSError(str(error)) from error
        except ApiException as error:
            reason = f"{error.status} {' '.join(str(error.body or error.reason).split())[:300]}"
            if error.status in FOR_GOOD:
                return reason
            if error.status in PAUSES:
                raise TryLater(reason, pause_of(error.headers)) from None
            raise OSError(reason) from None
        return ""

    def refuse(self, refused: str, reason: str) -> None:
        """Count a line that InfluxDB permanently refuses, and log it with the reason."""
        self.refused += 1
        self.refused_lines.append((refused, reason))
        logger.error("%s: permanently refused: %s; the line: %s", self.address, reason, refused)


class InfluxTarget(NamedTuple):
    """Where to write: `secret` is a token, or `user:password` where `basic`."""

    host: str
    path: str
    query: dict[str, str]
    secret: str
    basic: bool


def target_of(url: str, bucket: str, org: str, token: str) -> InfluxTarget:
    """Return the target that a URL names. A path in the URL replaces that of the interface."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    path = "/write" if "db" in query else "/api/v2/write"
    if "db" not in query:
        query = {"bucket": bucket, "org": org, **query}
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    own = parts.path.rstrip("/")
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return InfluxTarget(host, own or path, {**query, "precision": "ns"}, pair or token, bool(pair))


def pause_of(headers: Any) -> float:
    """Return how many seconds InfluxDB asks to wait (Retry-After, in seconds)."""
    try:
        return min(LONGEST_PAUSE, max(0.0, float((headers or {})["Retry-After"])))
    except (KeyError, ValueError):
        return PAUSE


def line(event: EvolutionCompleted) -> str:
    """Return a completion as a line of InfluxDB's line protocol; what was not measured is left out.

    A point with the same tags and time as another replaces it. Our times are microseconds, so the nanoseconds
    are derived from the event: two evolutions at one moment stay two points, and one sent twice stays one.
    """
    from influxdb_client import Point

    metrics = evolution_metrics(event)
    point = Point(MEASUREMENT)
    for name in TAGS:
        point.tag(name, one_line(getattr(metrics, name)))
    for name in NUMBERS:
        value = getattr(metrics, name)
        point.field(name, None if value is None or name in metrics.unmeasured else float(value))
    if "network_bytes_transferred" not in metrics.unmeasured:
        point.field("network_bytes_transferred", metrics.network_bytes_transferred)
    for name in OTHERS:
        value = getattr(metrics, name)
        point.field(name, one_line(value) if isinstance(value, str) else value)
    point.time(event.occurred_at * 1000 + crc32(event.event_id.encode()) % 1000)
    return str(point.to_line_protocol())


def one_line(value: str) -> str:
    """Return a text without line breaks, which would end the point in InfluxDB 1.x."""
    return " ".join(value.split("\n")).replace("\r", " ")
