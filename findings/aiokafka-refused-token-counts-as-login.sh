#!/usr/bin/env bash
# aiokafka 0.14.0: a broker refuses an OAUTHBEARER token by an answer whose error code is 0 and whose text is JSON; the
# error itself follows once the client has acknowledged that (RFC 7628, section 3.2.3). aiokafka's login looks at the
# code alone and is over when the token is sent, whatever comes back: it logs "Authenticated via OAUTHBEARER", and the
# next request, for metadata, is answered with no brokers by Kafka 4.4. So an expired token looks like a cluster that
# has just started, for ever, and no error names the login.
# Seen: "refused: None, accepted: None" (None = the login is complete).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aiokafka==0.14.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import sys

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import OAuthAuthenticator


class Provider(AbstractTokenProvider):
    async def token(self) -> str:
        return "a.token."


async def after(answer: bytes) -> object:
    """Return the login's next step after a broker's answer to the token."""
    login = OAuthAuthenticator(sasl_oauth_token_provider=Provider())
    sent = await login.step(None)
    assert sent is not None and sent[0].startswith(b"n,,")
    return await login.step(answer)


refused = asyncio.run(after(b'{"status":"invalid_token"}'))
accepted = asyncio.run(after(b""))
print(f"refused: {refused}, accepted: {accepted}")
sys.exit(0 if refused is None and accepted is None else "a refusal is seen now")
PYTHON
