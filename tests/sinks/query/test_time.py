"""How long an answer is waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from evometrics.deploy.cli.main import main
from evometrics.sinks.clickhouse.client import ClickHouseUnavailable, open_client
from evometrics.sinks.query import MetricsQuery
from evometrics.sinks.query.statement import blocks
from evometrics.sinks.settings import ClickHouseSettings

LONG = "SELECT sleep(1) AS n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every client but an analyst's give up after half a second."""
    assert open_client.__kwdefaults__ is not None
    monkeypatch.setitem(open_client.__kwdefaults__, "read_seconds", 0.5)


async def test_an_analysts_statement_takes_as_long_as_it_takes(clickhouse: str) -> None:
    async with MetricsQuery(ClickHouseSettings(url=clickhouse, database="default")) as query:
        assert list(await query.sql(LONG)) == [(0,)]


def test_so_does_one_of_the_command(
    clickhouse: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--clickhouse-url", clickhouse, "--database", "default", "--data", str(tmp_path)]
    assert main(["sql", LONG, "--format", "csv", *where]) == 0
    assert capsys.readouterr().out.split() == ["n", "0"]


async def test_an_answer_that_is_late_is_not_taken_for_a_server_that_is_gone(clickhouse: str) -> None:
    settings = ClickHouseSettings(url=clickhouse, database="default")
    with pytest.raises(ClickHouseUnavailable, match="did not answer in time") as failed:
        client = await open_client(settings)
        try:
            async for _ in blocks(client, settings, LONG):
                pass
        finally:
            await client.close()
    assert "start it" not in str(failed.value)
