"""What the Python programs share: steps that are told apart, and where the server is."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from urllib.parse import urlsplit

SERVER = os.environ["SERVER"]
HOST, PORT = str(urlsplit(SERVER).hostname), int(urlsplit(SERVER).port or 8123)
TABLES = os.environ["TABLES"].split(",")
SLOW = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
AGENT = "it's agent-1"
OF_AGENT = "SELECT agent_id, count() AS n FROM evolution_metrics WHERE agent_id = "


def step(name: str, run: Callable[[], object]) -> None:
    """Run a step and print how it went."""
    try:
        print("ok", name, run() or "", sep="\t", flush=True)
    except Exception as error:
        print("failed", name, f"{type(error).__name__}: {error}".split("\n")[0], sep="\t", flush=True)
        traceback.print_exc()


def equal(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} in place of {wanted!r}")
