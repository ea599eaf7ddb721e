"""A collector whose events stay in its outbox, for there is no broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evometrics.producers import EvolutionMetricsCollector
from tests.support.outboxes import config


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[EvolutionMetricsCollector]:
    collector = EvolutionMetricsCollector(config(tmp_path))
    await collector.start()
    yield collector
    await collector.stop()
