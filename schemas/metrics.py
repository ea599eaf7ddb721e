"""Every Prometheus metric of the project: name, kind, meaning, labels, buckets.

The one place where a metric is declared: parts ask `Instruments` for the object of a definition, alert
rules and dashboards name what is written here. Metrics of evolutions and agents come from events, once
each; metrics of the pipeline come from the part that serves them.

Long because every metric is declared here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric.

    Attributes:
        name: as scraped; a counter's ends in `_total`.
        kind: what Prometheus takes it for.
        help: what it says, and in which unit.
        labels: label names, in the order their values are given.
        buckets: a histogram's upper bounds, ascending, without +Inf.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


#: Upper bounds of durations, seconds: the specification's six, and more for those of a fraction of a second
#: (with the six alone 0.2 s read as a median of 30 s) and of a day.
DURATION_BOUNDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 28800, 86400)

# Evolutions over all agents: rates and increases are taken of these.
ATTEMPTS = MetricDef(
    "evometrics_evolution_attempts_total",
    "counter",
    "Evolutions that ended, over all agents, by status: succeeded, failed, rolled_back, pruned, rejected or "
    "abandoned.",
    ("evolution_type", "status"),
)
DURATION = MetricDef(
    "evometrics_evolution_duration_seconds",
    "histogram",
    "Duration of completed evolutions over all agents, seconds (abandoned ones excluded).",
    ("evolution_type",),
    DURATION_BOUNDS,
)
MEMORY = MetricDef(
    "evometrics_evolution_memory_mb",
    "histogram",
    "Peak memory of evolutions over all agents, MB (10^6 bytes), of those for which it is known.",
    ("evolution_type",),
    (100, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000),
)
IMPROVEMENT = MetricDef(
    "evometrics_evolution_improvement",
    "histogram",
    "Performance after minus before of evolutions over all agents, of those for which both are known; "
    "without `_sum` and `_count`, since it can be negative: the bucket `+Inf` has their number.",
    ("evolution_type",),
    (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
)

# Nodes, as the pipeline hears of them.
NODE_HEARD = MetricDef(
    "evometrics_node_heard_timestamp_seconds",
    "gauge",
    "When a node last reported its health, by its own clock, Unix seconds. A node whose collector "
    "has stopped is not shown.",
    ("node_id",),
)

# Evolutions and agents: what the specification names.
EVOLUTION_ATTEMPTS = MetricDef(
    "evolution_attempts_total",
    "counter",
    "An agent's evolutions that ended, by status: succeeded, failed, rolled_back, pruned, rejected or "
    "abandoned.",
    ("agent_id", "evolution_type", "status"),
)
EVOLUTION_DURATION = MetricDef(
    "evolution_duration_seconds",
    "histogram",
    "Duration of an agent's completed evolutions, seconds (abandoned ones excluded).",
    ("agent_id", "evolution_type"),
    DURATION.buckets,
)
EVOLUTION_IMPROVEMENT = MetricDef(
    "evolution_performance_improvement",
    "gauge",
    "Performance after minus before, of the agent's newest evolution for which both are known.",
    ("agent_id",),
)
EVOLUTION_MEMORY = MetricDef(
    "evolution_memory_used_mb",
    "gauge",
    "Peak memory of the agent's newest evolution for which it is known, MB (10^6 bytes).",
    ("agent_id",),
)
AGENT_KPI = MetricDef(
    "agent_kpi_current",
    "gauge",
    "KPIs of the agent's newest snapshot by event time: the standard ones, overall_performance and extras.",
    ("agent_id", "kpi_name"),
)

# A node: what its collector tells of itself.
OUTBOX_EVENTS = MetricDef(
    "evometrics_outbox_events", "gauge", "Events that the broker has not acknowledged yet."
)
OUTBOX_BYTES = MetricDef(
    "evometrics_outbox_bytes", "gauge", "Size of the events in this process's outbox, bytes."
)
DISK_FREE = MetricDef(
    "evometrics_disk_free_bytes",
    "gauge",
    "Space left on the disk of a data folder (kafka, clickhouse, stream, outbox), bytes.",
    ("folder",),
)
OUTBOX_OLDEST_SECONDS = MetricDef(
    "evometrics_outbox_oldest_seconds",
    "gauge",
    "Age of the oldest event that waits in the outbox, seconds; 0 if none waits.",
)
BROKER_CONNECTED = MetricDef("evometrics_broker_connected", "gauge", "1 while the node can send, else 0.")
EVENTS_RECORDED = MetricDef(
    "evometrics_events_recorded_total", "counter", "Events that reached the outbox.", ("topic",)
)
EVENTS_SENT = MetricDef(
    "evometrics_events_sent_total", "counter", "Events that the broker has acknowledged.", ("topic",)
)
EVENTS_SHED = MetricDef(
    "evometrics_events_shed_total", "counter", "Events dropped because the outbox was full.", ("topic",)
)
VALUES_LEFT_OUT = MetricDef(
    "evometrics_values_left_out_total",
    "counter",
    "Values that were left out, cut or corrected because they could not be kept, by field of the event.",
    ("field",),
)
EVENTS_REJECTED = MetricDef(
    "evometrics_events_rejected_total",
    "counter",
    "Events that could not be recorded because they named no agent.",
)
EVENTS_REFUSED = MetricDef(
    "evometrics_events_refused_total",
    "counter",
    "Events that the broker refused permanently; they are kept on the node.",
)
EVENTS_FAILED = MetricDef(
    "evometrics_events_failed_total", "counter", "Events that could not be written to the outbox."
)
PUBLISH_ERRORS = MetricDef(
    "evometrics_publish_errors_total", "counter", "Failed attempts to send; each was tried again."
)
RECORD_SECONDS = MetricDef(
    "evometrics_record_seconds",
    "histogram",
    "Time from recording an event until it is on disk, seconds.",
    (),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)

# Every worker.
BUILD_INFO = MetricDef(
    "evometrics_build_info",
    "gauge",
    "Always 1: the version that runs, and as which part (sink, stream, node).",
    ("version", "part"),
)
READY = MetricDef("evometrics_ready", "gauge", "1 where /health/ready says ok, else 0.")
STUCK_SECONDS = MetricDef(
    "evometrics_stuck_seconds",
    "gauge",
    "Seconds for which the worker has had work, all that it needs answered, and nothing made progress; at "
    "`stuck_seconds` /health/live fails.",
)
REACHABLE = MetricDef(
    "evometrics_reachable",
    "gauge",
    "1 where a dependency (kafka, clickhouse, registry) answered this worker's last question, else 0.",
    ("dependency",),
)
REPLICAS_MISSING = MetricDef(
    "evometrics_replicas_missing",
    "gauge",
    "Replicas that are not in sync, over all partitions of a topic that the worker reads; one without "
    "a leader counts as all of its replicas.",
    ("topic",),
)
REBALANCES = MetricDef(
    "evometrics_rebalances_total", "counter", "Assignments of partitions that the group gave this worker."
)

# The sink.
MESSAGES_CONSUMED = MetricDef(
    "evometrics_messages_consumed_total", "counter", "Messages read from Kafka.", ("topic",)
)
ROWS_INSERTED = MetricDef(
    "evometrics_rows_inserted_total", "counter", "Rows ClickHouse acknowledged.", ("table",)
)
BATCHES_INSERTED = MetricDef(
    "evometrics_batches_inserted_total", "counter", "Inserts ClickHouse acknowledged.", ("table",)
)
INSERT_RETRIES = MetricDef(
    "evometrics_insert_retries_total", "counter", "Inserts tried again after a failure.", ("table",)
)
INSERT_SECONDS = MetricDef(
    "evometrics_insert_seconds",
    "histogram",
    "Time from sending an insert to ClickHouse's acknowledgement, seconds; failed tries included.",
    ("table",),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
CONSUMER_LAG = MetricDef(
    "evometrics_consumer_lag",
    "gauge",
    "Messages in an assigned partition beyond the group's committed offset, as the broker says every 5 s.",
    ("topic", "partition"),
)
OFFSETS_GONE = MetricDef(
    "evometrics_offsets_gone_total",
    "counter",
    "Offsets that Kafka no longer held when the worker tried to read them: messages lost to retention.",
    ("topic",),
)
DEAD_LETTERS_TOTAL = MetricDef(
    "evometrics_dead_letters_total",
    "counter",
    "Messages set aside, by the topic they came from: by the sink where they can't be read or stored, by the "
    "stream where they can't be computed with, or are of a topic that no sink reads. Each counts once.",
    ("topic", "stage"),
)

# The stream processors.
STREAM_EVENTS = MetricDef("evometrics_stream_events_total", "counter", "Events processed.", ("topic",))
STREAM_OUTPUTS = MetricDef(
    "evometrics_stream_outputs_total", "counter", "Derived events produced and acknowledged.", ("topic",)
)
STREAM_DUPLICATES = MetricDef(
    "evometrics_stream_duplicates_total",
    "counter",
    "Events skipped because their event_id was known, by lane (evolutions, snapshots, scopes).",
    ("lane",),
)
STREAM_LATE = MetricDef(
    "evometrics_stream_late_total",
    "counter",
    "Scopes for which an event was too late, because their windows are final, by lane.",
    ("lane",),
)
STREAM_UNREADABLE = MetricDef(
    "evometrics_stream_unreadable_total",
    "counter",
    "Messages that the stream could not read; each has a dead letter. The sink counts its own.",
    ("topic",),
)
STREAM_BATCH_SECONDS = MetricDef(
    "evometrics_stream_batch_seconds",
    "histogram",
    "Time from taking up batches until their outputs and states are acknowledged, seconds, by lane.",
    ("lane",),
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
STREAM_TAKEOVER_SECONDS = MetricDef(
    "evometrics_stream_takeover_seconds",
    "histogram",
    "Time in which a lane took over partitions and read their states, seconds.",
    ("lane",),
    (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)
STREAM_STATES = MetricDef(
    "evometrics_stream_states", "gauge", "Keys with a state in memory, by state table.", ("table",)
)
STREAM_MISPLACED = MetricDef(
    "evometrics_stream_misplaced_total",
    "counter",
    "Events found outside their agent's partition (another client's partitioner or key), and sent there.",
    ("topic",),
)

#: Counted by the sink from the events that it stored, over all agents.
TOTALS: tuple[MetricDef, ...] = (ATTEMPTS, DURATION, MEMORY, IMPROVEMENT)
#: Of the nodes whose reports a sink has stored.
OF_FLEET: tuple[MetricDef, ...] = (NODE_HEARD,)
#: Of each agent that a sink shows, and of each that a node has recorded.
OF_AGENTS: tuple[MetricDef, ...] = (
    EVOLUTION_ATTEMPTS,
    EVOLUTION_DURATION,
    EVOLUTION_IMPROVEMENT,
    EVOLUTION_MEMORY,
    AGENT_KPI,
)
#: Of every worker.
OF_WORKERS: tuple[MetricDef, ...] = (
    BUILD_INFO,
    READY,
    STUCK_SECONDS,
    REACHABLE,
    REPLICAS_MISSING,
    REBALANCES,
)
OF_SINK: tuple[MetricDef, ...] = (
    MESSAGES_CONSUMED,
    ROWS_INSERTED,
    BATCHES_INSERTED,
    INSERT_RETRIES,
    INSERT_SECONDS,
    CONSUMER_LAG,
    OFFSETS_GONE,
    DEAD_LETTERS_TOTAL,
    PUBLISH_ERRORS,
    *OF_WORKERS,
)
OF_STREAMS: tuple[MetricDef, ...] = (
    CONSUMER_LAG,
    STREAM_EVENTS,
    STREAM_OUTPUTS,
    STREAM_DUPLICATES,
    STREAM_LATE,
    STREAM_UNREADABLE,
    STREAM_MISPLACED,
    STREAM_BATCH_SECONDS,
    STREAM_TAKEOVER_SECONDS,
    STREAM_STATES,
    OFFSETS_GONE,
    DEAD_LETTERS_TOTAL,
    PUBLISH_ERRORS,
    *OF_WORKERS,
)
OF_NODES: tuple[MetricDef, ...] = (
    BUILD_INFO,
    OUTBOX_EVENTS,
    OUTBOX_BYTES,
    OUTBOX_OLDEST_SECONDS,
    DISK_FREE,
    BROKER_CONNECTED,
    EVENTS_RECORDED,
    EVENTS_SENT,
    EVENTS_SHED,
    VALUES_LEFT_OUT,
    EVENTS_REJECTED,
    EVENTS_REFUSED,
    EVENTS_FAILED,
    PUBLISH_ERRORS,
    RECORD_SECONDS,
)
#: What the workers serve, each once though both serve it.
METRICS: tuple[MetricDef, ...] = tuple(dict.fromkeys((*TOTALS, *OF_FLEET, *OF_AGENTS, *OF_SINK, *OF_STREAMS)))


class Instruments:
    """The prometheus_client objects of some definitions, registered in one registry.

    Needs prometheus_client, which the extras `streams` and `sinks` bring along.
    """

    def __init__(self, registry: CollectorRegistry, definitions: Iterable[MetricDef]) -> None:
        import prometheus_client as prometheus

        self.objects: dict[str, Counter | Gauge | Histogram] = {}
        for d in definitions:
            if d.kind == "counter":
                self.objects[d.name] = prometheus.Counter(d.name, d.help, d.labels, registry=registry)
            elif d.kind == "gauge":
                self.objects[d.name] = prometheus.Gauge(d.name, d.help, d.labels, registry=registry)
            else:
                self.objects[d.name] = prometheus.Histogram(
                    d.name, d.help, d.labels, registry=registry, buckets=d.buckets
                )

    def begin(self, definition: MetricDef, *labels: tuple[str, ...]) -> None:
        """Have series with these label values from the start, at 0."""
        for each in labels:
            self.objects[definition.name].labels(*each)

    def counter(self, definition: MetricDef) -> Counter:
        """Return the counter of a definition; `KeyError` where this part does not have it."""
        return cast("Counter", self.objects[definition.name])

    def gauge(self, definition: MetricDef) -> Gauge:
        """Return the gauge of a definition; `KeyError` where this part does not have it."""
        return cast("Gauge", self.objects[definition.name])

    def histogram(self, definition: MetricDef) -> Histogram:
        """Return the histogram of a definition; `KeyError` where this part does not have it."""
        return cast("Histogram", self.objects[definition.name])
