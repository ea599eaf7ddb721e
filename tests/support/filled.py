"""A database of its own with messages in it, for the tests of a module."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from evometrics.sinks.migrations.migrate import migrate
from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import run_statements, sent


@contextlib.contextmanager
def filled_database(clickhouse: str, name: str, events: Iterable[Any]) -> Iterator[ClickHouseSettings]:
    """Migrate a database, store events in it in their order, and drop it in the end."""
    settings = ClickHouseSettings(url=clickhouse, database=name)
    asyncio.run(migrate(settings))
    asyncio.run(fill(settings, [sent(each, offset=place) for place, each in enumerate(events)]))
    try:
        yield settings
    finally:
        asyncio.run(run_statements(settings, [f"DROP DATABASE {name}"]))
