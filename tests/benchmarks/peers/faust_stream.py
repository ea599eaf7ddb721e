"""The stream's job as ordinary Faust agents: one event at a time, state in tables with changelogs."""

from __future__ import annotations

import heapq
import json
from typing import Any

import faust
import uvloop

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.outcome import abandoned_metrics, evolution_metrics
from evometrics.schemas.topics import (
    EVOLUTION_COMPLETED,
    EVOLUTION_METRICS,
    EVOLUTION_STARTED,
    SUCCESS_RATES,
)
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import Scope
from evometrics.streams.processors.scope_tally import scopes_of
from tests.benchmarks.peers.job import ABANDONED_MICROS, SESSION_SECONDS, arguments, counted, fact, read

RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


def build(brokers: str, group: str, partitions: int, folder: str) -> faust.App:
    """Return the app: an agent for starts, one for completions, one for the facts that scopes count."""
    app = faust.App(
        group,
        broker=f"kafka://{brokers}",
        datadir=folder,
        topic_partitions=partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        web_enabled=False,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=SESSION_SECONDS / 5,
        broker_request_timeout=2 * SESSION_SECONDS,
        # its messages are many and small: so it may send some of them together
        producer_linger=0.02,
    )
    wire = WireFormat()
    started_topic = app.topic(EVOLUTION_STARTED.name, **RAW)
    completed_topic = app.topic(EVOLUTION_COMPLETED.name, **RAW)
    metrics_topic = app.topic(EVOLUTION_METRICS.name, **RAW)
    rates_topic = app.topic(SUCCESS_RATES.name, **RAW)
    facts_topic = app.topic(f"{group}-facts", internal=True, partitions=partitions, **RAW)
    seen = app.Table("seen", key_type=str, value_type=int, partitions=partitions)
    agents = app.Table("agents", key_type=str, partitions=partitions)
    begun = app.Table("begun", key_type=str, value_type=str, partitions=partitions)
    scopes = app.Table("scopes", key_type=str, partitions=partitions)
    reached: dict[int, list[int]] = {}
    deadlines: dict[int, list[tuple[int, str]]] = {}

    def first_time(event_id: str) -> bool:
        if event_id in seen:
            return False
        seen[event_id] = 1
        return True

    async def emit(topic: Any, event: Any) -> None:
        await topic.send(key=event.key.encode(), value=wire.encode(event))

    @app.agent(started_topic)
    async def starts(stream: Any) -> None:
        async for message in stream.events():
            event = read(wire, message.value, int(message.message.timestamp * 1000))
            partition = message.message.partition
            assert isinstance(event, EvolutionStarted)
            times = reached.setdefault(partition, [0, 0])
            times[0] = max(times[0], event.occurred_at)
            if first_time(event.event_id):
                begun[event.evolution_id] = message.value.hex()
                due = (event.occurred_at + ABANDONED_MICROS, event.evolution_id)
                heapq.heappush(deadlines.setdefault(partition, []), due)

    @app.agent(completed_topic)
    async def completions(stream: Any) -> None:
        async for message in stream.events():
            event = read(wire, message.value, int(message.message.timestamp * 1000))
            assert isinstance(event, EvolutionCompleted)
            partition = message.message.partition
            times = reached.setdefault(partition, [0, 0])
            times[1] = max(times[1], event.occurred_at)
            if not first_time(event.event_id):
                continue
            if event.evolution_id in begun:
                del begun[event.evolution_id]
            await emit(metrics_topic, evolution_metrics(event))
            scope = Scope("agent", event.agent_id)
            counts, rows = counted(scope, agents.get(event.agent_id), event.occurred_at, event.success)
            agents[event.agent_id] = counts
            for row in rows:
                await emit(rates_topic, row)
            for scope in scopes_of(event):
                await facts_topic.send(key=scope.key.encode(), value=fact(event))
            await report_abandoned(partition, min(times))

    async def report_abandoned(partition: int, watermark: int) -> None:
        open_ones = deadlines.setdefault(partition, [])
        while open_ones and open_ones[0][0] <= watermark:
            _, evolution_id = heapq.heappop(open_ones)
            if evolution_id in begun:
                start = wire.decode(bytes.fromhex(begun.pop(evolution_id)))
                assert isinstance(start, EvolutionStarted)
                await emit(metrics_topic, abandoned_metrics(start, ABANDONED_MICROS))

    @app.agent(facts_topic)
    async def merges(stream: Any) -> None:
        async for message in stream.events():
            key, told = message.key.decode(), json.loads(message.value)
            scopes[key], rows = counted(Scope.from_key(key), scopes.get(key), told["at"], told["success"])
            for row in rows:
                await emit(rates_topic, row)

    return app


def main() -> None:
    """Run the worker until it is ended."""
    args = arguments(__doc__)
    uvloop.install()
    app = build(args.brokers, args.group, args.partitions, args.folder)
    faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main()
