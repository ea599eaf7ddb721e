"""Columns for the newest schemas in the registry, added by who migrates: a sink may lack the rights to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from evometrics.schemas.topics import TOPICS
from evometrics.schemas.wire.catalog import WriterSchema
from evometrics.schemas.wire.registry import RegistryClient
from evometrics.sinks.migrations.migrate import Planned, connected
from evometrics.sinks.migrations.new_columns import changes, fit, read_shape
from evometrics.sinks.settings import ClickHouseSettings


async def registered_schemas(registry: RegistryClient) -> dict[str, WriterSchema]:
    """Return the newest schema of each table's subject, by table. Raises as the registry's client does."""
    found = {}
    for topic in TOPICS:
        schema = await asyncio.to_thread(registry.latest, topic.subject)
        if schema is not None and schema.record == topic.record:
            found[topic.table] = schema
    return found


async def fit_registered(settings: ClickHouseSettings, schemas: Mapping[str, WriterSchema]) -> list[str]:
    """Add to each table the columns that its schema needs; return the tables that got some.

    Raises `IncompatibleSchema`, `ClickHouseUnavailable`.
    """
    async with connected(settings) as client:
        return [table for table, schema in schemas.items() if await fit(client, settings, table, schema)]


async def planned_for(settings: ClickHouseSettings, schemas: Mapping[str, WriterSchema]) -> list[Planned]:
    """Return the statements that `fit_registered` would send; changes nothing."""
    label, found = "columns for newer schemas in the registry", list[Planned]()
    async with connected(settings) as client:
        for table, schema in schemas.items():
            shape = await read_shape(client, settings, table)
            found += [Planned(None, label, sql) for sql in changes(settings, table, schema, shape)]
    return found
