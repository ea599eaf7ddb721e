"""The pipeline: whether its parts are up and keep up, what is lost or set aside, and its machines."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models.dashboard import Dashboard as DashboardModel

from evometrics.deploy.grafana.panels import (
    BAD,
    FAIR,
    STATUS_COLOURS,
    AnyPanel,
    assembled,
    figures,
    limits,
    listing,
    series,
    states,
)
from evometrics.deploy.grafana.pipeline_parts import (
    JOBS,
    NONE_IS_WELL,
    YES_NO,
    counted,
    flow,
    parts,
    quantiles,
    stream,
)
from evometrics.deploy.grafana.targets import PROMETHEUS, at_present, promql

UID = "evometrics-pipeline"


def nodes() -> Sequence[AnyPanel]:
    """Return what waits on nodes, and what they lose."""
    return [
        figures(
            "Not recorded as it came",
            "Within the dashboard's time: events that nodes dropped since their outbox was full (shed), "
            "could not write (failed), that named no agent (rejected), and that the broker refused for "
            "ever, which are kept. Alerts: EvometricsEventsShed, EvometricsEventsFailed, "
            "EvometricsEventsRejected, EvometricsEventsRefused.",
            *counted(
                ("shed", "evometrics_events_shed_total"),
                ("failed", "evometrics_events_failed_total"),
                ("rejected", "evometrics_events_rejected_total"),
                ("refused", "evometrics_events_refused_total"),
            ),
            thresholds=NONE_IS_WELL,
            width=16,
        ),
        figures(
            "Oldest event that waits",
            "Age of the oldest event in an outbox, over all nodes. Alert: EvometricsOutboxOld.",
            at_present("max(evometrics_outbox_oldest_seconds)", "age"),
            unit="s",
            thresholds=limits((60, FAIR), (600, BAD)),
            width=8,
        ),
        series(
            "Outbox age",
            "Age of the oldest event that waits, by node. Alerts: EvometricsOutboxOld, EvometricsNodeStuck.",
            promql("max by (instance) (evometrics_outbox_oldest_seconds)", "{{instance}}"),
            unit="s",
        ),
        series(
            "Outbox",
            "Events that the broker has not acknowledged yet, by node.",
            promql("sum by (instance) (evometrics_outbox_events)", "{{instance}}"),
        ),
        states(
            "Connected",
            "Whether a node can send. Alert: EvometricsNodeDisconnected.",
            promql("evometrics_broker_connected", "{{instance}}"),
            words=YES_NO,
        ),
        series(
            "Recorded and sent",
            "Events that reached outboxes, and that the broker acknowledged, of all nodes.",
            promql("sum(rate(evometrics_events_recorded_total[$__rate_interval]))", "recorded", "A"),
            promql("sum(rate(evometrics_events_sent_total[$__rate_interval]))", "sent", "B"),
            unit="cps",
        ),
        series(
            "Time to record",
            "Time from recording an event until it is on disk. No line where nothing was recorded.",
            *quantiles("evometrics_record_seconds"),
            unit="s",
        ),
        listing(
            "Silent nodes",
            "Since when nothing is heard of a node, by the sinks, longest first; a node whose collector has "
            "stopped is not shown. Alert: EvometricsNodeSilent.",
            at_present(
                "topk(50, time() - max by (node_id) (evometrics_node_heard_timestamp_seconds))", table=True
            ),
            width=12,
            units={"Value": "s"},
            hidden=["Time"],
        ),
    ]


def evolutions() -> Sequence[AnyPanel]:
    """Return how evolutions go, as the sinks count them."""
    return [
        series(
            "Evolutions that ended",
            "Evolutions of which the sinks stored the end, within an interval, by status. Alerts: "
            "EvometricsNoEvolutions, NoEvolutionProgress, EvolutionResourceExhaustion.",
            promql(
                "sum by (status) (increase(evometrics_evolution_attempts_total[$__rate_interval]))",
                "{{status}}",
            ),
            bars=True,
            colours=STATUS_COLOURS,
        ),
        series(
            "Share that failed",
            "Share of the evolutions of the last hour that failed or were abandoned, by type. Alert: "
            "EvolutionFailureRate. No line where none ended.",
            promql(
                'sum by (evolution_type) (increase(evometrics_evolution_attempts_total{status=~"failed|'
                'abandoned"}[1h])) / sum by (evolution_type) '
                "(increase(evometrics_evolution_attempts_total[1h])) or 0 * sum by (evolution_type) "
                "(increase(evometrics_evolution_attempts_total[1h]))",
                "{{evolution_type}}",
            ),
            unit="percentunit",
            most=1,
        ),
    ]


def machines() -> Sequence[AnyPanel]:
    """Return disks, memory and cores."""
    return [
        series(
            "Disk left",
            "Space left on the disks of data folders. Alerts: EvometricsDiskFull, EvometricsDiskFillsUp.",
            promql("min by (instance, folder) (evometrics_disk_free_bytes)", "{{instance}} {{folder}}"),
            unit="bytes",
            width=8,
        ),
        series(
            "Memory",
            "Resident memory of sinks and stream workers.",
            promql(f"process_resident_memory_bytes{{{JOBS}}}", "{{job}} {{instance}}"),
            unit="bytes",
            width=8,
        ),
        series(
            "CPU",
            "Cores that sinks and stream workers use.",
            promql(f"rate(process_cpu_seconds_total{{{JOBS}}}[$__rate_interval])", "{{job}} {{instance}}"),
            width=8,
        ),
    ]


def dashboard() -> DashboardModel:
    """Return the dashboard."""
    start = (
        Dashboard("evometrics: pipeline")
        .uid(UID)
        .description("Parts, lag, losses, nodes and machines. Asks Prometheus.")
        .time("now-6h", "now")
        .refresh("30s")
        .with_variable(PROMETHEUS.choice)
    )
    return assembled(
        start,
        PROMETHEUS.reference,
        {
            "Parts": parts(),
            "Kafka to ClickHouse": flow(),
            "Stream": stream(),
            "Nodes": nodes(),
            "Evolutions": evolutions(),
            "Machines": machines(),
        },
    )
