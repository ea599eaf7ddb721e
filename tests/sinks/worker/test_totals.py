"""`sum(increase())` of what sinks count is what ClickHouse has, through restarts, rebalances and resets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import random
from collections import defaultdict
from email.message import Message

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from evometrics.schemas.events import EvolutionMetrics, KpiSnapshot
from evometrics.schemas.service.beginnings import SCRAPE_HEADER, Beginnings
from evometrics.schemas.service.http import HttpRequest
from evometrics.schemas.topics import EVOLUTION_METRICS
from evometrics.sinks.settings import ClickHouseSettings
from evometrics.sinks.worker.plan import Carried, InsertPlan, fitted, metadata, read_metadata
from evometrics.sinks.worker.totals import ENDINGS, EvolutionTotals, OfType, handed_over
from evometrics.sinks.worker.worker import SinkWorker
from tests.support.sinks import Kafka, common, eventually, evolution, rows, running, until_stored

ATTEMPTS = "evometrics_evolution_attempts_total"
SUM = "evometrics_evolution_duration_seconds_sum"


class Prometheus:
    """Scrapes sinks, and takes increases as Prometheus does, without extrapolating beyond the samples.

    Attributes:
        gained: by series, without the instance: what all instances' samples have increased by.
        agents: which instances have shown an agent's series in their last scrape, by metric and agent.
    """

    def __init__(self) -> None:
        self.instances: dict[str, SinkWorker] = {}
        self.last: dict[tuple[str, ...], float] = {}
        self.gained: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self.agents: dict[str, set[tuple[str, str]]] = {}

    async def scrape(self) -> None:
        for instance, worker in list(self.instances.items()):
            headers = Message()
            headers[SCRAPE_HEADER] = "10"
            request = HttpRequest("/metrics", headers, "10.0.0.1", lambda: False)
            answer = await asyncio.to_thread(worker.exposition.answer, request)  # as its server's threads do
            self.take(instance, answer.body.decode())

    def take(self, instance: str, text: str) -> None:
        agents = self.agents[instance] = set()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if agent := sample.labels.get("agent_id"):
                    agents.add((sample.name, agent))
                series = (sample.name, *sample.labels.values())
                before = self.last.get((instance, *series), sample.value)
                self.last[instance, *series] = sample.value
                # a lower value is a reset: it counts from 0
                self.gained[series] += sample.value - (before if sample.value >= before else 0)

    def increase(self, name: str) -> dict[tuple[str, ...], float]:
        return {series[1:]: gained for series, gained in self.gained.items() if series[0] == name}


async def counted(database: ClickHouseSettings) -> dict[tuple[str, ...], float]:
    found = await rows(database, "SELECT evolution_type, status, count() FROM evolution_metrics GROUP BY ALL")
    return {(kind, status): number for kind, status, number in found}


def ended(random_: random.Random, number: int) -> list[EvolutionMetrics]:
    return [
        evolution(
            f"agent-{random_.randrange(200)}",
            evolution_type=random_.choice(("nightly", "triggered")),
            status=random_.choice(ENDINGS),
            duration_minutes=random_.random() * 30,
        )
        for _ in range(number)
    ]


async def test_increases_over_three_sinks_and_two_restarts_are_the_attempts_in_clickhouse(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    prometheus, sent, drawn = Prometheus(), 0, random.Random(7)
    stopping = asyncio.Event()

    async def scrapes() -> None:
        while True:
            await prometheus.scrape()
            await asyncio.sleep(0.5)

    async def offer() -> None:
        nonlocal sent
        while not stopping.is_set():
            made = ended(drawn, 40)
            await broker.send(made)
            sent += len(made)
            await asyncio.sleep(0.1)

    async def joined(*workers: SinkWorker) -> None:
        async def have() -> bool:
            cycles = [worker.cycle for worker in workers]
            return all(cycle is not None and cycle.progress.assigned for cycle in cycles)

        await eventually(have, "partitions of every sink", 90)

    async def stored_more(number: int) -> None:
        await until_stored(database, "evolution_metrics", sent + number)

    async with contextlib.AsyncExitStack() as all_sinks:
        stacks: dict[str, contextlib.AsyncExitStack] = {}

        async def start(instance: str) -> SinkWorker:
            stack = stacks[instance] = await all_sinks.enter_async_context(contextlib.AsyncExitStack())
            worker = await stack.enter_async_context(running(broker, database))
            prometheus.instances[instance] = worker
            return worker

        async def stop(instance: str) -> None:
            await stacks[instance].aclose()
            del prometheus.instances[instance]

        workers = {name: await start(name) for name in ("a", "b", "c")}
        scraping = asyncio.create_task(scrapes())
        offering = asyncio.create_task(offer())
        try:
            await joined(*workers.values())
            await stored_more(100)
            for stopped, again in (("a", "a"), ("b", "another pod")):  # with the same name, and a new one
                await stop(stopped)
                await stored_more(100)
                del workers[stopped]
                workers[again] = await start(again)
                await joined(*workers.values())
                await stored_more(100)
            stopping.set()
            await offering
            await until_stored(database, "evolution_metrics", sent)

            async def all_shown() -> bool:
                return sum(prometheus.increase(ATTEMPTS).values()) >= 0.98 * sent

            await eventually(all_shown, lambda: f"{sent} counted: {prometheus.increase(ATTEMPTS)}")
            for _ in range(3):  # whatever is counted too often
                await prometheus.scrape()
        finally:
            offering.cancel()
            scraping.cancel()
            await asyncio.wait({offering, scraping})
    right, found = await counted(database), prometheus.increase(ATTEMPTS)
    assert sum(right.values()) == sent
    assert found == pytest.approx(right, rel=0.02, abs=1)
    ((seconds,),) = await rows(
        database, "SELECT sum(duration_minutes) * 60 FROM evolution_metrics WHERE status != 'abandoned'"
    )
    assert sum(prometheus.increase(SUM).values()) == pytest.approx(seconds, rel=0.02)
    shown = [each for agents in prometheus.agents.values() for each in agents]
    live = [each for name, agents in prometheus.agents.items() if name in workers for each in agents]
    assert len(live) == len(set(live)), "no agent on two sinks"
    assert {agent for _, agent in shown}


async def test_what_is_read_again_after_a_reset_is_not_counted_again(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    async def committed(offsets: dict[TopicPartition, int] | None = None) -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.settings.brokers, group_id=broker.sink.group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            places = [TopicPartition(EVOLUTION_METRICS.name, n) for n in range(broker.settings.partitions)]
            consumer.assign(places)
            if offsets is not None:
                await consumer.commit(offsets)
            return {place: await consumer.committed(place) or 0 for place in places}
        finally:
            await consumer.stop()

    first = await committed()
    await broker.send(ended(random.Random(1), 60))
    async with running(broker, database):
        await until_stored(database, "evolution_metrics", 60)
    await committed(first)
    small = dataclasses.replace(broker.sink, batch_rows=7)
    broker.sink = small
    async with running(broker, database) as worker:

        async def read_again() -> bool:
            if worker.cycle is None or not worker.cycle.progress.assigned:
                return False
            lag = await worker.lag.measure(worker.cycle.progress.assigned)
            return lag is not None and lag.behind == 0

        await eventually(read_again, "all to be read again")
        assert sum(worker.metrics.totals.attempts.values()) == 0
        await broker.send(ended(random.Random(2), 5))
        await until_stored(database, "evolution_metrics", 65)

        async def new_ones() -> bool:
            return sum(worker.metrics.totals.attempts.values()) == 5

        await eventually(new_ones, "the new ones to be counted")
        await worker.lag.close()


async def test_an_agent_is_shown_by_the_sink_that_has_its_partition_alone(
    broker: Kafka, database: ClickHouseSettings
) -> None:
    made = [KpiSnapshot(**common(f"agent-{n}"), accuracy=0.5) for n in range(60)]
    async with running(broker, database) as first:
        await broker.send([*made, *(evolution(f"agent-{n}") for n in range(60))])
        await until_stored(database, "kpi_snapshots", 60)
        await until_stored(database, "evolution_metrics", 60)

        async def all_shown() -> bool:
            return len(first.metrics.kpis.agents) == len(first.metrics.evolutions.agents) == 60

        await eventually(all_shown, "all agents to be shown")
        async with running(broker, database) as second:

            async def shared() -> bool:
                has = [worker.cycle and worker.cycle.progress.assigned for worker in (first, second)]
                return all(has)

            await eventually(shared, "both to have partitions", 90)
            await broker.send(made)

            async def moved() -> bool:
                return len(first.metrics.kpis.agents) + len(second.metrics.kpis.agents) == 60

            await eventually(moved, "each agent to be on one of them")
            assert not first.metrics.kpis.agents.keys() & second.metrics.kpis.agents.keys()
            assert len(first.metrics.evolutions.agents) < 60 or not second.metrics.evolutions.agents


def test_what_is_handed_over_is_what_was_not_shown() -> None:
    one, other, beginnings = EvolutionTotals(), EvolutionTotals(), Beginnings()
    for number in range(5):
        one.add("nightly", "failed", 70.0 * number)
    for family in one.collect():
        beginnings.show(family, "prometheus")
    assert one.not_shown(beginnings.shown)["nightly"][:4] == [5, 0, 0, 0], "it has seen 0"
    for family in one.collect():
        beginnings.show(family, "prometheus")
    assert one.not_shown(beginnings.shown) == {"nightly": []}
    one.add("nightly", "abandoned", None)
    one.add("triggered", "succeeded", 8000.0)
    text = metadata(None, "id", Carried(fitted(one.not_shown(beginnings.shown))))
    other.add("triggered", "succeeded", 1.0)
    other.take(Carried.from_fields(read_metadata(text)).counts)
    assert other.attempts["nightly", "abandoned"] == 1 and other.attempts["nightly", "failed"] == 0
    assert other.attempts["triggered", "succeeded"] == 2
    assert sum(other.types["nightly"].durations.counts) == other.types["nightly"].durations.total == 0
    assert (other.types["triggered"].durations.counts[-4], other.types["triggered"].durations.total) == (
        1,
        8001,
    )


def test_counts_fit_beside_a_plan_and_the_rarest_types_are_left_out() -> None:
    counts = {f"type-{n}-of-many": [n] * handed_over(OfType()) for n in range(100)}
    kept = fitted(counts)
    assert 15 < len(kept) < 100 and all(counts[kind] == kept[kind] for kind in kept)
    assert "type-99-of-many" in kept and "type-0-of-many" not in kept
    plan = InsertPlan(2**62, 2**62, "e" * 32, 2**31)
    assert len(metadata(plan, "i" * 22, Carried(kept, 2**62))) < 4096


@pytest.mark.parametrize(
    "fields", [{"counts": 5}, {"counts": {"a": "b"}}, {"counts": {"a": [None]}}, {"known": []}]
)
def test_metadata_of_another_program_are_no_counts(fields: dict[str, object]) -> None:
    assert Carried.from_fields(json.loads(json.dumps(fields))) == Carried()
    totals = EvolutionTotals()
    totals.take({"a": [1.0, 2.0]})
    assert not any(totals.attempts.values())
