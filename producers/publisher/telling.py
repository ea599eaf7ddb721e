"""What the publisher tells the operator: each thing when it first happens, then once a minute."""

from __future__ import annotations

import logging

from aiokafka.errors import InvalidTimestampError

from evometrics.producers.notices import Reminders
from evometrics.producers.publisher.broker_clock import NodeClock, in_words
from evometrics.schemas.kafka.reaching import why_unusable
from evometrics.schemas.kafka.rights import right_missing
from evometrics.schemas.service.settings import KafkaSettings, SettingsError
from evometrics.schemas.wire.compatibility import IncompatibleSchema
from evometrics.schemas.wire.registry import RegistryUnavailable

logger = logging.getLogger(__name__)

#: Errors whose messages contain the way out.
NAMING_THE_WAY_OUT = RegistryUnavailable | IncompatibleSchema | SettingsError


class Telling(Reminders):
    """State of the publisher's connection to the broker, in words.

    Attributes:
        connected: whether the last attempt reached the broker.
        trouble: why the broker can't be used just now; empty where it can.
        clock_refused: that the broker refuses messages with this node's time; empty where it does not.
        failures: how many times something went wrong.
    """

    def __init__(self, kafka: KafkaSettings, clock: NodeClock) -> None:
        super().__init__(logger)
        self.kafka = kafka
        self.clock = clock
        self.connected = False
        self.trouble = self.clock_refused = ""
        self.failures = 0

    async def lost(self, error: BaseException, waiting: int) -> None:
        """Find out why a session has failed, and log it."""
        if isinstance(error, InvalidTimestampError | NAMING_THE_WAY_OUT):
            self.report(error, waiting)
            return
        self.connected, self.trouble = False, str(error) or type(error).__name__
        wrong = right_missing(error, self.kafka, "node") or await why_unusable(self.kafka)
        self.report(error, waiting, wrong)

    def report(self, error: BaseException, waiting: int, wrong: str | None = None) -> None:
        """Log what is wrong and how many events wait; `wrong`: a description by `schemas.kafka.reaching`."""
        self.failures += 1
        if isinstance(error, InvalidTimestampError):
            ahead = self.clock.ahead
            much = in_words(ahead) if ahead > 0 else "too far"
            self.clock_refused = f"this node's clock is {much} ahead of the broker's: set it"
            words = "%s. The broker refuses events timed by it (%s); events wait in the outbox (%d)"
            self.say("clock", words, self.clock_refused, type(error).__name__, waiting)
            return
        self.connected = False
        self.trouble = str(error) or type(error).__name__
        if wrong is not None:
            self.trouble = f"{wrong} ({self.trouble})"
        if wrong is not None or isinstance(error, NAMING_THE_WAY_OUT):
            words = "%s. Events wait in the outbox (%d) and are sent later"
            self.say("broker", words, self.trouble, waiting, level=logging.ERROR)
            return
        self.say(
            "broker",
            "brokers %s: %s. Events wait in the outbox (%d) and are sent later; start the broker, or "
            "correct `brokers` (EVOMETRICS_KAFKA_BROKERS)",
            self.kafka.brokers,
            self.trouble,
            waiting,
        )

    def recovered(self, waiting: int) -> None:
        """Report that the broker is reachable again."""
        self.connected = True
        if self.trouble:
            logger.info(
                "brokers %s: connected; %d events are waiting to be sent", self.kafka.brokers, waiting
            )
        self.trouble = ""
        self.over("broker")
