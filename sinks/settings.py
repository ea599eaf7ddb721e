"""Settings of the sink: how to reach ClickHouse, how large a batch is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from evometrics.schemas.letters.limit import LetterLimit
from evometrics.schemas.service.settings import check_url, require
from evometrics.schemas.service.tls import TlsNames, check_tls

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
SECRETS = ": EVOMETRICS_CLICKHOUSE_USER and EVOMETRICS_CLICKHOUSE_PASSWORD take them"
DEFAULT_PORTS = {"http": 8123, "https": 8443}
TLS_NAMES = TlsNames("url", "ca_cert", "client_cert", "client_cert_key", "server_host_name")
CLUSTER = re.compile(r"[A-Za-z0-9_.-]{1,64}|\{[A-Za-z0-9_]{1,62}\}")


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """How to reach ClickHouse over HTTP.

    Attributes:
        url: `http://host:port` or `https://host:port` of the HTTP interface, without user and password; its
            port, where left out, is 8123, or 8443 of https.
        user: ClickHouse user.
        password: the user's password.
        ca_cert: PEM file with the certificates of authorities to trust beside the system's; empty = none.
        client_cert: PEM file with this client's certificate, and its intermediates; empty = none is shown.
            Without a password the user logs in by it.
        client_cert_key: PEM file with its key, not encrypted; empty = it is in `client_cert`.
        server_host_name: the name in the server's certificate, where that is not the host in `url`.
        database: where tables and views live; `evometrics migrate` creates it.
        cluster: the ClickHouse cluster on whose servers `evometrics migrate` creates them: its name in the
            servers' configuration, or a macro that holds it, such as `{cluster}`; empty = one server.
    """

    url: str = "http://127.0.0.1:8123"
    user: str = "default"
    password: str = field(default="", repr=False)
    ca_cert: str = ""
    client_cert: str = ""
    client_cert_key: str = ""
    server_host_name: str = ""
    database: str = "evometrics"
    cluster: str = ""

    def __post_init__(self) -> None:
        check_url("url", self.url, "http://127.0.0.1:8123", SECRETS)
        parts = urlsplit(self.url)
        bare = parts.path in ("", "/") and not parts.query and not parts.fragment
        require(bare, "url", self.url, "leave out what follows the port (the database: --database)")
        check_tls(
            TLS_NAMES, self.url, self.ca_cert, self.client_cert, self.client_cert_key, self.server_host_name
        )
        require(bool(self.user), "user", self.user, "name a ClickHouse user, e.g. default")
        named = IDENTIFIER.fullmatch(self.database) is not None
        require(named, "database", self.database, "letters, digits and _ only, not a digit first")
        known = not self.cluster or CLUSTER.fullmatch(self.cluster) is not None
        require(
            known, "cluster", self.cluster, "letters, digits, _, . and - only, or a macro such as {cluster}"
        )

    @property
    def host(self) -> str:
        """The host in `url`."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port in `url`, else that of its scheme."""
        parts = urlsplit(self.url)
        return parts.port or DEFAULT_PORTS[parts.scheme]


@dataclass(frozen=True, slots=True)
class SinkSettings(LetterLimit):
    """How the sink worker groups messages into inserts.

    A batch is flushed when it is old enough or large enough; while one is being inserted the next one
    is collected, so at most two batches are in memory.

    Attributes:
        group: Kafka consumer group; workers with the same one share the partitions.
        batch_rows: messages after which a batch is flushed.
        batch_bytes: bytes of message values after which a batch is flushed.
        batch_seconds: seconds after its first message at which a batch is flushed; at most 60.
        metrics_agents: how many agents have metrics of their own on this sink, the most active ones, with
            some 40 series each; 0 = none.
        metrics_forget_seconds: seconds without events after which an agent's metrics are dropped.
    """

    group: str = "evometrics-sink"
    batch_rows: int = 50_000
    batch_bytes: int = 32_000_000
    batch_seconds: float = 0.25
    metrics_agents: int = 1000
    metrics_forget_seconds: float = 86_400.0

    def __post_init__(self) -> None:
        LetterLimit.__post_init__(self)
        require(bool(self.group), "group", self.group, "name a consumer group")
        require(self.batch_rows > 0, "batch_rows", self.batch_rows, "must be at least 1")
        require(self.batch_bytes > 0, "batch_bytes", self.batch_bytes, "must be at least 1")
        in_range = 0 < self.batch_seconds <= 60
        require(in_range, "batch_seconds", self.batch_seconds, "must be above 0 and at most 60 seconds")
        number = self.metrics_agents
        require(number >= 0, "metrics_agents", number, "must not be negative; 0 = none")
        seconds = self.metrics_forget_seconds
        require(seconds > 0, "metrics_forget_seconds", seconds, "must be above 0")
