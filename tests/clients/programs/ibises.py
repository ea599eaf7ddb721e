"""ibis, with a table of its own joined to one of the server's."""

from __future__ import annotations

import ibis
import pandas
from steps import AGENT, HOST, PORT, TABLES, equal, step

connection = ibis.clickhouse.connect(host=HOST, port=PORT, user="default", password="", database="evometrics")


def columns() -> str:
    width = 0
    for name in TABLES:
        width += len(connection.table(name).schema())
        connection.table(name).to_pandas()
    return f"{len(TABLES)} tables, {width} columns"


def prepared() -> None:
    table = connection.table("evolution_metrics")
    found = table.filter(table.agent_id == AGENT).agent_id.execute()
    equal(list(found), [AGENT])


def joined() -> None:
    own = ibis.memtable({"agent_id": [AGENT, "nobody"]})
    table = connection.table("evolution_metrics")
    equal(int(table.join(own, "agent_id").count().execute()), 1)


def batch() -> str:
    connection.raw_sql("CREATE OR REPLACE TABLE clients.ibis (n UInt32, s String) ORDER BY n")
    rows = pandas.DataFrame({"n": range(5000), "s": ["x"] * 5000})
    own = ibis.clickhouse.connect(host=HOST, port=PORT, user="default", password="", database="clients")
    own.insert("ibis", rows)
    equal(int(own.table("ibis").n.sum().execute()), 12497500)
    return "5000 rows"


step("columns", columns)
step("prepared", prepared)
step("memtable join", joined)
step("batch", batch)
