"""What a fleet of each size takes, calculated from what one event and one worker take.

Everything measured is in `docs/explanation/performance.md` and `limits.md`; what is assumed stands in
`Fleet`, and on the page. The results are for planning, and rounded up: nobody has run the larger ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from tests.reference.markdown import document, table

DAY = timedelta(days=1).total_seconds()
#: Microseconds of processor time for an event, a whole completion, at 12,608 events/s in plaintext.
MICROSECONDS = {"node": 39, "clickhouse": 43, "stream": 38, "sink": 22, "kafka": 12}
#: Of a broker for an event that comes in a request of its own, and is fetched so: from nodes with few events.
#: An upper limit: 1,000 nodes, of 0.15 events/s each, took 0.236 cores of one with the quick compiler only.
REQUEST_MICROSECONDS = 1590
#: How many times as much of it over TLS: of stream and sink as measured, of Kafka while it feeds both.
OVER_TLS = {"stream": 44 / 35, "sink": 28 / 12, "kafka": (126 + 63) / (25 + 7)}
#: Bytes of a completion in Avro; what it and its metrics take in ClickHouse.
AVRO_BYTES, RAW_BYTES, METRICS_BYTES = 1250, 503, 429
#: Days that completions and metrics are kept by default.
RAW_DAYS, METRICS_DAYS = 90, 730
#: Memory of a stream worker without agents, of each agent ever seen, and more of each of those active last.
WORKER_MB, AGENT_BYTES, ACTIVE_BYTES, ACTIVE_AGENTS = 180, 400, 2000, 20_000
TOPICS, CHANGELOGS, REPLICAS = 10, 7, 3


@dataclass(frozen=True)
class Fleet:
    """How many, and what is assumed of them.

    Attributes:
        nodes: orchestrator nodes.
        events_a_day: of each node: some 400 evolutions with 20 reports of progress.
        agents: of each node.
        peak: the busiest hour's rate, in mean rates: all work within eight hours.
        busy: the share of a core, or of a worker, that the busiest hour takes at most: the rest catches up
            after an outage as long as the hour.
        completions: the share of events that are completions, and so have metrics.
        connections: what a broker holds at most.
    """

    nodes: int
    events_a_day: int = 10_000
    agents: int = 10
    peak: float = 3.0
    busy: float = 0.5
    completions: float = 1 / 25
    connections: int = 20_000

    @property
    def mean(self) -> float:
        """Events a second over a day."""
        return self.nodes * self.events_a_day / DAY

    @property
    def busiest(self) -> float:
        """Events a second in the busiest hour."""
        return self.mean * self.peak

    def cores(self, part: str) -> float:
        """Cores that a part takes at its peak, over TLS, for each copy of the data."""
        return self.busiest * MICROSECONDS[part] * OVER_TLS.get(part, 1.0) / 1e6 / self.busy

    @property
    def broker_cores(self) -> float:
        """Cores of all brokers together at the peak, where each event comes in a request of its own."""
        return self.busiest * REQUEST_MICROSECONDS / 1e6 / self.busy

    def workers(self, part: str) -> int:
        """Worker processes of a part, of which each has one core; two at least, so that one may fail."""
        return max(2, math.ceil(self.cores(part)))

    @property
    def partitions(self) -> int:
        """Partitions of each topic: three for each worker, so that they spread, and twice that to grow."""
        workers = max(self.workers("stream"), self.workers("sink"))
        return max(12, math.ceil(workers * 6 / 12) * 12)

    @property
    def replicas(self) -> int:
        """Replicas of partitions that the brokers hold together."""
        return self.partitions * (TOPICS + CHANGELOGS) * REPLICAS

    @property
    def brokers(self) -> int:
        """Brokers of four cores; every node connects to all of them."""
        return max(REPLICAS, math.ceil(self.broker_cores / 4))

    @property
    def needs_relays(self) -> bool:
        """Whether nodes are more than a broker's connections."""
        return self.nodes > self.connections

    @property
    def stream_mb(self) -> float:
        """Memory of a stream worker at its peak, MB, when one of them is away."""
        workers = max(1, self.workers("stream") - 1)
        agents = self.nodes * self.agents / workers
        active = min(agents, ACTIVE_AGENTS * self.partitions / workers)
        return WORKER_MB + (agents * AGENT_BYTES + active * ACTIVE_BYTES) / 1e6

    @property
    def kafka_gb_a_day(self) -> float:
        """What brokers store a day together, GB: all events as completions, all derived ones as large."""
        return self.mean * DAY * AVRO_BYTES * (1 + self.completions * 2) * REPLICAS / 1e9

    @property
    def clickhouse_tb(self) -> float:
        """What a replica of ClickHouse holds in the end, TB: all events as large as completions."""
        events = self.mean * DAY
        return events * (RAW_BYTES * RAW_DAYS + METRICS_BYTES * self.completions * METRICS_DAYS) / 1e12

    @property
    def month_of_metrics(self) -> float:
        """Rows of `evolution_metrics` in a month."""
        return self.mean * DAY * self.completions * 30


FLEETS = tuple(Fleet(10**power) for power in (3, 4, 5))


def page() -> str:
    """Return the page."""
    rows = {
        "events a day": lambda f: f"{f.nodes * f.events_a_day:,}",
        "events/s, mean; busiest hour": lambda f: f"{f.mean:,.0f}; {f.busiest:,.0f}",
        "partitions of each topic": lambda f: f"{f.partitions}",
        "replicas of partitions, all topics": lambda f: (
            f"{f.partitions * (TOPICS + CHANGELOGS) * REPLICAS:,}"
        ),
        "Kafka: cores of all brokers, each event a request": lambda f: f"{f.broker_cores:.1f}",
        "brokers of four cores": lambda f: f"{f.brokers}",
        "connections to each broker": lambda f: f"{f.nodes:,}{', too many' if f.needs_relays else ''}",
        "Kafka, GB a day, three replicas": lambda f: f"{f.kafka_gb_a_day:,.0f}",
        "stream workers": lambda f: f"{f.workers('stream')}",
        "memory of each, MB, one being away": lambda f: f"{f.stream_mb:,.0f}",
        "sinks": lambda f: f"{f.workers('sink')}",
        "ClickHouse: cores of each replica for inserts": lambda f: (
            f"{max(2, math.ceil(f.cores('clickhouse')))}"
        ),
        "ClickHouse: TB of each replica after two years": lambda f: f"{f.clickhouse_tb:.2g}",
        "`evolution_metrics`: million rows a month": lambda f: f"{f.month_of_metrics / 1e6:,.0f}",
        "a node's processor time a day, s": lambda f: f"{f.events_a_day * MICROSECONDS['node'] / 1e6:.1f}",
    }
    fleet = FLEETS[0]
    assumed = (
        f"Assumed: a node records {fleet.events_a_day:,} events a day (some 400 evolutions with 20 reports "
        f"of progress each) of {fleet.agents} agents, within eight hours, so that the busiest hour has "
        f"{fleet.peak:g} times the mean rate; the busiest hour takes {fleet.busy:.0%} of each worker. All "
        "events cost what a completion does, which is the largest, and all links are TLS with SASL."
    )
    measured = (
        "Measured: microseconds of processor time of an event by part ("
        + ", ".join(f"{part} {cost}" for part, cost in MICROSECONDS.items())
        + f"), and times as much over TLS (stream {OVER_TLS['stream']:.1f}, sink {OVER_TLS['sink']:.1f}, "
        f"Kafka {OVER_TLS['kafka']:.1f}, whose JVM had only its quick compiler); "
        f"of a broker {REQUEST_MICROSECONDS:,} for an event that comes in a request of its own: "
        "[Performance](../explanation/performance.md). Memory: [Limits](../explanation/limits.md#memory)."
    )
    head = ["", *(f"{fleet.nodes:,} nodes" for fleet in FLEETS)]
    made = table(head, [[name, *(show(fleet) for fleet in FLEETS)] for name, show in rows.items()])
    outro = (
        "What breaks first at each size, and the settings for it: [Scale](../explanation/scale.md). The "
        "arithmetic is `tests/reference/sizes.py`: change what is assumed there for your fleet, and run "
        "`python -m tests.reference`."
    )
    return document("Sizes", assumed, measured, made, outro)
