"""Keeps logins out of aiokafka's log.

At level DEBUG aiokafka (0.14) logs every request with all its fields. What logs in is among them: PLAIN's is
the user and the password, OAUTHBEARER's the token. Here such a message names the request alone.
"""

from __future__ import annotations

import logging


class WithoutLogins(logging.Filter):
    """Replaces the requests and answers of a login in a log record by their names."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without what logs in."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                type(each).__name__ if hasattr(each, "sasl_auth_bytes") else each for each in record.args
            )
        return True


WITHOUT_LOGINS = WithoutLogins()


def hide_logins() -> None:
    """Have aiokafka log no login from now on; a second call changes nothing."""
    logging.getLogger("aiokafka.conn").addFilter(WITHOUT_LOGINS)
