"""Where panels ask, and how: ClickHouse in SQL, Prometheus in PromQL.

A dashboard has its data source as a variable, whose first choice is the one that is provisioned.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable
from grafana_foundation_sdk.builders.prometheus import Dataquery as PrometheusQuery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import VariableOption
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from evometrics.deploy.grafana.provisioning import (
    CLICKHOUSE_NAME,
    CLICKHOUSE_PLUGIN,
    CLICKHOUSE_UID,
    PROMETHEUS_NAME,
    PROMETHEUS_PLUGIN,
    PROMETHEUS_UID,
)


@dataclass(frozen=True)
class Source:
    """A data source.

    Attributes:
        plugin: id of its plugin.
        variable: the variable of the dashboards that chooses one.
        uid: uid of the one that is provisioned.
        name: its name there.
    """

    plugin: str
    variable: str
    uid: str
    name: str

    @property
    def reference(self) -> DataSourceRef:
        """The chosen one, as panels and variables refer to it."""
        return DataSourceRef(self.plugin, f"${{{self.variable}}}")

    @property
    def choice(self) -> DatasourceVariable:
        """The variable that chooses it."""
        first = VariableOption(selected=True, text=self.name, value=self.uid)
        return DatasourceVariable(self.variable).label("Data source").type(self.plugin).current(first)


CLICKHOUSE = Source(CLICKHOUSE_PLUGIN, "clickhouse", CLICKHOUSE_UID, CLICKHOUSE_NAME)
PROMETHEUS = Source(PROMETHEUS_PLUGIN, "prometheus", PROMETHEUS_UID, PROMETHEUS_NAME)

#: Version of the plugin whose query model this is: https://github.com/grafana/clickhouse-datasource
PLUGIN_VERSION = "4.20.0"
#: Numbers of the plugin's formats, by the name of its query type (`FormatQueryOption` of grafana/sqlds).
FORMATS = {"timeseries": 0, "table": 1}


class ClickHouseQuery(Dataquery):
    """A statement for the ClickHouse plugin; the SDK has no model of it.

    As time series its first column is `time`; columns of text become labels, and each other one a series.
    """

    def __init__(self, statement: str, kind: str, ref_id: str) -> None:
        self.statement, self.kind, self.ref_id = statement, kind, ref_id

    def to_json(self) -> dict[str, object]:
        """Return it as the plugin stores it."""
        return {
            "datasource": CLICKHOUSE.reference,
            "editorType": "sql",
            "format": FORMATS[self.kind],
            "pluginVersion": PLUGIN_VERSION,
            "queryType": self.kind,
            "rawSql": self.statement,
            "refId": self.ref_id,
        }


class ClickHouseTarget(Builder[Dataquery]):
    """A statement as panels take it."""

    def __init__(self, statement: str, kind: str, ref_id: str = "A") -> None:
        self.query = ClickHouseQuery(statement, kind, ref_id)

    def build(self) -> ClickHouseQuery:
        """Return the query."""
        return self.query


def over_time(statement: str) -> ClickHouseTarget:
    """Return a statement whose rows are points of time series, oldest first."""
    return ClickHouseTarget(statement, "timeseries")


def rows(statement: str) -> ClickHouseTarget:
    """Return a statement whose rows are those of a table."""
    return ClickHouseTarget(statement, "table")


def promql(expression: str, legend: str = "", ref_id: str = "A") -> PrometheusQuery:
    """Return an expression over the dashboard's time; `legend` names a series by its labels."""
    query = PrometheusQuery().expr(expression).range().ref_id(ref_id).datasource(PROMETHEUS.reference)
    return query.legend_format(legend or "__auto")


def at_present(expression: str, legend: str = "", ref_id: str = "A", table: bool = False) -> PrometheusQuery:
    """Return an expression at the end of the dashboard's time; `table` gives a row for each series."""
    query = PrometheusQuery().expr(expression).instant().ref_id(ref_id).datasource(PROMETHEUS.reference)
    if table:
        query = query.format(PromQueryFormat.TABLE)
    return query.legend_format(legend or "__auto")
