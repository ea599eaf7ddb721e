"""Metrics that a node's own code registers: checked by Prometheus' rules, recorded as events of their own.

Names and labels: Prometheus documentation, "Data model"; which series a kind exposes: "Metric types".
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evometrics.producers.events.left_out import LeftOut, said
from evometrics.producers.events.values import number_of, text_of
from evometrics.schemas import metrics as metric_defs
from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.events import CustomMetric, micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.rules.validation import METRIC_KINDS, NAME_CHARACTERS, InvalidEvent

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
COUNTER = "counter"
#: Suffixes of the names that a metric of each kind exposes.
SUFFIXES = {
    "counter": ("", "_total", "_created"),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
}
#: Labels that a kind adds itself.
RESERVED_LABELS = {"histogram": "le", "summary": "quantile"}


class MetricError(EvometricsError, ValueError):
    """A metric can't be registered; the message names it and the rule."""


@dataclass(frozen=True, slots=True)
class RegisteredMetric:
    """A metric of the node's own code.

    Attributes:
        name: as registered; a counter's without `_total`.
        labels: label names, in order.
        unit: e.g. seconds or bytes, empty where it has none.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    unit: str

    @property
    def series(self) -> frozenset[str]:
        """The names under which Prometheus sees it."""
        name = exposed_name(self)
        return frozenset(name + suffix for suffix in SUFFIXES[self.kind])


def exposed_name(metric: RegisteredMetric) -> str:
    """Return the name in Prometheus, which ends in the unit if there is one."""
    if metric.unit and not metric.name.endswith(f"_{metric.unit}"):
        return f"{metric.name}_{metric.unit}"
    return metric.name


OWN_SERIES = frozenset(
    definition.name.removesuffix("_total") + suffix
    for definition in (*metric_defs.METRICS, *metric_defs.OF_NODES)
    for suffix in SUFFIXES[definition.kind]
)


class CustomMetrics:
    """The registered metrics. Thread-safe."""

    def __init__(self) -> None:
        self.known: dict[str, RegisteredMetric] = {}
        self.lock = threading.Lock()

    def register(self, name: str, kind: str, help: str, labels: Iterable[str], unit: str) -> RegisteredMetric:  # noqa: A002
        """Register a metric; registering the same one again changes nothing. Raises `MetricError`."""
        if not all(isinstance(each, str) for each in (name, kind, help, unit)):
            raise MetricError(f"metric {said(name)}: name, kind, help and unit must be text")
        metric = RegisteredMetric(
            name.removesuffix("_total") if kind == COUNTER else name, kind, help, tuple(labels), unit
        )
        check(metric)
        with self.lock:
            before = self.known.get(metric.name)
            if before is not None:
                same = (before.kind, before.labels, before.unit) == (kind, metric.labels, unit)
                if not same:
                    raise MetricError(
                        f"metric {name}: is already registered as {described(before)}, not as "
                        f"{described(metric)}; give one of them another name"
                    )
                return before
            for other in self.known.values():
                if both := metric.series & other.series:
                    raise MetricError(
                        f"metric {name} ({kind}) and metric {other.name} ({other.kind}) both expose "
                        f"{min(both)}; give one of them another name"
                    )
            self.known[metric.name] = metric
        return metric

    def named(self, name: Any) -> RegisteredMetric:
        """Return a registered metric. Raises `InvalidEvent`."""
        text = text_of(name)
        metric = self.known.get(text) or self.known.get(text.removesuffix("_total"))
        if metric is None:
            known = ", ".join(sorted(self.known)) or "none"
            raise InvalidEvent(
                CustomMetric.record, "name", f"{said(text)} is not registered (registered: {known})"
            )
        return metric


def check(metric: RegisteredMetric) -> None:
    """Raise `MetricError` unless Prometheus accepts the metric."""
    name = metric.name

    def require(holds: bool, reason: str) -> None:
        if not holds:
            raise MetricError(f"metric {said(name)}: {reason}")

    require(
        metric.kind in METRIC_KINDS, f"kind {metric.kind!r} is not one of {', '.join(sorted(METRIC_KINDS))}"
    )
    require(
        bool(NAME.fullmatch(name)),
        "a name consists of letters, digits, _ and :, and does not start with a digit",
    )
    require(len(name) <= NAME_CHARACTERS, f"the name has more than {NAME_CHARACTERS} characters")
    for label in metric.labels:
        valid = isinstance(label, str) and bool(LABEL.fullmatch(label))
        require(valid, f"label {label!r}: use letters, digits and _, without a digit or __ at the start")
        require(label != RESERVED_LABELS.get(metric.kind), f"label {label}: a {metric.kind} uses it itself")
    require(len(set(metric.labels)) == len(metric.labels), "a label appears twice")
    require(
        not metric.unit or bool(LABEL.fullmatch(metric.unit)),
        f"unit {metric.unit!r}: use letters, digits and _",
    )
    require(not metric.series & OWN_SERIES, "the name belongs to a metric of evometrics")


def described(metric: RegisteredMetric) -> str:
    """Return a metric's kind, labels and unit in words."""
    labels = f" with labels {', '.join(metric.labels)}" if metric.labels else ""
    return f"a {metric.kind}{labels}{f' in {metric.unit}' if metric.unit else ''}"


def observation(
    metric: RegisteredMetric,
    value: Any,
    labels: Any,
    agent_id: Any,
    node_id: str,
    left_out: LeftOut,
) -> CustomMetric:
    """Build the event of one observation. Raises `InvalidEvent` where the value is not a finite number.

    Labels that were not given are empty; labels that the metric does not have are left out.
    """
    number = number_of(value, "value", left_out)
    if number is None or (metric.kind == COUNTER and number < 0):
        reason = "is below 0; a counter only grows" if number is not None else "is not a finite number"
        raise InvalidEvent(CustomMetric.record, "value", f"{metric.name}: {said(value)} {reason}")
    given = labels if isinstance(labels, Mapping) else {}
    if labels is not None and not isinstance(labels, Mapping):
        left_out.add("labels", labels, "is not a map of label names to values")
    texts = dict.fromkeys(metric.labels, "")
    for name, item in given.items():
        label = text_of(name)
        if label in texts:
            texts[label] = text_of(item)[:NAME_CHARACTERS]
        else:
            left_out.add_within("labels", label, item, "is not a label of the metric")
    return CustomMetric(
        event_id=new_event_id(),
        agent_id=text_of(agent_id),
        node_id=node_id,
        occurred_at=micros(time.time()),
        name=metric.name,
        kind=metric.kind,
        value=number,
        labels=texts,
        unit=metric.unit,
        help=metric.help[:NAME_CHARACTERS],
    )
