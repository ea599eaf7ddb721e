"""The table of ClickHouse's roles in `docs/how-to/secure.md`, from what `migrate --grants` prints."""

from __future__ import annotations

from evometrics.sinks.clickhouse.grants import ROLES, SEES
from tests.reference.markdown import table


def rights() -> str:
    """Return the table: a row for each role."""
    rows = []
    for role in ROLES:
        said = [f"{', '.join(r.privileges)} on {r.words}" for r in role.grants if r is not SEES]
        if role.includes:
            said.append(f"the rights of {', '.join(f'`_{part}`' for part in role.includes)}")
        rows.append([f"`<database>_{role.part}`", role.commands, "; ".join(said)])
    return table(["role", "for", "rights"], rows)
