"""The stream's job with Quix Streams: stateful functions over keyed topics, RocksDB with changelogs."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from quixstreams import Application
from quixstreams.models import Serializer, TopicConfig

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted
from evometrics.schemas.evolutions.outcome import abandoned_metrics, evolution_metrics
from evometrics.schemas.topics import (
    BY_RECORD,
    EVOLUTION_COMPLETED,
    EVOLUTION_METRICS,
    EVOLUTION_STARTED,
    SUCCESS_RATES,
)
from evometrics.schemas.wire.framing import WireFormat
from evometrics.streams.formulas.windows import Scope
from evometrics.streams.processors.scope_tally import scopes_of
from tests.benchmarks.peers.job import ABANDONED_MICROS, SESSION_SECONDS, arguments, counted, fact, read


class Out(NamedTuple):
    """A message to produce."""

    topic: str
    key: str
    value: bytes


class ValueOf(Serializer):
    """Sends an `Out`'s value."""

    def __call__(self, value: Any, ctx: Any) -> bytes:
        found: bytes = value.value
        return found


class Job:
    """The two stages' functions.

    State is an agent's own in the first stage and a scope's own in the second: Quix keeps it by message key.
    It has no timers: an abandoned evolution is reported when its agent is next heard of.
    """

    def __init__(self, facts: str) -> None:
        self.wire = WireFormat()
        self.facts = facts
        self.started = self.completed = 0

    def out(self, event: Event) -> Out:
        return Out(BY_RECORD[event.record].name, event.key, self.wire.encode(event))

    def evolution(self, value: bytes, key: str, timestamp: int, headers: Any, state: Any) -> list[Out]:
        """Handle a start or a completion."""
        event = read(self.wire, value, timestamp)
        if state.exists(event.event_id):
            return []
        state.set(event.event_id, 1)
        begun: dict[str, str] = state.get("begun") or {}
        if isinstance(event, EvolutionStarted):
            self.started = max(self.started, event.occurred_at)
            begun[event.evolution_id] = value.hex()
            state.set("begun", begun)
            return []
        assert isinstance(event, EvolutionCompleted)
        self.completed = max(self.completed, event.occurred_at)
        outputs = [self.out(evolution_metrics(event))]
        if begun:
            begun.pop(event.evolution_id, None)
            outputs += self.abandoned(begun)
            state.set("begun", begun)
        scope = Scope("agent", event.agent_id)
        counts, rows = counted(scope, state.get("counts"), event.occurred_at, event.success)
        state.set("counts", counts)
        outputs += map(self.out, rows)
        outputs += (Out(self.facts, scope.key, fact(event)) for scope in scopes_of(event))
        return outputs

    def abandoned(self, begun: dict[str, str]) -> list[Out]:
        """Report and forget the evolutions whose time is over."""
        found = []
        for evolution_id, value in list(begun.items()):
            start = self.wire.decode(bytes.fromhex(value))
            assert isinstance(start, EvolutionStarted)
            if start.occurred_at + ABANDONED_MICROS <= min(self.started, self.completed):
                del begun[evolution_id]
                found.append(self.out(abandoned_metrics(start, ABANDONED_MICROS)))
        return found

    def scope(self, value: bytes, key: str, timestamp: int, headers: Any, state: Any) -> list[Out]:
        """Count a fact in its scope."""
        told = json.loads(value)
        counts, rows = counted(Scope.from_key(key), state.get("counts"), told["at"], told["success"])
        state.set("counts", counts)
        return [self.out(row) for row in rows]


def build(brokers: str, group: str, partitions: int, folder: str) -> Application:
    """Return the application with both stages."""
    app = Application(
        broker_address=brokers,
        consumer_group=group,
        auto_offset_reset="earliest",
        state_dir=f"{folder}/{group}-state",
        loglevel="WARNING",
        consumer_extra_config={"session.timeout.ms": SESSION_SECONDS * 1000},
    )
    inward: dict[str, Any] = {"key_deserializer": "str", "value_deserializer": "bytes"}
    outward: dict[str, Any] = {"key_serializer": "str", "value_serializer": ValueOf()}
    completed = app.topic(EVOLUTION_COMPLETED.name, **inward)
    started = app.topic(EVOLUTION_STARTED.name, **inward)
    facts = app.topic(f"{group}-facts", config=TopicConfig(partitions, 1), **inward, **outward)
    topics = {name: app.topic(name, **outward) for name in (EVOLUTION_METRICS.name, SUCCESS_RATES.name)}
    topics[facts.name] = facts
    job = Job(facts.name)

    def topic_of(value: Out, *_: Any) -> Any:
        return topics[value.topic]

    def key_of(value: Out) -> str:
        return value.key

    both = app.dataframe(completed).concat(app.dataframe(started))
    both.apply(job.evolution, stateful=True, metadata=True, expand=True).to_topic(topic_of, key=key_of)
    scopes = app.dataframe(facts)
    scopes.apply(job.scope, stateful=True, metadata=True, expand=True).to_topic(topic_of, key=key_of)
    return app


def main() -> None:
    """Run the application until it is ended."""
    args = arguments(__doc__)
    build(args.brokers, args.group, args.partitions, args.folder).run()


if __name__ == "__main__":
    main()
