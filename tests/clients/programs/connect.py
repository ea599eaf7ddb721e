"""clickhouse-connect, with pandas and Arrow."""

from __future__ import annotations

import threading
import time
import uuid

import clickhouse_connect
import pandas
from steps import AGENT, HOST, OF_AGENT, PORT, SLOW, TABLES, equal, step

client = clickhouse_connect.get_client(host=HOST, port=PORT, database="evometrics")


def columns() -> str:
    width = 0
    for table in TABLES:
        sql = f"SELECT * FROM evometrics.`{table}`"
        found = client.query(sql)
        width += len(found.column_names)
        equal(len(client.query_df(sql)), len(found.result_rows))
        equal(client.query_arrow(sql).num_rows, len(found.result_rows))
    return f"{len(TABLES)} tables, {width} columns, as rows, pandas and Arrow"


def prepared() -> None:
    found = client.query(OF_AGENT + "{agent:String} GROUP BY agent_id", parameters={"agent": AGENT})
    equal([row[0] for row in found.result_rows], [AGENT])


def batch() -> str:
    client.command("CREATE OR REPLACE TABLE clients.connect (n UInt32, s String) ORDER BY n")
    client.insert("clients.connect", [[n, "x"] for n in range(2500)], column_names=["n", "s"])
    client.insert_df("clients.connect", pandas.DataFrame({"n": range(2500, 5000), "s": ["x"] * 2500}))
    equal(client.query("SELECT count(), sum(n) FROM clients.connect").result_rows, [(5000, 12497500)])
    return "5000 rows"


def cancel() -> str:
    name, began, ended = f"connect-{uuid.uuid4()}", time.monotonic(), []

    def run() -> None:
        try:
            clickhouse_connect.get_client(host=HOST, port=PORT).query(SLOW, settings={"query_id": name})
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(1)
    client.command(f"KILL QUERY WHERE query_id = '{name}'")
    thread.join(30)
    equal(len(ended), 1)
    return f"after {time.monotonic() - began:.1f} s"


step("columns", columns)
step("prepared", prepared)
step("batch", batch)
step("cancel", cancel)
