"""The stream's source topics: they must exist, have one number of partitions, and stay as they are.

States are kept in as many partitions as the topics had when they were begun. If partitions are added, an
agent's further events go to another partition than its states; if a topic is deleted and recreated, its
offsets begin again. So no batch is computed before the topics were checked, after it was fetched, to be those
that the worker began with.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from aiokafka.errors import KafkaError

from evometrics.schemas.errors import EvometricsError
from evometrics.schemas.kafka.topic_identity import TopicIdentity, TopicWatch, topic_identities
from evometrics.schemas.kafka.topics import answered, partitions_of
from evometrics.schemas.service.backoff import SOON_SECONDS, backoff
from evometrics.schemas.service.settings import KafkaSettings, SettingsError
from evometrics.schemas.topics import EVOLUTION_COMPLETED, EVOLUTION_STARTED, KPI_SNAPSHOTS, SCOPE_COUNTS
from evometrics.streams.sources.grown import grown_topics

log = logging.getLogger(__name__)

EVOLUTION_TOPICS = (EVOLUTION_STARTED.name, EVOLUTION_COMPLETED.name)
SNAPSHOT_TOPICS = (KPI_SNAPSHOTS.name,)
SCOPE_TOPICS = (SCOPE_COUNTS,)
SOURCE_TOPICS = (*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS, *SCOPE_TOPICS)

#: How often a worker checks the topics while no batch comes.
LOOK_SECONDS = 5.0
#: The consequence for events, and how to get more partitions nevertheless.
REFUSED = (
    "An agent's events may now be in two partitions, so none is computed; they are kept in Kafka, and the "
    "sinks store them. Way out: stop the nodes, recreate the topics with as many partitions as you want "
    "(`evometrics topics --anew --partitions N`, once the sinks have stored what they hold) and fill them "
    "from ClickHouse (`evometrics republish`): see docs/how-to/add-partitions.md"
)


class TopicsChanged(EvometricsError, RuntimeError):
    """The topics are not those that the worker began with; the message names them and the way out."""


class PartitionsAdded(TopicsChanged):
    """Topics have another number of partitions than the states of the stream's group."""


class SourceTopicsGone(TopicsChanged):
    """Topics no longer exist."""


class TopicsMadeAnew(TopicsChanged):
    """Topics were deleted and recreated: a worker that starts now reads them from their beginning."""


def refuse_partitions(numbers: Mapping[str, int], states: int) -> None:
    """Raise `PartitionsAdded` if topics' numbers of partitions, as given, differ from the states' number."""
    others = {name: number for name, number in numbers.items() if number != states}
    if others:
        listed = ", ".join(f"{name} has {number}" for name, number in sorted(others.items()))
        raise PartitionsAdded(
            f"partitions were added: {listed}, the states of this group (and other topics) {states}. "
            f"{REFUSED}"
        )


class SourceTopics:
    """The source topics as a worker found them when it began.

    Attributes:
        ids: the id of each, `topic_identity.UNKNOWN` if the broker gives none.
        partitions: number of partitions of each.
    """

    def __init__(self, kafka: KafkaSettings, found: Mapping[str, TopicIdentity], partitions: int) -> None:
        self.ids = {name: each.topic_id for name, each in found.items()}
        self.partitions = partitions
        self.watch = TopicWatch(kafka, tuple(found))

    @property
    def digest(self) -> str:
        """Identifies these topics among others of the same names, 8 hex digits."""
        return hashlib.blake2b(repr(sorted(self.ids.items())).encode(), digest_size=4).hexdigest()

    async def verify(self, names: Collection[str] | None = None) -> None:
        """Return once the topics, or some, were seen to be unchanged; waits while Kafka is unreachable.

        Raises `TopicsChanged`.
        """
        attempt = 0
        while True:
            try:
                found = await self.watch.look(names)
                break
            except (KafkaError, OSError, TimeoutError) as error:
                attempt += 1
                log.warning("the topics can't be checked; retrying until they can: %r", error)
                await asyncio.sleep(backoff(attempt, SOON_SECONDS))
        self.check(found, names or self.ids)

    def check(self, found: Mapping[str, TopicIdentity], names: Iterable[str]) -> None:
        """Compare the topics' present state with the original one. Raises `TopicsChanged`."""
        missing = [name for name in names if name not in found]
        if missing:
            raise SourceTopicsGone(
                f"topics {', '.join(missing)} no longer exist: recreate them with `evometrics topics`; the "
                "stream then continues by itself"
            )
        anew = [name for name, each in found.items() if each.is_other_than(self.ids[name])]
        if anew:
            raise TopicsMadeAnew(
                f"topics {', '.join(anew)} were deleted and recreated; they are read from their beginning, "
                "and offsets of the deleted ones are ignored"
            )
        refuse_partitions({name: each.partitions for name, each in found.items()}, self.partitions)

    async def keep_watch(self, failed: Callable[[BaseException], None]) -> None:
        """Verify every `LOOK_SECONDS`; report the `TopicsChanged` that ends it."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                await self.verify()
        except TopicsChanged as change:
            failed(change)

    async def close(self) -> None:
        await self.watch.close()


async def source_topics(kafka: KafkaSettings) -> dict[str, TopicIdentity]:
    """Return the topics that the stream reads.

    Raises `BrokerUnavailable` within seconds, `SettingsError` if one is missing.
    """
    found = await answered(kafka, lambda admin: topic_identities(admin, SOURCE_TOPICS))
    missing = [name for name in SOURCE_TOPICS if name not in found]
    if missing:
        raise SettingsError(f"no topics {', '.join(missing)}: run `evometrics topics` first")
    return found


async def begin_with(kafka: KafkaSettings, changelogs: Collection[str]) -> SourceTopics:
    """Return the topics as they are, for states in existing changelogs, or for new states.

    Raises `PartitionsAdded` if the topics' number of partitions differs from the changelogs', or among the
    topics, or they hold events from when they had fewer (`grown`); `SourceTopicsGone`; `BrokerUnavailable`
    within seconds.
    """
    try:
        found = await source_topics(kafka)
    except SettingsError as error:
        raise SourceTopicsGone(str(error)) from error
    numbers = {name: each.partitions for name, each in found.items()}
    states = await answered(kafka, lambda admin: partitions_of(admin, changelogs))
    partitions = min((*states.values(), *numbers.values()))
    refuse_partitions(numbers, partitions)
    if not states:
        grown = await grown_topics(kafka, dict.fromkeys((*EVOLUTION_TOPICS, *SNAPSHOT_TOPICS), partitions))
        if grown:
            words = (
                f"{name} has {partitions}, its events are placed as for {n}" for name, n in grown.items()
            )
            raise PartitionsAdded(f"partitions were added: {', '.join(words)}. {REFUSED}")
    return SourceTopics(kafka, found, partitions)
