"""The arithmetic of fleets' sizes, by hand for one of them, and that what it stands on is in the docs."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from tests.reference.sizes import FLEETS, MICROSECONDS, REQUEST_MICROSECONDS, Fleet

DOCS = Path(__file__).parents[1] / "docs" / "explanation"


def test_the_largest_fleet_by_hand() -> None:
    fleet = Fleet(100_000)
    assert fleet.mean == pytest.approx(1e9 / 86_400)
    assert fleet.busiest == pytest.approx(34_722, abs=1)
    # 34,722 events/s at 38 microseconds and 44/35 over TLS are 1.66 cores, at half of each 3.3
    assert fleet.cores("stream") == pytest.approx(3.317, abs=0.01)
    assert fleet.workers("stream") == 4
    # 34,722 requests/s at 1,590 microseconds are 55.2 cores, at half of each 110.4, four to a broker
    assert fleet.broker_cores == pytest.approx(110.4, abs=0.1)
    assert fleet.brokers == 28
    assert fleet.partitions == 24 and fleet.replicas == 24 * 17 * 3
    assert fleet.needs_relays
    # three workers have a million agents: 333,333 each at 400 bytes, 160,000 of them active at 2 kB more
    assert fleet.stream_mb == pytest.approx(180 + 133 + 320, abs=1)
    # 503 bytes for 90 days, and 429 of each 25th for 730
    assert fleet.clickhouse_tb == pytest.approx(45.27 + 12.53, abs=0.01)


def test_more_nodes_never_take_less() -> None:
    for less, more in itertools.pairwise(FLEETS):
        for part in MICROSECONDS:
            assert math.isclose(more.cores(part), 10 * less.cores(part))
        assert more.partitions >= less.partitions >= 12
        assert more.brokers >= less.brokers >= 3
        assert more.workers("sink") >= less.workers("sink") >= 2
        assert more.stream_mb >= less.stream_mb


def test_what_is_measured_is_in_the_docs() -> None:
    performance = (DOCS / "performance.md").read_text()
    limits = (DOCS / "limits.md").read_text()
    assert f"Kafka took {REQUEST_MICROSECONDS:,} us" in (DOCS / "scale.md").read_text()
    assert "| all parts together on the two cores | 12,608 |" in performance
    for part, cost in MICROSECONDS.items():
        assert f"{part} {cost}" in performance
    assert "takes 503\nbytes in ClickHouse" in performance
    assert "its metrics 429" in performance
    assert "400 bytes for each agent ever seen, 2 kB more for each\nof the 20,000 agents" in limits
