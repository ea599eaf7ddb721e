"""Which dashboards there are, and the text of all files that are built."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

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
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    texts = {name: encoder.encode(make()) + "\n" for name, make in DASHBOARDS.items()}
    return texts | {"datasources.yml": DataSources().text(), "dashboards.yml": provider(EXAMPLE_PATH)}
