"""What aiokafka logs, without logins, and without the same complaint every few seconds.

At level DEBUG aiokafka (0.14) logs every request with all its fields. What logs in is among them: PLAIN's is
the user and the password, OAUTHBEARER's the token. Here such a message names the request alone.

It logs an unreachable broker as an error at each attempt to connect, fetch or send, ten times a second:
dozens of lines for each restart of a broker and thousands a night, on the terminal of a script that has set
up no logging. Here the same line comes once in ten minutes; what it means for the events is said by who uses
the client.
"""

from __future__ import annotations

import logging
import time

#: Seconds for which a line about a broker that can't be reached is not said again.
SAID_FOR = 600.0
#: Most lines that are remembered.
MOST_SAID = 1000
#: How lines about a broker that can't be reached begin, and the loggers that have them (aiokafka 0.14).
UNREACHABLE = (
    "Unable ",
    "Failed fetch ",
    "Got error produce response: ",
    "Cannot send ",
    "Group Coordinator Request failed: ",
    "FindCoordinator Request failed: ",
    "Heartbeat send request failed: ",
)
LOGGERS = (
    "aiokafka",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


class WithoutLogins(logging.Filter):
    """Replaces the requests and answers of a login in a log record by their names."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without what logs in."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                type(each).__name__ if hasattr(each, "sasl_auth_bytes") else each for each in record.args
            )
        return True


class SaidOnce(logging.Filter):
    """Drops a line about an unreachable broker that was said in the last ten minutes."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is to be logged."""
        if not str(record.msg).startswith(UNREACHABLE):
            return True
        line, now = record.getMessage(), time.monotonic()
        if now < self.said.get(line, now):
            return False
        if len(self.said) >= MOST_SAID:
            self.said.clear()
        self.said[line] = now + SAID_FOR
        return True


WITHOUT_LOGINS, SAID_ONCE = WithoutLogins(), SaidOnce()


def calm() -> None:
    """Filter aiokafka's log from now on; a second call changes nothing."""
    logging.getLogger("aiokafka.conn").addFilter(WITHOUT_LOGINS)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(SAID_ONCE)
