"""metrics.md: from `schemas/metrics.py`."""

from __future__ import annotations

from collections.abc import Iterable

from evometrics.schemas import metrics
from evometrics.schemas.metrics import MetricDef
from tests.reference.markdown import cell, code, document, listed, table, wrapped

#: Which part serves which metrics, and what is to be said of it.
PARTS = (
    (
        "Evolutions",
        metrics.TOTALS,
        "Served by the sinks, counted from stored events, each event by one sink and once. Take rates and "
        "increases of these, and their sum over all sinks.",
    ),
    (
        "Nodes that the sinks hear of",
        metrics.OF_FLEET,
        "Served by the sink that has a node's partition of `evometrics.system.events`, for the 1,000 nodes "
        "that report most often; one of which nothing was heard for `metrics_forget_seconds` is dropped.",
    ),
    (
        "Agents",
        metrics.OF_AGENTS,
        "Served by the sinks for the agents that are most active, at most "
        "[`metrics_agents`](settings.md#sink) of each sink; an agent of which nothing was heard for "
        "`metrics_forget_seconds` is dropped. The sink that has an agent's partition is the only one that "
        "shows it, and counts from the moment it does. A node serves, and pushes to a Pushgateway, those of "
        "its 1,000 most active agents, for the events that it recorded itself.",
    ),
    (
        "Every worker",
        metrics.OF_WORKERS,
        "Served by the sink and the stream worker.",
    ),
    (
        "Sink",
        [each for each in metrics.OF_SINK if each not in metrics.OF_WORKERS],
        "Served by `evometrics sink --http-port PORT`. It also serves `evometrics_disk_free_bytes` for "
        "the folders `kafka` and `clickhouse` of a stack on its machine.",
    ),
    (
        "Stream worker",
        [each for each in metrics.OF_STREAMS if each not in metrics.OF_WORKERS],
        "Served by `evometrics stream --http-port PORT`. It also serves `evometrics_disk_free_bytes` for "
        "its folder `stream`.",
    ),
    (
        "Node",
        metrics.OF_NODES,
        "Served by a node's collector: set `prometheus_port`, or give `collector.prometheus_registry` to a "
        "server of your own. `evometrics orchestrate --http-port PORT` serves them beside its health. They "
        "come from the node itself: without a broker in between, and for as long as the node runs.",
    ),
)


def definitions() -> list[MetricDef]:
    """Return every metric that is declared."""
    return [each for each in vars(metrics).values() if isinstance(each, MetricDef)]


def row(metric: MetricDef) -> list[str]:
    """Return a metric's row."""
    text = metric.help
    if metric.buckets:
        text += f" Buckets: {', '.join(f'{each:g}' for each in metric.buckets)}."
    return [code(metric.name), metric.kind, listed(metric.labels), cell(text)]


def rows(found: Iterable[MetricDef]) -> str:
    """Return a table of metrics."""
    return table(["name", "kind", "labels", "meaning"], map(row, found))


def page() -> str:
    """Return the page."""
    blocks = [
        wrapped(
            "Each part serves its own metrics under `/metrics`, in Prometheus' text format or, for a client "
            "that asks for it, as OpenMetrics; gzipped where that is accepted. A histogram has the series "
            "`_bucket`, `_sum` and `_count` besides; its last bucket is `+Inf`. There are no `_created` "
            "series. Seconds, bytes and MB (10^6 bytes) are the units, each named in the meaning."
        ),
        wrapped(
            "The first scrape by Prometheus that has a counter's series shows it at 0, the next one its "
            "value: otherwise `increase()` could not count the first events. Prometheus is known by its "
            "header `X-Prometheus-Scrape-Timeout-Seconds`; all others see the value at once. See [Counting "
            "over restarts](../how-to/monitor.md#counting-over-restarts)."
        ),
        wrapped(
            "Both workers also serve the figures of their process: `process_resident_memory_bytes`, "
            "`process_virtual_memory_bytes`, `process_cpu_seconds_total`, `process_open_fds`, "
            "`process_max_fds` and `process_start_time_seconds` (on Linux)."
        ),
    ]
    for title, found, text in PARTS:
        blocks += [f"## {title}", wrapped(text), rows(found)]
    blocks += [
        "## Metrics of your own",
        wrapped(
            "What a node's own code registers with `collector.register_metric` is served beside the node's "
            "metrics under the name it was given, and each observation is an event of the topic "
            "`evometrics.custom.metrics`: see [events](events.md#custommetric)."
        ),
    ]
    return document("Metrics", *blocks)
