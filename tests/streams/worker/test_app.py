"""How the app of a stream worker differs from Faust's own."""

from __future__ import annotations

from pathlib import Path

import faust
import pytest

from evometrics.streams.worker.app import NoTables


async def test_a_worker_does_not_wait_for_tables_before_it_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust 0.15.3 sleeps here for a second (findings/faust-a-second-before-a-group-is-joined.sh)."""
    steps: list[str] = []

    async def looked() -> None:
        steps.append("looked for tables")

    async def recovered() -> None:
        steps.append("began to recover")

    app = faust.App("a", broker="kafka://127.0.0.1:9", datadir=str(tmp_path), TableManager=NoTables)
    assert isinstance(app.tables, NoTables)
    monkeypatch.setattr(app.tables, "sleep", pytest.fail)
    monkeypatch.setattr(app.tables, "_update_channels", looked)
    monkeypatch.setattr(app.tables.recovery, "start", recovered)
    await app.tables.on_start()
    assert steps == ["looked for tables", "began to recover"]
