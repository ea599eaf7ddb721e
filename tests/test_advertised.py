"""A broker that advertises an unreachable address is told from one that is unreachable itself."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from evometrics.deploy.kafka.broker import plan_nodes
from evometrics.deploy.process.ports import HOST, free_ports
from evometrics.producers import EvolutionMetricsCollector
from evometrics.schemas.kafka.lag import GroupLag
from evometrics.schemas.kafka.reaching import why_unavailable, why_unusable
from evometrics.schemas.kafka.topics import BrokerUnavailable, answered, partitions_of
from evometrics.schemas.metrics import OF_SINK, REACHABLE, Instruments
from evometrics.schemas.service.settings import KafkaSettings
from evometrics.sinks.settings import ClickHouseSettings, SinkSettings
from evometrics.sinks.worker.worker import SinkWorker
from tests.conftest import start_node
from tests.support.outboxes import config, until


@dataclasses.dataclass(frozen=True)
class Misdirecting:
    """A broker's own address, and the one that it gives its clients."""

    address: str
    advertised: str

    def named_in(self, text: str) -> bool:
        """Return whether a message names both and the way out."""
        found = re.search(
            rf"broker at {self.address} answers, but it advertises {self.advertised} for node 1 .*"
            "advertised.listeners",
            text,
        )
        return found is not None


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Misdirecting]:
    data = tmp_path_factory.mktemp("advertised")
    (nobody,) = free_ports(1)
    node = dataclasses.replace(plan_nodes(data / "kafka")[0], advertised_port=nobody)
    child = asyncio.run(start_node(node, (node,), data / "logs"))
    yield Misdirecting(node.listener, f"{HOST}:{nobody}")
    asyncio.run(child.stop())


async def test_a_command_names_both_addresses_and_what_to_set(
    broker: Misdirecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.schemas.kafka.topics.CONNECT_SECONDS", 1.0)
    with pytest.raises(BrokerUnavailable) as raised:
        await answered(KafkaSettings(brokers=broker.address), lambda admin: partitions_of(admin, ["any"]))
    assert broker.named_in(str(raised.value))


async def test_a_node_names_them_and_keeps_its_events(
    broker: Misdirecting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.producers.publisher.publisher.CONNECT_TIMEOUT", 1.0)
    collector = EvolutionMetricsCollector(config(tmp_path, brokers=broker.address))
    await collector.start()
    await collector.record_system_event("waits", {})
    await until(lambda: broker.named_in(collector.sending.problem), 60)
    assert not collector.sending.connected
    assert collector.outbox_depth == 1
    await collector.stop()


async def test_a_workers_health_names_them(broker: Misdirecting) -> None:
    instruments = Instruments(CollectorRegistry(), OF_SINK)
    lag = GroupLag(KafkaSettings(brokers=broker.address), "some-group", instruments)
    assert await lag.measure([("topic", 0)]) is None
    assert lag.away is not None and broker.named_in(lag.away)
    assert instruments.gauge(REACHABLE).labels("kafka")._value.get() == 0
    await lag.close()


async def test_a_sink_that_starts_names_them(
    broker: Misdirecting, migrated: ClickHouseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evometrics.sinks.worker.worker.HANGS_SECONDS", 0.5)
    worker = SinkWorker(KafkaSettings(brokers=broker.address), migrated, SinkSettings())
    running = asyncio.create_task(worker.run(asyncio.Event()))
    try:
        await until(lambda: broker.named_in(worker.ready() or ""), 60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_broker_that_is_away_is_said_to_be_away(broker: Misdirecting) -> None:
    (nobody,) = free_ports(1)
    assert await why_unusable(KafkaSettings(brokers=f"{HOST}:{nobody}")) is None
    assert await why_unavailable(KafkaSettings(brokers=f"{HOST}:{nobody}")) == (
        f"no Kafka broker answers at {HOST}:{nobody}: start it (`evometrics up`) or correct the address"
    )
    both = f"{HOST}:{nobody},{broker.address}"
    assert broker.named_in(await why_unavailable(KafkaSettings(brokers=both))), "the first that answers tells"


async def test_nothing_is_wrong_with_a_broker_that_can_be_reached(kafka: str) -> None:
    assert await why_unusable(KafkaSettings(brokers=kafka)) is None
