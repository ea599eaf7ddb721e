"""Rows that can't be sent just now stay in their outbox, on disk, while the rows after them are sent.

Two conditions hold rows back. Their time, where readers would refuse it: as long as this node's clock is
wrong, and until the time is corrected (`clock_repair`). And their topic, where the cluster lacks it. Once
that has changed, everything is read again from the beginning, so that an agent's events keep their order.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.structs import RecordMetadata

from evometrics.producers.events.values import set_broker_clock
from evometrics.producers.outbox.row import Row, any_later, latest_time
from evometrics.producers.publisher.adopted import AdoptedSource
from evometrics.producers.publisher.backlog import OwnSource
from evometrics.producers.publisher.broker_clock import NodeClock, broker_time, in_words
from evometrics.producers.publisher.clock_repair import ClockRepair
from evometrics.producers.publisher.session import missing_topics
from evometrics.producers.publisher.telling import Telling

logger = logging.getLogger(__name__)

#: Seconds between two checks of the conditions that hold rows back.
LOOK_EVERY = 5.0
#: Seconds after which the broker is asked for its time again even if nothing seems to have changed.
ASK_EVERY = 300.0
#: In an acknowledgement: the broker has given the messages its own time.
LOG_APPEND_TIME = 1


class Holding:
    """Decides which rows of the backlog can be sent, and notices when that changes.

    Attributes:
        missing: topics that the cluster lacks.
        ahead: by source's number, rows in this session whose time readers would refuse.
        rows: how many rows this session holds back.
        read_again: whether everything has to be read again.
        heard: whether the broker's time is known, or an acknowledgement has come that does not contain it.
    """

    def __init__(
        self, sources: Callable[[], Sequence[OwnSource | AdoptedSource]], clock: NodeClock, telling: Telling
    ) -> None:
        self.sources = sources
        self.clock = clock
        self.telling = telling
        self.repair = ClockRepair(clock)
        self.missing: frozenset[str] = frozenset()
        self.ahead: Counter[int] = Counter()
        self.rows = 0
        self.read_again = self.heard = False
        self.looked = self.asked = 0.0

    async def begin(self, client: AIOKafkaClient) -> None:
        """Begin a session: nothing is held back yet. Raises `KafkaError`."""
        self.missing = await missing_topics(client)
        self.ahead.clear()
        self.rows, self.read_again = 0, False
        await self.ask_time(client)

    def divide(self, found: list[Row]) -> tuple[list[Row], Sequence[Row]]:
        """Return the rows that can be sent, and those that are held back."""
        limit = self.clock.latest()
        late = limit is not None and any_later(found, limit)
        if not late and not self.missing:
            return found, ()
        fit: list[Row] = []
        held: list[Row] = []
        for row in found:
            too_late = late and limit is not None and latest_time(row) > limit
            if too_late and (row.source, row.seq) not in self.repair.as_it_is:
                self.ahead[row.source] += 1
                held.append(row)
            elif row.topic in self.missing:
                held.append(row)
            else:
                fit.append(row)
        self.rows += len(held)
        return fit, held

    async def ask_time(self, client: AIOKafkaClient) -> None:
        self.asked = time.monotonic()
        now = await broker_time(client)
        if now is not None:
            self.hear_time(now)
            self.heard = True

    def hear_time(self, seconds: float) -> None:
        """Update the clock with the broker's time, seconds since 1970."""
        self.clock.heard(seconds)
        set_broker_clock(self.clock.broker_less_monotonic)

    def hear(self, metadata: RecordMetadata) -> None:
        """Take the broker's time from an acknowledgement, where the broker can't be asked for it."""
        self.telling.clock_refused = ""
        if not self.heard:
            self.heard = True
            if metadata.timestamp_type == LOG_APPEND_TIME:
                self.hear_time(metadata.timestamp / 1000)
                self.read_again = True

    async def look(self, client: AIOKafkaClient, waiting: int) -> None:
        """Check what holds rows back, every few seconds and whenever this node's clock was set.

        `waiting` is how many events are in the outbox. Raises `KafkaError`.
        """
        now, was_set = time.monotonic(), self.clock.was_set()
        held = self.rows or self.missing or self.clock.wrong
        if not was_set and now - self.asked < ASK_EVERY and (not held or now - self.looked < LOOK_EVERY):
            return
        self.looked = now
        await self.ask_time(client)
        if self.missing and await missing_topics(client) != self.missing:
            self.read_again = True
        if words := self.words():
            about = "clock" if self.clock.wrong else "topics"
            rest = "Events it affects wait in the outbox (%d events there); all others are sent"
            self.telling.say(about, f"%s. {rest}", words, waiting)
        if not self.clock.wrong and self.ahead.keys() - self.repair.damaged:
            self.mend()

    def mend(self) -> None:
        """Correct what was recorded while this node's clock was wrong, and have it read again."""
        wrong = self.ahead.keys() - self.repair.damaged
        for source in [each for each in self.sources() if each.number in wrong]:
            path = source.lock.path if isinstance(source, AdoptedSource) else source.outbox.path
            try:
                mended = self.repair.mend(source)
            except (OSError, sqlite3.Error) as error:
                self.repair.damaged.add(source.number)
                logger.error("%s: %s; its events that a wrong clock timed stay there", path, error)
                continue
            logger.warning(
                "%s: %d events were recorded while this node's clock was more than a day ahead; their "
                "times were corrected, and they are sent now",
                path,
                mended,
            )
        self.read_again = True

    def words(self) -> str:
        """Return why rows are held back, and the way out; empty where none are."""
        found = []
        if self.clock.wrong:
            found.append(f"this node's clock is {in_words(self.clock.ahead)} ahead of the broker's: set it")
        if self.missing:
            found.append(f"no topic {', '.join(sorted(self.missing))}: create them with `evometrics topics`")
        return "; ".join(found)
