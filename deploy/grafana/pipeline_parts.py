"""Rows of the dashboard "pipeline": its parts, the way from Kafka to ClickHouse, and the stream."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusQuery

from evometrics.deploy.grafana.panels import (
    BAD,
    FAIR,
    GOOD,
    AnyPanel,
    figures,
    limits,
    listing,
    series,
    states,
)
from evometrics.deploy.grafana.targets import at_present, promql

JOBS = 'job=~"evometrics-(sink|stream|node)"'
NONE_IS_WELL = limits((1, BAD))
YES_NO = {"1": ("yes", GOOD), "0": ("no", BAD)}


def counted(*metrics: tuple[str, str]) -> list[PrometheusQuery]:
    """Return how much counters rose within the dashboard's time, by legend; 0 where no series is there."""
    return [
        at_present(f"sum(increase({metric}[$__range])) or vector(0)", legend, chr(ord("A") + place))
        for place, (legend, metric) in enumerate(metrics)
    ]


def quantiles(metric: str, by: str = "", most: float = 0.99) -> list[PrometheusQuery]:
    """Return median and 99th percentile of a histogram's observations, `by` a label."""
    grouped = f"le, {by}" if by else "le"
    rates = f"sum by ({grouped}) (rate({metric}_bucket[$__rate_interval]))"
    of = f" {{{{{by}}}}}" if by else ""
    return [
        promql(f"histogram_quantile(0.5, {rates})", f"median{of}", "A"),
        promql(f"histogram_quantile({most}, {rates})", f"p99{of}", "B"),
    ]


def parts() -> Sequence[AnyPanel]:
    """Return whether parts are up, ready and make progress."""
    return [
        figures(
            "Parts up",
            "Targets that Prometheus has an answer from: sinks, stream workers and nodes. Alerts: "
            "EvometricsPartDown, EvometricsNodeDown.",
            at_present(f"sum(up{{{JOBS}}})", "up"),
        ),
        figures(
            "Parts down",
            "Targets that do not answer, and jobs (sink, stream) that have none. Alerts: "
            "EvometricsPartDown, EvometricsPartMissing, EvometricsNodeDown.",
            at_present(
                f"(count(up{{{JOBS}}} == 0) or vector(0)) "
                '+ (count(absent(up{job="evometrics-sink"})) or vector(0)) '
                '+ (count(absent(up{job="evometrics-stream"})) or vector(0))',
                "down",
            ),
            thresholds=NONE_IS_WELL,
        ),
        figures(
            "Alerts",
            "Alerts of evometrics that fire; 0 also where Prometheus has no rules.",
            at_present(
                'count(ALERTS{alertstate="firing", alertname=~"Evometrics.*|Evolution.*|NoEvolution.*"}) '
                "or vector(0)",
                "firing",
            ),
            thresholds=NONE_IS_WELL,
        ),
        figures(
            "Lag",
            "Messages that sinks and stream workers have yet to read, together. Alert: EvometricsLagGrows.",
            at_present("sum(evometrics_consumer_lag)", "messages"),
            thresholds=limits((1000, FAIR), (100_000, BAD)),
        ),
        figures(
            "Lost or set aside",
            "Within the dashboard's time: messages that became dead letters, and offsets that Kafka deleted "
            "before they were read. Alerts: EvometricsDeadLetters, EvometricsOffsetsGone.",
            *counted(
                ("dead letters", "evometrics_dead_letters_total"),
                ("deleted unread", "evometrics_offsets_gone_total"),
            ),
            thresholds=NONE_IS_WELL,
            width=8,
        ),
        states(
            "Ready",
            "Whether a part and all that it needs answer, as /health/ready says. Alert: "
            "EvometricsPartNotReady.",
            promql("evometrics_ready", "{{job}} {{instance}}"),
            words=YES_NO,
        ),
        states(
            "Reachable",
            "Whether Kafka, ClickHouse and the registry answered each part's last question. Alert: "
            "EvometricsDependencyUnreachable.",
            promql("evometrics_reachable", "{{dependency}} from {{job}} {{instance}}"),
            words=YES_NO,
        ),
        series(
            "Makes no progress",
            "Seconds for which a part has had work and moved nothing, while all that it needs answered; at "
            "60 its supervisor is about to restart it. Alerts: EvometricsPartStuck, EvometricsPartRestarts.",
            promql("evometrics_stuck_seconds", "{{job}} {{instance}}"),
            unit="s",
        ),
        listing(
            "Versions",
            "What runs, in which version.",
            at_present("evometrics_build_info", table=True),
            width=12,
            hidden=["Time", "Value", "__name__"],
        ),
    ]


def flow() -> Sequence[AnyPanel]:
    """Return how messages come from Kafka to ClickHouse, and what is set aside."""
    return [
        series(
            "Lag by topic",
            "Messages beyond the group's committed offset, by who reads them. Alert: EvometricsLagGrows.",
            promql("sum by (job, topic) (evometrics_consumer_lag)", "{{job}} {{topic}}"),
        ),
        series(
            "Messages read",
            "Messages that sinks read, by topic.",
            promql(
                "sum by (topic) (rate(evometrics_messages_consumed_total[$__rate_interval]))", "{{topic}}"
            ),
            unit="cps",
        ),
        series(
            "Rows stored",
            "Rows that ClickHouse acknowledged, by table.",
            promql("sum by (table) (rate(evometrics_rows_inserted_total[$__rate_interval]))", "{{table}}"),
            unit="cps",
        ),
        series(
            "Insert latency",
            "Time until ClickHouse acknowledges an insert, failed tries included. No line where nothing was "
            "inserted.",
            *quantiles("evometrics_insert_seconds"),
            unit="s",
        ),
        series(
            "Tried again",
            "Inserts into ClickHouse and sends to Kafka that failed and were tried again, within an "
            "interval. Alerts: EvometricsInsertRetries, EvometricsPublishErrors.",
            promql(
                "sum(increase(evometrics_insert_retries_total[$__rate_interval])) or vector(0)",
                "inserts",
                "A",
            ),
            promql(
                "sum by (job) (increase(evometrics_publish_errors_total[$__rate_interval]))",
                "sends of {{job}}",
                "B",
            ),
        ),
        series(
            "Dead letters",
            "Messages set aside within an interval, by topic and where; only zero on a healthy system. "
            "Alert: EvometricsDeadLetters.",
            promql(
                "sum by (topic, stage) (increase(evometrics_dead_letters_total[$__rate_interval]))",
                "{{topic}} ({{stage}})",
                "A",
            ),
            promql("sum(increase(evometrics_dead_letters_total[$__rate_interval])) or vector(0)", "all", "B"),
        ),
        series(
            "Rebalances",
            "Assignments of partitions that a worker was given within an interval. Alert: "
            "EvometricsRebalances.",
            promql(
                "sum by (job, instance) (increase(evometrics_rebalances_total[$__rate_interval]))",
                "{{job}} {{instance}}",
            ),
        ),
        series(
            "Replicas missing",
            "Replicas of the topics' partitions that are not in sync. Alert: EvometricsReplicasMissing.",
            promql("max by (topic) (evometrics_replicas_missing)", "{{topic}}"),
        ),
    ]


def stream() -> Sequence[AnyPanel]:
    """Return what stream workers do."""
    return [
        series(
            "Events processed",
            "Events that stream workers processed, by topic, and derived ones that they produced.",
            promql(
                "sum by (topic) (rate(evometrics_stream_events_total[$__rate_interval]))", "{{topic}}", "A"
            ),
            promql(
                "sum by (topic) (rate(evometrics_stream_outputs_total[$__rate_interval]))",
                "{{topic}} (made)",
                "B",
            ),
            unit="cps",
        ),
        series(
            "Batch time",
            "Time from taking up a batch until its outputs and states are acknowledged, by lane. No line "
            "where nothing was processed.",
            *quantiles("evometrics_stream_batch_seconds", "lane"),
            unit="s",
        ),
        series(
            "Left out",
            "Within an interval: events known already, and scopes for which an event came too late.",
            promql(
                "sum(increase(evometrics_stream_duplicates_total[$__rate_interval])) or vector(0)",
                "duplicates",
                "A",
            ),
            promql("sum(increase(evometrics_stream_late_total[$__rate_interval])) or vector(0)", "late", "B"),
        ),
        series(
            "States",
            "Keys with a state in memory, by state table.",
            promql("sum by (table) (evometrics_stream_states)", "{{table}}"),
        ),
    ]
