"""`evometrics dashboards`: Grafana's dashboards, and the files that provision them and their data sources."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from evometrics.deploy.console.flags import add_server, filled
from evometrics.deploy.console.options import clickhouse_named, clickhouse_settings, running_stack
from evometrics.deploy.grafana.provisioning import DataSources, provider
from evometrics.schemas.service.settings import SettingsError

#: Statements that the local stack's ClickHouse runs for a reader at once on the smallest machine.
READERS = 2
NAMES = ("fleet", "pipeline", "agent")


def add(sub: argparse.ArgumentParser) -> None:
    """Add the flags."""
    text = "folder to write them into; what it has of them is replaced"
    sub.add_argument("--into", type=Path, required=True, metavar="FOLDER", help=text)
    text = f"Prometheus, as Grafana reaches it (default {DataSources().prometheus_url})"
    sub.add_argument("--prometheus-url", type=filled, default=DataSources().prometheus_url, help=text)
    add_server(sub)


async def run(args: argparse.Namespace) -> int:
    """Write the files, and print their names."""
    stack = running_stack(args)
    local = stack is not None and not clickhouse_named(args)
    if args.clickhouse_user is None and stack and stack.clickhouse_reader and local:
        args.clickhouse_user = stack.clickhouse_reader  # dashboards only read
    settings = clickhouse_settings(args, stack=stack)
    sources = DataSources(
        settings.url,
        settings.user,
        settings.database,
        settings.ca_cert,
        settings.client_cert,
        settings.client_cert_key,
        args.prometheus_url,
        connections=READERS if local else None,
    )
    into = args.into.absolute()
    texts = {
        f"dashboards/{name}.json": (files("evometrics.deploy.grafana") / f"{name}.json").read_text("utf-8")
        for name in NAMES
    }
    texts["provisioning/datasources/evometrics.yml"] = sources.text()
    texts["provisioning/dashboards/evometrics.yml"] = provider(str(into / "dashboards"))
    try:
        for name, text in texts.items():
            file = into / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            print(file)
    except OSError as error:
        raise SettingsError(f"--into {args.into}: {error}") from None
    return 0
