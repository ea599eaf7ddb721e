"""From a source to the staging area: rows are converted, validated like recorded events, and encoded.

No server is asked. Rows that give no event go to the report, and reading continues.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evometrics.deploy.history.columns import empty
from evometrics.deploy.history.report import Report, TableCounts
from evometrics.deploy.history.sources import CONVERSIONS, STRATEGIES, STRATEGY, HistoryFile, SourceRow
from evometrics.deploy.history.staging import SameIdOtherValues, Staging
from evometrics.producers.events.cells import Cells, Unreadable
from evometrics.producers.events.encoder import Encoder
from evometrics.producers.events.left_out import LeftOut
from evometrics.schemas.rules.validation import InvalidEvent

#: Errors caused by a row's cells: a refusal by name, or a number or text that no event can hold.
ROW_ERRORS = (Unreadable, InvalidEvent, SameIdOtherValues, OverflowError, UnicodeError, RecursionError)
NO_EVOLUTION = "no readable evolution has its evolution_id"
SUPERSEDED = "a later row has the same evolution_id; only the last of an evolution's strategies is kept"


class Reader:
    """Reads one source.

    Attributes:
        counts: the results, by table.
    """

    def __init__(self, source: HistoryFile, node_id: str, staging: Staging, report: Report) -> None:
        self.source = source
        self.encoder = Encoder(node_id)
        self.staging = staging
        self.report = report
        self.counts = {table: TableCounts() for table in source.tables}

    def read(self) -> Iterator[None]:
        """Read all rows, one per step. Raises `SettingsError` if the report can't be written."""
        for row in self.source.rows():
            self.counts[row.table].read += 1
            try:
                if row.problem:
                    raise Unreadable(row.problem)
                if row.kind == STRATEGY:
                    self.take_strategy(row)
                else:
                    self.take(row)
            except ROW_ERRORS as error:
                self.reject(row, reason_of(error))
            yield
        for row in self.staging.unused_strategies():
            self.reject(row, NO_EVOLUTION)

    def take(self, row: SourceRow) -> None:
        """Stage a row's event."""
        cells, strategy, named = row.cells, None, None
        if row.kind == "evolution" and (named := Cells(cells).text("evolution_id")):
            strategy = self.staging.strategy_of(named)
        if strategy is not None:
            cells = with_strategy(cells, strategy[0])
        event = CONVERSIONS[row.kind](cells, self.encoder.node_id)
        value = self.encoder.encode(event, LeftOut())
        fresh = strategy is not None and not strategy[1]
        counts = self.counts[row.table]
        if not self.staging.add(event, value, row.table, fresh):
            counts.already_there += 1
            return
        counts.to_import += 1
        if fresh and named is not None:
            self.staging.use_strategy(named)
            self.counts[STRATEGIES].to_import += 1

    def take_strategy(self, row: SourceRow) -> None:
        """Keep a row of `evolution_strategies` for its evolution."""
        cells = Cells(row.cells)
        evolution_id, name = cells.text("evolution_id"), cells.text("strategy_name")
        if evolution_id is None:
            raise Unreadable("evolution_id: is missing")
        if name is None:
            raise Unreadable("strategy_name: is missing")
        applied = cells.moment("applied_at")
        found = {
            "strategy_name": name,
            "risk_level": cells.text("risk_level"),
            "target_gain": cells.number("target_gain"),
            "actual_gain": cells.number("actual_gain"),
            "success": cells.flag("success"),
            "applied_at": None if applied is None else applied / 1e6,
        }
        if earlier := self.staging.add_strategy(evolution_id, found, row):
            self.reject(earlier, SUPERSEDED)

    def reject(self, row: SourceRow, reason: str) -> None:
        self.counts[row.table].rejected += 1
        self.report.add(row, reason)


def with_strategy(cells: Any, strategy: dict[str, Any]) -> dict[str, Any]:
    """Return an evolution's cells merged with its strategy's; its own values take precedence."""
    return strategy | {name: value for name, value in cells.items() if not empty(value)}


def reason_of(error: Exception) -> str:
    if isinstance(error, InvalidEvent):
        return f"{error.field}: {error.reason}"
    if isinstance(error, OverflowError):
        return f"a number is out of range: {error}"
    if isinstance(error, UnicodeError):
        return f"a text is not UTF-8: {error}"
    if isinstance(error, RecursionError):
        return "contains endlessly nested maps or lists"
    return str(error)
