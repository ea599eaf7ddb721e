"""The panels of the files, and what each asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "grafana"
NAMES = ("fleet", "pipeline", "agent")


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    dashboard: str
    panel: dict[str, Any]
    target: dict[str, Any]

    @property
    def where(self) -> str:
        """The panel, and which query of it where it has several."""
        several = len(self.panel["targets"]) > 1
        return self.panel["title"] + (f" ({self.target['refId']})" if several else "")

    @property
    def may_be_empty(self) -> bool:
        """Whether the panel's description says when it shows nothing."""
        return any(word in self.panel["description"] for word in ("Empty where", "Nothing where", "No line"))


def dashboard(name: str) -> dict[str, Any]:
    """Return a dashboard as it is in its file."""
    found = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def laid_out(name: str) -> list[dict[str, Any]]:
    """Return a dashboard's rows and panels in their order, also those in a row that is closed."""
    found = dashboard(name)["panels"]
    return [part for each in found for part in (each, *each.get("panels", []))]


def panels(name: str) -> list[dict[str, Any]]:
    """Return a dashboard's panels, its rows left out."""
    return [each for each in laid_out(name) if each["type"] != "row"]


def asked(name: str) -> Iterator[Asked]:
    """Yield every query of a dashboard."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield Asked(name, panel, target)


def variables(name: str) -> dict[str, dict[str, Any]]:
    """Return a dashboard's variables by name, in their order."""
    return {each["name"]: each for each in dashboard(name)["templating"]["list"]}


def first_choices(name: str) -> dict[str, list[str]]:
    """Return what a dashboard has chosen when it is opened, for the variables that have a choice by then."""
    found = {}
    for variable in variables(name).values():
        if current := variable.get("current"):
            value = current["value"]
            found[variable["name"]] = value if isinstance(value, list) else [value]
    return found
