"""polars, through a DBAPI connection and through connectorx."""

from __future__ import annotations

import clickhouse_connect.dbapi
import polars
from steps import AGENT, HOST, OF_AGENT, PORT, TABLES, equal, step

URI = f"clickhouse://default:@{HOST}:{PORT}/evometrics"
connection = clickhouse_connect.dbapi.connect(host=HOST, port=PORT, database="evometrics")
#: polars has no type for a map of any keys, nor connectorx for a few others.
PLAIN = (
    "SELECT agent_id, node_id, occurred_at, evolution_id, performance_score, success FROM evolution_metrics"
)


def read_database() -> str:
    for name in TABLES:
        polars.read_database(f"SELECT * FROM evometrics.`{name}`", connection, infer_schema_length=None)
    return f"{len(TABLES)} tables"


def prepared() -> None:
    found = polars.read_database(
        OF_AGENT + "{agent:String} GROUP BY agent_id",
        connection,
        execute_options={"parameters": {"agent": AGENT}},
    )
    equal(found["agent_id"].to_list(), [AGENT])


def read_database_uri() -> str:
    equal(len(polars.read_database_uri(PLAIN, URI)), len(polars.read_database(PLAIN, connection)))
    return "through connectorx"


step("read_database", read_database)
step("prepared", prepared)
step("read_database_uri", read_database_uri)
