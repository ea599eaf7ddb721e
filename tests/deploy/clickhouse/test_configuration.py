"""The engine's configuration is the front's, whatever the folder's path, and nothing is left of its file."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import clickhouse_connect
from clickhouse_connect.driver.client import Client

from evometrics.deploy.clickhouse.configuration import MERGE_TREE, SERVER, document
from evometrics.deploy.clickhouse.process import clickhouse_process
from evometrics.deploy.process.child import ChildProcess
from evometrics.deploy.process.ports import free_ports


def values(client: Client, table: str, names: dict[str, str]) -> dict[str, str]:
    asked = f"SELECT name, value FROM system.{table} WHERE name IN {{names:Array(String)}}"
    return dict(client.query(asked, parameters={"names": list(names)}).result_rows)


def test_the_engine_runs_with_the_fronts_merge_settings(clickhouse: str) -> None:
    parts = urlsplit(clickhouse)
    client = clickhouse_connect.get_client(host=parts.hostname, port=parts.port or 0)
    assert values(client, "server_settings", SERVER) == SERVER
    assert values(client, "merge_tree_settings", MERGE_TREE) == MERGE_TREE


async def test_a_folder_of_any_name_has_them_and_keeps_them(tmp_path: Path) -> None:
    """Where its data are, and after a restart; what stands in the folder is data alone."""
    folder, (port,) = tmp_path / "a b&c=%20?config-file=x#", free_ports(1)
    child = ChildProcess(clickhouse_process(folder, port, tmp_path / "clickhouse.log"))
    asked = "SELECT value FROM system.merge_tree_settings WHERE name = 'max_parts_to_merge_at_once'"
    try:
        for _ in range(2):
            await child.start()
            url = f"http://127.0.0.1:{port}"
            async with aiohttp.ClientSession(url) as http, http.post("/", data=asked) as response:
                assert await response.text() == f"{MERGE_TREE['max_parts_to_merge_at_once']}\n"
            await child.stop()
    finally:
        await child.stop()
    assert not [each for each in folder.rglob("*") if each.suffix == ".xml" or "engine-" in each.name]


def test_a_value_may_hold_what_has_a_meaning_in_xml() -> None:
    assert document({"a": "1 < 2 & 3"}, {"b": "4"}) == (
        "<clickhouse><a>1 &lt; 2 &amp; 3</a><merge_tree><b>4</b></merge_tree></clickhouse>\n"
    )
