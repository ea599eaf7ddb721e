"""SQLAlchemy with clickhouse-sqlalchemy and with clickhouse-connect (Superset's dialect), and pandas."""

from __future__ import annotations

import pandas
import sqlalchemy
from clickhouse_sqlalchemy import engines
from sqlalchemy import Column, Integer, MetaData, Table, Text, inspect, select, text
from steps import AGENT, HOST, OF_AGENT, PORT, TABLES, equal, step

ENGINES = {
    "clickhouse-sqlalchemy": sqlalchemy.create_engine(f"clickhouse+http://default:@{HOST}:{PORT}/evometrics"),
    "clickhouse-connect": sqlalchemy.create_engine(f"clickhousedb://default:@{HOST}:{PORT}/evometrics"),
}


def columns(name: str) -> str:
    engine, width = ENGINES[name], 0
    with engine.connect() as connection:
        for table in TABLES:
            connection.execute(text(f"SELECT * FROM evometrics.`{table}`")).fetchall()
            width += len(inspect(engine).get_columns(table, schema="evometrics"))
    pandas.read_sql(text("SELECT * FROM evolution_metrics"), engine)
    return f"{len(TABLES)} tables, {width} columns reflected, pandas"


def prepared(name: str) -> None:
    with ENGINES[name].connect() as connection:
        found = connection.execute(text(OF_AGENT + ":agent GROUP BY agent_id"), {"agent": AGENT}).fetchall()
    equal([row[0] for row in found], [AGENT])


def batch(name: str) -> str:
    table = f"sa_{name.split('-')[1]}"
    with ENGINES[name].connect() as connection:
        connection.execute(text(f"CREATE OR REPLACE TABLE clients.{table} (n UInt32, s String) ORDER BY n"))
        described = Table(
            table,
            MetaData(),
            Column("n", Integer, primary_key=True),
            Column("s", Text),
            *([engines.MergeTree(order_by="n")] if name == "clickhouse-sqlalchemy" else []),
            schema="clients",
        )
        connection.execute(described.insert(), [{"n": n, "s": "it's"} for n in range(5000)])
        sums = select(sqlalchemy.func.count(), sqlalchemy.func.sum(described.c.n)).select_from(described)
        found = connection.execute(sums).fetchall()
    equal([tuple(map(int, row)) for row in found], [(5000, 12497500)])
    return "5000 rows"


for dialect in ENGINES:
    step(f"{dialect} columns", lambda dialect=dialect: columns(dialect))
    step(f"{dialect} prepared", lambda dialect=dialect: prepared(dialect))
    step(f"{dialect} batch", lambda dialect=dialect: batch(dialect))
