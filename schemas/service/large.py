"""A metric with so many series that its lines are made piece by piece, and kept from scrape to scrape.

Whoever collects a registry with it sees a metric like any other; `exposition` takes the lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from evometrics.schemas.metrics import MetricDef

#: Given who asks (None: whoever is no Prometheus), the lines of some series at a time, each with its line
#: break; labels in alphabetical order, and values as both text formats write them.
Lines: TypeAlias = Callable[[str | None], Iterator[str]]


class LargeMetric(Metric):
    """A metric whose lines are made by `lines`, and whose samples by `series` once somebody reads them."""

    def __init__(self, definition: MetricDef, lines: Lines, series: Callable[[], Iterable[Sample]]) -> None:
        # encoders add a counter's ending where their format wants it
        counted = definition.kind == "counter"
        name = definition.name.removesuffix("_total") if counted else definition.name
        self.lines = lines
        self.series = series
        self.made: list[Sample] | None = []
        super().__init__(name, definition.help, definition.kind)
        self.made = None

    @property
    def samples(self) -> list[Sample]:
        """The samples, without those of other scrapers."""
        if self.made is None:
            self.made = list(self.series())
        return self.made

    @samples.setter
    def samples(self, samples: list[Sample]) -> None:
        self.made = samples

    def header(self) -> Metric:
        """Return it without series: what is left are its HELP and TYPE lines."""
        return Metric(self.name, self.documentation, self.type)
