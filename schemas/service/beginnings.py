"""Shows Prometheus every counter at 0 before its first value, so that `increase()` counts the first events.

Prometheus takes a series' first sample as where it begins: what was counted before that sample is lost to
`increase()`, of a worker that has just started as of a label value that is new. So the first scrape that has
a series shows it at 0, and the next one its value. Another Prometheus, of a pair for instance, sees 0 first
as well if it comes soon enough; one that comes later sees the value, because a 0 after hours would read as a
reset. Any other client always sees the value.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from evometrics.schemas.service.http import HttpRequest

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.samples import Sample

#: A sample's name, and its labels in alphabetical order.
SeriesKey: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]

#: Sent by Prometheus, and by agents that scrape as it does, with each scrape.
SCRAPE_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
#: How long after a series was first shown another Prometheus sees it at 0 first: two scrapes of a minute.
PAIR_SECONDS = 120.0
ACCUMULATE = ("counter", "histogram")


def scraper_of(request: HttpRequest) -> str | None:
    """Return which Prometheus asks, by its address; None for any other client."""
    return request.client if request.headers.get(SCRAPE_HEADER) else None


def key_of(sample: Sample) -> SeriesKey:
    return sample.name, tuple(sorted(sample.labels.items()))


class Beginnings:
    """What each Prometheus has seen of a worker's counters; used by one thread at a time.

    Attributes:
        shown: the newest value that a Prometheus has seen, by series.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.began: dict[SeriesKey, tuple[float, set[str]]] = {}
        self.shown: dict[SeriesKey, float] = {}
        self.ended = False

    def end(self) -> None:
        """Show no newer values from now on: a successor counts what has not been shown."""
        self.ended = True

    def show(self, family: Metric, scraper: str | None) -> Metric:
        """Return a metric as a scraper sees it (None: whoever is no Prometheus)."""
        if scraper is not None and family.type in ACCUMULATE:
            family.samples = [each._replace(value=self.seen(each, scraper)) for each in family.samples]
        return family

    def seen(self, sample: Sample, scraper: str) -> float:
        """Return the value of a sample that a Prometheus sees, and remember it."""
        key, now = key_of(sample), self.clock()
        if self.ended:
            return self.shown.get(key, 0.0)
        first, to = self.began.setdefault(key, (now, set()))
        at_first = not to or (scraper not in to and now - first < PAIR_SECONDS)
        if at_first:
            to.add(scraper)
        value = 0.0 if at_first else sample.value
        self.shown[key] = max(value, self.shown.get(key, 0.0))
        return value
