"""What an existing topic has otherwise than a new one, and what that leads to.

Topics may be an administrator's, with settings of their own. Those that the pipeline works with are named and
kept; with the others it can't work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evometrics.schemas.kafka.topic_settings import (
    BROKER_TIME,
    LARGEST_MESSAGE,
    MIN_IN_SYNC,
    POLICY,
    RETENTION,
)

#: The name under which a topic's number of copies is told, beside its settings.
COPIES = "replication.factor"
DELETE = "delete"
FOR_EVER = -1


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a topic that is not a new topic's.

    Attributes:
        name: Kafka's name of the setting.
        found, wanted: the topic's value, and that of a new topic.
        leads_to: what follows from it.
        usable: whether the pipeline works nevertheless.
    """

    name: str
    found: str
    wanted: str
    leads_to: str
    usable: bool


def differences(found: Mapping[str, str], wanted: Mapping[str, str], copies: int) -> list[Difference]:
    """Return in what a topic's settings and copies differ from a new topic's.

    `wanted` has the settings that new topics are given, and `COPIES`.
    """
    everything = {**found, COPIES: str(copies)}
    return [
        Difference(name, everything[name], value, *judged(name, everything[name], value, copies))
        for name, value in {POLICY: DELETE, **wanted}.items()
        if everything[name] != value
    ]


def judged(name: str, found: str, wanted: str, copies: int) -> tuple[str, bool]:
    """Return what another value of a setting leads to, and whether the pipeline works with it."""
    if name == POLICY:
        return "Kafka keeps an agent's newest message only", False
    if name in BROKER_TIME:
        return "messages are kept, and their age is told, by their senders' clocks", False
    if name == RETENTION:
        longer = int(found) == FOR_EVER or FOR_EVER != int(wanted) < int(found)
        return ("messages are kept longer" if longer else "who is away for longer misses messages"), True
    if name == LARGEST_MESSAGE:
        larger = int(found) > int(wanted)
        return ("larger messages are taken" if larger else "larger events are refused"), larger
    if name == MIN_IN_SYNC:
        if int(found) > copies:
            return f"with {copies} copies nothing can be written", False
        return "a write is confirmed by another number of copies", True
    return "it survives the loss of another number of brokers", True
