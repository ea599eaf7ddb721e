"""Producers of v1 and v2 at once, and a sink that was started on v1: some seconds, or as long as asked."""

from __future__ import annotations

import os
from pathlib import Path

from evometrics.deploy.pipeline.topics import create_topics
from evometrics.schemas.service.settings import KafkaSettings
from tests.faults.mixed import Mixed, mixed

SECONDS = float(os.environ.get("TEST_MIXED_SECONDS", "3"))


async def test_v1_and_v2_producers_mixed_lose_nothing_and_fill_the_new_columns(
    kafka: str, clickhouse: str, registry_url: str, tmp_path: Path
) -> None:
    settings = KafkaSettings(brokers=kafka, registry_url=registry_url)
    await create_topics(settings)
    outcome = await mixed(Mixed(SECONDS, nodes=1, rate=40), settings, clickhouse, tmp_path)
    assert outcome.wrong == []
    assert min(outcome.recorded.values()) > 30 and min(outcome.filled) > 5
    assert outcome.stored == sum(outcome.recorded.values())
