"""The query interface: the specification's questions, and any SQL, as rows or as tables.

Statements with parameters, their answers block by block, and what these are in Arrow, pandas and polars.
Imports the client of ClickHouse and the contract.
"""

from evometrics.sinks.query.metrics import MetricsQuery
from evometrics.sinks.query.statement import QueryFailed

__all__ = ["MetricsQuery", "QueryFailed", "binding", "result", "statement", "text"]
