"""Which dashboards there are, and the text of all files that are built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from evometrics.deploy.grafana import agent, fleet, pipeline
from evometrics.deploy.grafana.provisioning import EXAMPLE_PATH, DataSources, provider

FOLDER = Path(__file__).parent
DASHBOARDS = {
    "fleet.json": fleet.dashboard,
    "pipeline.json": pipeline.dashboard,
    "agent.json": agent.dashboard,
}


def built() -> dict[str, str]:
    """Return the text of each file by its name: dashboards, and what tells Grafana of them."""
    texts = {
        name: json.dumps(without_strays(make()), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, make in DASHBOARDS.items()
    }
    return texts | {"datasources.yml": DataSources().text(), "dashboards.yml": provider(EXAMPLE_PATH)}


def without_strays(model: Dashboard) -> dict[str, Any]:
    """Return a dashboard as JSON, without what the SDK adds and Grafana's schema does not have.

    That is a place in a menu for each link, options of an interval for each variable, and a footer for each
    table.
    """
    found: dict[str, Any] = json.loads(JSONEncoder().encode(model))
    for link in found["links"]:
        del link["placement"]
    for variable in found["templating"]["list"]:
        for name in ("auto", "auto_min", "auto_count"):
            del variable[name]
    for panel in [*found["panels"], *(each for row in found["panels"] for each in row.get("panels", []))]:
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
    return found
