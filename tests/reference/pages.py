"""Which pages there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.reference import (
    commands,
    dashboards,
    events,
    exit_codes,
    kafka_rights,
    metrics,
    python_api,
    settings,
    sizes,
    topics_and_tables,
)

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "settings.md": settings.page,
    "sizes.md": sizes.page,
    "topics-and-tables.md": topics_and_tables.page,
    "metrics.md": metrics.page,
    "dashboards.md": dashboards.page,
    "events.md": events.page,
    "exit-codes.md": exit_codes.page,
    "kafka-rights.md": kafka_rights.page,
    "python-api.md": python_api.page,
}
