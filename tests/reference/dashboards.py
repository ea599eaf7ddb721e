"""dashboards.md: from `deploy/grafana/*.json`."""

from __future__ import annotations

from collections.abc import Iterator

from tests.grafana.panels import NAMES, dashboard, laid_out, variables
from tests.reference.markdown import cell, code, document, table, wrapped

#: What a kind of panel is called in Grafana.
KINDS = {"stat": "figures", "timeseries": "time series", "table": "table", "state-timeline": "states"}


def page() -> str:
    """Return the page."""
    return document(
        "Dashboards",
        wrapped(
            "What the panels of Grafana's dashboards show; `evometrics dashboards` writes them. How to set "
            "them up is in [Look with Grafana](../how-to/dashboards.md). Costs and rates are those of the "
            "dashboard's time, which is chosen above its panels."
        ),
        *(block for name in NAMES for block in blocks(name)),
    )


def blocks(name: str) -> Iterator[str]:
    """Yield what is said of a dashboard."""
    found = dashboard(name)
    yield f"## {name.capitalize()}"
    yield wrapped(
        f"{found['description']} Its uid is {code(found['uid'])}, its variables are "
        f"{', '.join(code(each) for each in variables(name))}."
    )
    rows: list[list[str]] = []
    for panel in laid_out(name):
        if panel["type"] == "row":
            if rows:
                yield table(["panel", "as", "what it shows"], rows)
                rows = []
            yield f"### {panel['title']}"
        else:
            rows.append([cell(panel["title"]), KINDS[panel["type"]], cell(panel["description"])])
    yield table(["panel", "as", "what it shows"], rows)
