"""A collector's settings: the specification's config keys, ours, and the broker's."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from evometrics.producers.events.progress import ProgressSampling
from evometrics.schemas.kafka.client_options import client_options, named
from evometrics.schemas.rules.validation import NAME_CHARACTERS
from evometrics.schemas.service.settings import (
    FROM_FILE,
    KafkaSettings,
    Masked,
    in_environment,
    read_settings,
    require,
    variable_of,
)
from evometrics.schemas.wire.registry import open_registry

logger = logging.getLogger(__name__)

S = TypeVar("S")


@dataclass(frozen=True, slots=True, repr=False)
class CollectorSettings(Masked):
    """How one collector records.

    Attributes:
        buffer_size: number of waiting events at which the outbox commits at once; with fewer it commits a
            few milliseconds after its last commit. A commit takes all events that wait.
        flush_interval: seconds between two `collector_health` events, between two exports, and between two
            searches for outboxes that dead processes left.
        db_path: name of the outbox files: `evometrics.db` gives `evometrics-<pid>-<n>.db` in the same folder.
        history_db: SQLite file with this node's own history, for `LocalMetricsQuery`. Empty = `db_path`
            itself if no broker is named (events end there), else no history.
        retention_days: days for which the history keeps what was written, and for which a message that the
            broker refused permanently is kept for inspection. A message that is not sent yet is kept for any
            length of time.
        prometheus_gateway: address of a Pushgateway; empty = none.
        influxdb_url: URL of InfluxDB: for 1.x with `?db=`, for 2.x with `?bucket=` and `&org=`, for 3.x with
            the database as `?bucket=`; empty = none.
        influxdb_token: API token for InfluxDB 2.x and 3.x.
        node_id: this node's name in every event; empty = the host's name.
        outbox_max_mb: size of the outbox, MB (10^6 bytes), above which events are shed, progress first.
        stop_timeout: seconds that `stop()` waits for the outbox to drain.
        strict: raise `InvalidEvent` if a value can't be kept or an event can't be recorded.
        progress_interval: which progress reports become events: seconds between two (`5`), or one in every N
            (`every 10`); the last one always does. Empty = all.
        prometheus_port: port on which this node serves its own `/metrics`; 0 = any free port, none = not
            served.
        prometheus_host: address to bind for `prometheus_port`; loopback unless a scraper must reach it.
    """

    buffer_size: int = 100
    flush_interval: float = 60.0
    db_path: str = "evolution_metrics.db"
    history_db: str = ""
    retention_days: float = 90.0
    prometheus_gateway: str = ""
    influxdb_url: str = ""
    influxdb_token: str = field(default="", repr=False)
    node_id: str = ""
    outbox_max_mb: float = 1024.0
    stop_timeout: float = 10.0
    strict: bool = False
    progress_interval: str = ""
    prometheus_port: int | None = None
    prometheus_host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        require(self.buffer_size > 0, "buffer_size", self.buffer_size, "must be at least 1")
        for name in ("flush_interval", "retention_days", "outbox_max_mb"):
            require(0 < getattr(self, name) < 1e9, name, getattr(self, name), "must be above 0")
        require(0 <= self.stop_timeout < 1e6, "stop_timeout", self.stop_timeout, "must not be negative")
        require(bool(Path(self.db_path).name), "db_path", self.db_path, "name a file, e.g. evolution.db")
        for name in ("db_path", "history_db"):
            if path := getattr(self, name):  # the process may change its working directory
                object.__setattr__(self, name, str(Path(path).expanduser().absolute()))
        for name in ("prometheus_gateway", "influxdb_url"):
            check_address(name, getattr(self, name), scheme_needed=name == "influxdb_url")
        if not self.node_id:
            object.__setattr__(self, "node_id", socket.gethostname() or "node")
        fits = len(self.node_id) <= NAME_CHARACTERS and self.node_id.isprintable()
        require(fits, "node_id", self.node_id[:100], f"give at most {NAME_CHARACTERS} printable characters")
        port = self.prometheus_port
        require(port is None or 0 <= port < 65536, "prometheus_port", port, "give a port, 0 to 65535")
        ProgressSampling.of(self.progress_interval)


OWN_KEYS = frozenset(f.name for f in dataclasses.fields(CollectorSettings))
KAFKA_KEYS = frozenset(f.name for f in dataclasses.fields(KafkaSettings))
#: Keys that a collector's config may have.
CONFIG_KEYS = OWN_KEYS | KAFKA_KEYS


def check_address(name: str, value: str, *, scheme_needed: bool) -> None:
    """Raise `SettingsError` unless the value is empty or an HTTP address."""
    if not value:
        return
    text = value if scheme_needed or "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid, parts = False, urlsplit("")
    require(valid, name, value, "give an address such as http://127.0.0.1:9091")
    if name == "prometheus_gateway":
        require("@" not in parts.netloc, name, value, "leave user and password out of it: they are not sent")


def collector_settings(
    config: Mapping[str, Any] | None = None,
) -> tuple[CollectorSettings, KafkaSettings | None]:
    """Read a collector's `config`: the fields of `CollectorSettings` and of `KafkaSettings`, by name.

    What the config leaves out is read from `EVOMETRICS_COLLECTOR_<NAME>` and `EVOMETRICS_KAFKA_<NAME>`; an
    entry of None counts as left out. Where neither names `brokers` there is no broker (None), and events are
    delivered to `history_db`, by default `db_path`. Unknown keys are the orchestrator's own: they are named
    in one warning. Raises `SettingsError` naming a bad value.
    """
    given = {str(key): value for key, value in (config or {}).items() if value is not None}
    if unknown := sorted(set(given) - CONFIG_KEYS):
        logger.warning(
            "config: no settings of evometrics, ignored: %s", ", ".join(suggested(unknown, CONFIG_KEYS))
        )
    if isinstance(given.get("brokers"), list | tuple):
        given["brokers"] = ",".join(map(str, given["brokers"]))
    collector = read(CollectorSettings, "collector", {k: v for k, v in given.items() if k in OWN_KEYS})
    kafka = read(KafkaSettings, "kafka", {k: v for k, v in given.items() if k in KAFKA_KEYS})
    has_broker = "brokers" in given or in_environment("kafka", "brokers", os.environ) is not None
    if has_broker or kafka.brokers != KafkaSettings().brokers:  # a client.properties may name them
        kafka = named(kafka, "node", collector.node_id)
        # what can't be loaded is an error here, and not later, in the background
        client_options(kafka)
        open_registry(kafka)
        return collector, kafka
    return dataclasses.replace(collector, history_db=collector.history_db or collector.db_path), None


def suggested(unknown: Iterable[str], known: Collection[str]) -> Iterator[str]:
    """Yield each unknown name, with the setting that it may be a misspelling of."""
    for name in unknown:
        near = get_close_matches(name.lower(), known, n=1, cutoff=0.75)
        yield f"{name} (did you mean {near[0]}?)" if near else name


def read(cls: type[S], section: str, given: dict[str, Any]) -> S:
    """Read one class; values given in code take precedence over the environment."""
    hidden = {variable_of(section, name) + end for name in given for end in ("", FROM_FILE)}
    environ = {name: value for name, value in os.environ.items() if name not in hidden}
    return read_settings(cls, section, environ=environ, file={section: given})
