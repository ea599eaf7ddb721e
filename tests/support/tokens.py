"""Tokens of OAUTHBEARER, as a user's own class gives them: unsigned ones, which Kafka takes for trials."""

from __future__ import annotations

import base64
import json
import time

from aiokafka.abc import AbstractTokenProvider


def encoded(part: dict[str, object]) -> str:
    """Return a part of a JSON web token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class UnsignedTokens(AbstractTokenProvider):
    """Gives tokens for one user, valid for `seconds`."""

    user = "pipeline"
    seconds = 600

    async def token(self) -> str:
        now = int(time.time())
        claims = {"sub": self.user, "iat": now - 60, "exp": now + self.seconds}
        return f"{encoded({'alg': 'none'})}.{encoded(claims)}."


class OutdatedTokens(UnsignedTokens):
    """Gives tokens that are over."""

    seconds = -30
