"""What the tests of the embedded ClickHouse's front ask it with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest


@pytest.fixture
async def http(clickhouse: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Plain HTTP, as curl speaks it."""
    async with aiohttp.ClientSession(clickhouse) as session:
        yield session
