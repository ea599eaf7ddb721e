"""The statements that Grafana, Metabase, Superset and DBeaver send, in our words, over the product's tables.

Their shapes are from the tools' sources: grafana/clickhouse-datasource (src/data, pkg/macros),
ClickHouse/metabase-clickhouse-driver (src/metabase/driver), apache/superset
(superset/db_engine_specs/clickhouse.py), dbeaver/dbeaver (plugins/org.jkiss.dbeaver.ext.clickhouse).
Each goes with the parameters of its driver.
"""

from __future__ import annotations

import http.client
from urllib.parse import urlencode

from steps import HOST, PORT, step

GO = {"client_protocol_version": "54460", "default_format": "Native", "database": "evometrics"}
JAVA = {"compress": "1", "default_format": "RowBinaryWithNamesAndTypes", "database": "evometrics"}
PYTHON = {"client_protocol_version": "54405", "wait_end_of_query": "1", "database": "evometrics"}
SESSION = {**JAVA, "session_id": "sess_dbeaver"}

GRAFANA = [
    "SELECT displayName(), version(), revision(), timezone()",
    "SELECT version()",
    "SHOW DATABASES",
    'SHOW TABLES FROM "evometrics"',
    'DESC TABLE "evometrics"."evolution_metrics"',
    "SELECT name, type, table FROM system.columns WHERE database IN ('evometrics') AND table = 'kpi_deltas'",
    "EXPLAIN AST SELECT agent_id FROM evolution_metrics",
    'SELECT DISTINCT agent_id FROM "evometrics"."evolution_metrics" WHERE agent_id IS NOT NULL LIMIT 1000',
    'SELECT DISTINCT arrayJoin(mapKeys("metadata")) AS keys FROM "evometrics"."evolution_metrics" LIMIT 1000',
    'SELECT occurred_at as "time", performance_score FROM "evometrics"."evolution_metrics" '
    "WHERE ( time >= toDateTime64(1415792726, 3) AND time <= toDateTime64(2015792726, 3) ) "
    "ORDER BY time ASC LIMIT 1000",
    'SELECT toStartOfInterval(toDateTime(occurred_at), INTERVAL 60 second) as "time", avg(performance_score) '
    'FROM "evometrics"."evolution_metrics" GROUP BY time ORDER BY time ASC',
    "SELECT toUnixTimestamp(toDateTime(1415792726)) AS f, toUnixTimestamp(toDateTime(2015792726)) AS t",
    "SELECT * FROM evolution_metrics WHERE agent_id IN ('agent-2') LIMIT 100 SETTINGS "
    "additional_table_filters={'evometrics.evolution_metrics' : ' agent_id = \\'agent-2\\' '}",
]
REMARK = "-- Metabase:: userID: 1 queryType: MBQL queryHash: 0123456789abcdef\n"
METABASE = [
    "SELECT name, engine, comment FROM system.tables WHERE database = 'evometrics'",
    "SELECT database, table, name, type, is_in_primary_key, comment FROM system.columns "
    "WHERE database = 'evometrics'",
    REMARK + "SELECT COUNT(*) AS `count` FROM `evometrics`.`evolution_metrics`",
    REMARK + "SELECT toStartOfDay(toDateTime64(`evolution_metrics`.`occurred_at`, 3, 'UTC')) AS d, "
    "COUNT(*) AS `count` FROM `evometrics`.`evolution_metrics` GROUP BY d ORDER BY d ASC",
    REMARK + "SELECT `source`.`agent_id` AS a, AVG(`source`.`performance_score`) AS `avg` FROM "
    "(SELECT * FROM `evometrics`.`evolution_metrics`) AS `source` WHERE positionCaseInsensitiveUTF8("
    "`source`.`agent_id`, 'AGENT') > 0 GROUP BY a ORDER BY `avg` DESC LIMIT 2000",
    REMARK
    + "SELECT toRelativeDayNum(`occurred_at`) - toRelativeDayNum(toStartOfYear(`occurred_at`)) + 1 AS d, "
    "toISOWeek(`occurred_at`) AS w, dayOfWeek(`occurred_at`) AS n, toStartOfQuarter(`occurred_at`) AS q, "
    "quantile(0.9)(`performance_score`) AS p, median(`performance_score`) AS m, "
    "stddevPop(`performance_score`) AS s FROM `evometrics`.`evolution_metrics` "
    "GROUP BY d, w, n, q ORDER BY d ASC",
    REMARK + "SELECT CASE WHEN count() > 0 THEN SUM(CASE WHEN `success` = TRUE THEN 1 ELSE 0 END) "
    "ELSE NULL END AS `count-where` FROM `evometrics`.`evolution_metrics` "
    "WHERE startsWithUTF8(lowerUTF8(`agent_id`), lowerUTF8('AGENT')) "
    "AND (`trigger_reason` <> 'x' AND notEmpty(`trigger_reason`) = 1 OR "
    "empty(`trigger_reason`) = 1) AND `occurred_at` >= parseDateTime64BestEffort('2020-01-01 00:00:00.000Z')",
    REMARK + "SELECT age('day', toStartOfDay(`started_at`), toStartOfDay(`occurred_at` + INTERVAL 1 day)) "
    "AS a, extract(`agent_id`, '[0-9]+') AS x, substring(toString(`strategy_used`), 1, 3) AS s FROM "
    "`evometrics`.`evolution_metrics` LIMIT 10",
    REMARK + "SELECT * FROM `evometrics`.`kpi_snapshots` LIMIT 1048575",
]
SUPERSET = [
    "SELECT version()",
    "SHOW DATABASES",
    "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions LIMIT 10000",
    "SELECT toDateTime(intDiv(toUInt32(toDateTime(occurred_at)), 900)*900) AS __timestamp, count(*) AS count "
    "FROM evolution_metrics WHERE occurred_at < toDateTime('2090-01-01 00:00:00') GROUP BY __timestamp",
    "SELECT name FROM system.tables WHERE database = 'evometrics' AND engine LIKE '%View'",
    "DESCRIBE TABLE `evometrics`.`evolution_metrics`",
    "SELECT agent_id AS agent_id, toStartOfDay(toDateTime(occurred_at)) AS __timestamp, "
    "AVG(performance_score) AS `AVG(performance_score)` FROM `evometrics`.`evolution_metrics` "
    "WHERE occurred_at >= toDateTime('2020-01-01 00:00:00') GROUP BY agent_id, __timestamp "
    "ORDER BY `AVG(performance_score)` DESC\n LIMIT 10000 ",
    "SELECT count(*) AS rowcount FROM (SELECT * FROM `evometrics`.`kpi_snapshots` LIMIT 1001) AS counted",
    "/* a data set */ SELECT * FROM (SELECT agent_id FROM evolution_metrics) AS virtual_table LIMIT 1000",
]
DBEAVER = [
    "SELECT VERSION()",
    "SELECT name FROM system.table_engines",
    "SHOW DATABASES",
    "SELECT name as TABLE_NAME, engine as TABLE_TYPE, database as TABLE_SCHEM, comment as REMARKS, * "
    "FROM system.tables\nWHERE database = 'evometrics'",
    "SHOW CREATE TABLE evometrics.evolution_metrics",
    "SELECT * FROM evometrics.evolution_metrics\nLIMIT 0, 200",
    "SELECT count(*) FROM evometrics.evolution_metrics",
    "SET readonly=1",
    "SELECT 1",
]


def sent(statements: list[str], parameters: dict[str, str]) -> str:
    """Send statements one after the other, as a driver does on its kept connection."""
    connection = http.client.HTTPConnection(HOST, PORT)
    for sql in statements:
        connection.request("POST", "/?" + urlencode(parameters), sql.encode())
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{sql!r}: {response.status} {body!r:.300}")
    connection.close()
    return f"{len(statements)} statements"


step("Grafana", lambda: sent(GRAFANA, GO))
step("Grafana, lz4", lambda: sent(GRAFANA, {**GO, "compress": "1"}))
step("Metabase", lambda: sent(METABASE, JAVA))
step("Superset", lambda: sent(SUPERSET, PYTHON))
step("DBeaver", lambda: sent(DBEAVER, SESSION))
