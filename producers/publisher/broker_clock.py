"""The broker's clock as estimated on this node, and this node's clock error relative to it.

Readers compare an event's time with the broker's clock and permanently refuse what is more than a day ahead
of it. So the broker's time must be known before an event is sent. KRaft's controller returns its time in the
answer to DescribeQuorum (Kafka 3.3 and later), which writes nothing; where that can't be asked, the
acknowledgements of topics with broker timestamps (LogAppendTime) carry it.

Between answers the time is extrapolated with a clock that is never set (`ticks`): its offset from this node's
clock changes only when somebody sets that, and then by as much as it was wrong before. The offsets are
remembered, so that times recorded before can be corrected to the millisecond.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from evometrics.producers.ticks import ticks
from evometrics.schemas.rules.validation import MAX_AHEAD_MICROS

SECOND = 1_000_000
#: Seconds by which an answer, an acknowledgement or two brokers may differ.
MARGIN = 10.0
ANSWER_SECONDS = 5.0
#: Seconds; events of a node further ahead than this would be refused.
MOST_AHEAD = MAX_AHEAD_MICROS / SECOND - MARGIN
#: A change smaller than this does not count as setting the clock, but as drift or slewing; seconds.
STEP = 2.0
#: Of a clock that was set many times only the newest offsets are remembered.
MOST_STEPS = 100

_REPLICAS = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class DescribeQuorumResponse(Response):  # type: ignore[misc]
    """The controller's description of its quorum; the leader's last caught-up time is its clock's now."""

    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorumStruct(RequestStruct):  # type: ignore[misc]
    """Version 1, the first with times."""

    FLEXIBLE_VERSION = True
    API_KEY = 55
    API_VERSION = 1
    RESPONSE_TYPE = DescribeQuorumResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorum(Request[DescribeQuorumStruct]):  # type: ignore[misc]
    """Asks about the only partition of the cluster's metadata."""

    API_KEY = 55

    def build(self, request_struct_class: type[DescribeQuorumStruct]) -> DescribeQuorumStruct:
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})


async def broker_time(client: AIOKafkaClient) -> float | None:
    """Return the broker's time, seconds since 1970; None where it gives none within `ANSWER_SECONDS`.

    Asks over a separate connection: while there is no active controller, messages must not queue behind the
    request.
    """
    node = client.get_random_node()
    if node is None:
        return None
    try:
        asking = client.send(node, DescribeQuorum(), group=ConnectionGroup.COORDINATION)
        response = await asyncio.wait_for(asking, ANSWER_SECONDS)
    except (KafkaError, NotImplementedError, TimeoutError, OSError):
        return None
    for _, partitions, _ in response.topics:
        for _, _, leader, _, _, voters, _, _ in partitions:
            for replica, _, _, caught_up, _ in voters:
                if replica == leader and caught_up > 0:
                    return float(caught_up) / 1000
    return None


class NodeClock:
    """This node's clock relative to the broker's.

    Args:
        wall: this node's clock, seconds since 1970; the one that events are recorded by.
        monotonic: a clock that is never set, seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = lambda: time.time(), monotonic: Callable[[], float] = ticks
    ) -> None:
        self.wall = wall
        self.monotonic = monotonic
        self.broker_less_monotonic: float | None = None
        self.wall_less_monotonic = [wall() - monotonic()]

    def heard(self, seconds: float) -> None:
        """Update the estimate with the broker's time, seconds since 1970."""
        self.broker_less_monotonic = seconds - self.monotonic()

    def was_set(self) -> bool:
        """Return whether this node's clock was set since the last call."""
        now = self.wall() - self.monotonic()
        if abs(now - self.wall_less_monotonic[-1]) < STEP:
            return False
        self.wall_less_monotonic = [*self.wall_less_monotonic[-MOST_STEPS:], now]
        return True

    def now(self) -> float | None:
        """Return the broker's time, seconds since 1970; None where it is not known."""
        known = self.broker_less_monotonic
        return None if known is None else self.monotonic() + known

    @property
    def ahead(self) -> float:
        """Seconds by which this node's clock is ahead of the broker's; 0 where that is not known."""
        now = self.now()
        return 0.0 if now is None else self.wall() - now

    @property
    def wrong(self) -> bool:
        """Whether events recorded now would be refused by readers."""
        return self.ahead > MOST_AHEAD

    def latest(self) -> int | None:
        """Return the latest time that readers accept, microseconds; None where that is not known."""
        now = self.now()
        return None if now is None else round((now + MOST_AHEAD) * SECOND)

    def known_shift(self, at: int) -> int | None:
        """Return how far ahead the clock was that produced the time `at`, microseconds like `at`.

        That is the smallest error that this node's clock is known to have had and that moves `at` into the
        past; None where there is none.
        """
        now, base = self.now(), self.broker_less_monotonic
        if now is None or base is None:
            return None
        least = at / SECOND - now - MARGIN
        found = [each - base for each in self.wall_less_monotonic if each - base >= max(least, MARGIN)]
        return round(min(found) * SECOND) if found else None


def in_words(seconds: float) -> str:
    """Return a span of time in its two largest units, such as `3 days 2 h`."""
    whole = round(abs(seconds))
    units = (("days", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for place, (name, size) in enumerate(units):
        if whole >= size:
            number, rest = divmod(whole, size)
            first = f"{number} {'day' if name == 'days' and number == 1 else name}"
            if place + 1 < len(units) and (more := rest // units[place + 1][1]):
                return f"{first} {more} {units[place + 1][0]}"
            return first
    return "0 s"
