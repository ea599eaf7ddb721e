"""A database of its own with messages in it, for the tests of a module."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from evometrics.sinks.settings import ClickHouseSettings
from tests.sinks.raw.test_raw_events import fill
from tests.support.sinks import copy_database, run_statements, sent


@contextlib.contextmanager
def filled_database(
    migrated: ClickHouseSettings, name: str, events: Iterable[Any]
) -> Iterator[ClickHouseSettings]:
    """Copy a database without rows, store events in the copy in their order, and drop it in the end."""
    settings = dataclasses.replace(migrated, database=name)
    asyncio.run(copy_database(migrated, settings))
    asyncio.run(fill(settings, [sent(each, offset=place) for place, each in enumerate(events)]))
    try:
        yield settings
    finally:
        asyncio.run(run_statements(settings, [f"DROP DATABASE {name}"]))
