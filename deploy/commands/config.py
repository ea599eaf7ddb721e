"""`evometrics config`: the settings in force, and where each comes from."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from evometrics.deploy.console.flags import add_common
from evometrics.deploy.console.options import (
    LOCAL,
    clickhouse_settings,
    config_file,
    kafka_settings,
    running_stack,
)
from evometrics.deploy.console.tables import to_json
from evometrics.schemas.service.security import HIDDEN
from evometrics.schemas.service.settings import DEFAULT, KafkaSettings, given_settings, masked, variable_of
from evometrics.streams.settings import StreamSettings


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    add_common(sub)
    sub.add_argument("--json", action="store_true", help="print JSON")


async def run(args: argparse.Namespace) -> int:
    """Print each setting with its value, its origin, and the variable that sets it."""
    from evometrics.deploy.console.tables import QueryResult, table

    found = rows(args)
    if args.json:
        print(to_json(found))
        return 0
    columns = ["setting", "value", "from", "variable"]
    shown = [tuple("" if each is None else str(each) for each in row.values()) for row in found]
    print(table(QueryResult(columns, list(shown))))
    return 0


def rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the settings of all sections as commands on `--data` see them. Raises `SettingsError`."""
    from evometrics.producers.settings import CollectorSettings

    file = config_file(args)
    stack = running_stack(args)
    found_here = {}
    if stack is not None:
        found_here = {("kafka", "brokers"): stack.brokers, ("clickhouse", "url"): stack.clickhouse_url}
    kafka_settings(args)  # contradictory ones raise an error
    clickhouse = clickhouse_settings(args)
    if stack is not None and clickhouse.url == stack.clickhouse_url:
        found_here |= {("clickhouse", name): getattr(clickhouse, name) for name in ("user", "password")}
    found = []
    for section, cls in sorted({**LOCAL, "collector": CollectorSettings}.items()):
        flags = {"data": f"{args.data}/stream"} if cls is StreamSettings else {}
        given = given_settings(cls, section, flags=flags, file=file)
        settings = cls(**{name: each.value for name, each in given.items() if each.source != DEFAULT})
        for field in dataclasses.fields(cls):
            value, source = given[field.name].value, given[field.name].source
            if cls is KafkaSettings and getattr(settings, field.name) != value:
                value, source = getattr(settings, field.name), str(settings.client_properties)
            if source == DEFAULT and (section, field.name) in found_here:
                value, source = found_here[section, field.name], "the stack running here"
            if not field.repr and value:
                value = HIDDEN
            found.append(
                {
                    "setting": f"{section}.{field.name}",
                    "value": masked(value),
                    "from": source,
                    "variable": variable_of(section, field.name),
                }
            )
    return found
