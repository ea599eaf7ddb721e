"""Events outside their agent's partition: where another client's partitioner, another key or none put them.

States are kept per partition, so an agent's events must be computed in one: that of its id by Kafka's default
partitioner (murmur2), which evometrics and the Java clients use. librdkafka's default is CRC32. A misplaced
event is sent to its agent's partition, unchanged, as an output of the batch it was found in, and is computed
there: rows come out as if it had been sent there at first. It is acknowledged before the offset moves, and
recognised by its event_id where a crash sends it twice; views of the raw tables return it once.

To compute it where it lies and mark the rows would be less work, but no row could be right: its states, such
as the previous snapshot, are in another partition, often another worker's.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evometrics.schemas.metrics import STREAM_MISPLACED, Instruments

log = logging.getLogger(__name__)

#: Agents that are named in the log; the events of further ones are counted.
NAMED = 20
WAY_OUT = (
    "set the producer's partitioner to murmur2 (librdkafka: `partitioner=murmur2_random`) and the key to the "
    "agent's id: docs/how-to/publish-from-other-clients.md"
)


@dataclass(frozen=True, slots=True)
class MisplacedEvent:
    """An event found in another partition than its agent's.

    Attributes:
        partition: where it was found.
        home: its agent's partition.
        key: the message's key, None for none.
        value: the message's value.
    """

    topic: str
    partition: int
    home: int
    agent_id: str
    key: bytes | None
    value: bytes

    @property
    def cause(self) -> str:
        """What put it there, in words."""
        if self.key is None:
            return "has no key"
        if self.key != self.agent_id.encode():
            return "has another key than its agent's id"
        return "was placed by another partitioner than Kafka's default"

    def __str__(self) -> str:
        return (
            f"{self.topic}[{self.partition}]: an event of agent {self.agent_id} {self.cause}; its partition "
            f"is {self.home}"
        )


class Misplaced:
    """Counts misplaced events, names their agents in the log, and says so in the worker's health."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self.numbers: Counter[str] = Counter()
        self.first: dict[str, MisplacedEvent] = {}
        self.named: set[str] = set()

    def report(self, events: Iterable[MisplacedEvent]) -> None:
        """Count events that were sent to their agents' partitions."""
        for event in events:
            self.numbers[event.topic] += 1
            self.first.setdefault(event.topic, event)
            self.instruments.counter(STREAM_MISPLACED).labels(event.topic).inc()
            if event.agent_id in self.named or len(self.named) == NAMED:
                continue
            self.named.add(event.agent_id)
            more = "; further agents are counted, not named" if len(self.named) == NAMED else ""
            log.warning("%s, where its misplaced events are sent and computed: %s%s", event, WAY_OUT, more)

    def notes(self) -> Iterable[str]:
        """Return a line for each topic with misplaced events."""
        for topic, number in sorted(self.numbers.items()):
            yield (
                f"{topic}: {number} events were outside their agent's partition and were sent there, first "
                f"{self.first[topic]}; {WAY_OUT}"
            )
