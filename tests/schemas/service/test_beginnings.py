"""Prometheus sees each counter at 0 before its value; all others see what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from evometrics.schemas.service.beginnings import PAIR_SECONDS, SCRAPE_HEADER, Beginnings, scraper_of
from evometrics.schemas.service.http import HttpRequest


class Worker:
    """A registry, and what some clients see of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.registry = CollectorRegistry()
        self.beginnings = Beginnings(lambda: self.now)
        self.letters = Counter("letters_total", "Letters.", ["topic"], registry=self.registry)

    def seen(self, scraper: str | None) -> dict[str, float]:
        families = [self.beginnings.show(family, scraper) for family in self.registry.collect()]
        return {
            ",".join((s.name, *s.labels.values())): s.value
            for family in families
            for s in family.samples
            if not s.name.endswith("_created")
        }


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    made.letters.labels("a").inc(3)
    yield made


def test_the_first_scrape_of_a_series_shows_0_and_the_next_its_value(worker: Worker) -> None:
    assert worker.seen("one") == {"letters_total,a": 0}
    assert worker.seen("one") == {"letters_total,a": 3}
    worker.letters.labels("b").inc(2)
    assert worker.seen("one") == {"letters_total,a": 3, "letters_total,b": 0}
    worker.now += 10 * PAIR_SECONDS
    assert worker.seen("one") == {"letters_total,a": 3, "letters_total,b": 2}


def test_who_is_no_prometheus_sees_what_is_counted_and_changes_nothing(worker: Worker) -> None:
    assert worker.seen(None) == {"letters_total,a": 3}
    assert worker.seen("one") == {"letters_total,a": 0}
    assert worker.seen(None) == {"letters_total,a": 3}


def test_the_other_one_of_a_pair_sees_0_first_too_but_not_one_that_comes_later(worker: Worker) -> None:
    worker.seen("one")
    worker.now += PAIR_SECONDS - 1
    assert worker.seen("two") == {"letters_total,a": 0}
    assert worker.seen("two") == {"letters_total,a": 3}
    worker.now += 2
    assert worker.seen("three") == {"letters_total,a": 3}, "a Prometheus with a new address: no reset"


def test_histograms_begin_at_0_as_well_and_gauges_have_their_value(worker: Worker) -> None:
    Gauge("depth", "Depth.", registry=worker.registry).set(7)
    Histogram("seconds", "Seconds.", registry=worker.registry, buckets=(1, 2)).observe(1.5)
    found = worker.seen("one")
    assert found.pop("depth") == 7
    assert len(found) == 6 and not any(found.values())
    assert worker.seen("one")["seconds_bucket,2.0"] == worker.seen("one")["seconds_count"] == 1


def test_after_its_end_nothing_newer_is_shown(worker: Worker) -> None:
    for _ in range(2):
        worker.seen("one")
    worker.beginnings.end()
    worker.letters.labels("a").inc()
    worker.letters.labels("b").inc()
    assert worker.seen("one") == {"letters_total,a": 3, "letters_total,b": 0}
    assert worker.beginnings.shown["letters_total", (("topic", "a"),)] == 3


@pytest.mark.parametrize(("header", "scraper"), [(SCRAPE_HEADER, "10.0.0.1"), ("Accept", None)])
def test_prometheus_is_known_by_its_header(header: str, scraper: str | None) -> None:
    headers = Message()
    headers[header] = "10"
    assert scraper_of(HttpRequest("/metrics", headers, "10.0.0.1", lambda: False)) == scraper
