"""Files with something odd in them, and what an import makes of each."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

AT = 1_750_000_000


@dataclass
class Odd:
    """One odd file.

    Attributes:
        content: its bytes, or what makes it at a path.
        taken: the agents whose rows are taken, in the order of their times.
        rejected: of each rejected row, what its reason holds; in the order of the rows.
        refused: of a file that is not supported, what the error holds.
    """

    name: str
    content: bytes | Callable[[Path], None]
    taken: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    refused: str = ""

    def make(self, folder: Path) -> Path:
        path = folder / self.name
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        return path


def table(*rows: str, header: str = "agent_id,timestamp,success,extra") -> bytes:
    """Return a CSV file."""
    return "".join(f"{line}\n" for line in (header, *rows)).encode("utf-8", "surrogateescape")


def cell(column: str, value: str) -> bytes:
    """Return a CSV file with a cell in one row, and a good row behind it."""
    return table(f"odd,{AT},1,{value}", f"good,{AT + 1},1,", header=f"agent_id,timestamp,success,{column}")


def at(time: str) -> bytes:
    """Return a CSV file with an odd time, and a good row behind it."""
    return table(f"odd,{time},1,", f"good,{AT + 1},1,")


def parquet(**columns: Any) -> Callable[[Path], None]:
    """Return what makes a Parquet file of two evolutions and further columns."""

    def make(path: Path) -> None:
        times = pa.array([AT * 1_000_000, (AT + 1) * 1_000_000], pa.timestamp("us"))
        usual = {"agent_id": ["a", "b"], "occurred_at": times, "success": [True, False]}
        pq.write_table(pa.table(usual | columns), path)

    return make


def sqlite(*statements: str) -> Callable[[Path], None]:
    """Return what makes a SQLite file."""

    def make(path: Path) -> None:
        db = sqlite3.connect(path)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    return make


def evolutions(table: str, *, key: str = "", columns: str = "agent_id, timestamp, success") -> list[str]:
    """Return the statements that make a table with two evolutions."""
    return [
        f"CREATE TABLE {table} ({columns}{', PRIMARY KEY (agent_id)) WITHOUT ROWID' if key else ')'}",
        f"INSERT INTO {table} (agent_id, timestamp, success) VALUES ('a', {AT}, 1)",
        f"INSERT INTO {table} (agent_id, timestamp, success) VALUES ('b', {AT + 1}, 0)",
    ]


def damaged(path: Path) -> None:
    """Make a SQLite file of which a table's pages are overwritten."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE evolution_metrics (agent_id, timestamp, success, note)")
    rows = [(f"a{number:03}", AT + number, 1, "n" * 400) for number in range(100)]
    db.executemany("INSERT INTO evolution_metrics VALUES (?, ?, ?, ?)", rows)
    db.execute("CREATE TABLE system_events (timestamp, event_type, data)")
    db.execute("INSERT INTO system_events VALUES (?, 'tick', '{\"agent_id\": \"z\"}')", (AT + 200,))
    db.commit()
    db.close()
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 6 * 4096] = b"\xff" * 4096
    path.write_bytes(content)


def state(**more: Any) -> dict[str, Any]:
    """Return a KPI engine's state of one agent."""
    return {"active_agents": {"a": {"created_at": AT}}, "retired_agents": {}, "evolution_history": [], **more}


def damaged_group(path: Path) -> None:
    """Make a Parquet file of two row groups, the first of which is overwritten."""
    times = pa.array([(AT + n) * 1_000_000 for n in range(4)], pa.timestamp("us"))
    rows = {"agent_id": ["x", "y", "a", "b"], "occurred_at": times, "success": [True] * 4}
    pq.write_table(pa.table(rows), path, row_group_size=2)
    first = pq.ParquetFile(path).metadata.row_group(0)
    content = bytearray(path.read_bytes())
    begin = first.column(0).dictionary_page_offset
    size = sum(first.column(number).total_compressed_size for number in range(first.num_columns))
    content[begin : begin + size] = b"\xff" * size
    path.write_bytes(content)


def lines(*rows: object) -> bytes:
    """Return JSON lines."""
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


LINE = {"timestamp": AT, "success": True}
LATER = {"timestamp": AT + 1, "success": False}
GOOD_LINE = {"agent_id": "good", **LATER}
WIDE = "x" * 200_000
LINES = "\n".join(["line"] * 40_000)
DIGITS = "7" * 6000
HUGE_STATE = json.dumps(state(population_stats={"n": 1}, last_evolution_time=0)).replace(
    '"last_evolution_time": 0', f'"last_evolution_time": {DIGITS}'
)
TWO = table(f"a,{AT},1,x", f"b,{AT + 1},0,y")
FAR_DAY = pa.array([3_000_000, 20_000], pa.int32()).cast(pa.date32())
FAR = pa.array([AT, 10**12], pa.timestamp("s"))
NANOS = pa.array([AT * 10**9 + 1, (AT + 1) * 10**9 + 2], pa.timestamp("ns"))
KPIS = pa.map_(pa.string(), pa.float64())
SPACED = table(f'"a", {AT}, "1"', f'"b", {AT + 1}, "1"', header='"agent_id", "timestamp", "success"')
BROKEN_VIEW = "CREATE VIEW system_events AS SELECT * FROM gone"
BLOB_ID = "UPDATE evolution_metrics SET agent_id = x'ff' WHERE agent_id = 'a'"
DATE_NUMBER = "UPDATE evolution_metrics SET timestamp = 20250615 WHERE agent_id = 'a'"
LIST_ID = {"agent_id": ["a"], "success": True}
COUNT = pa.array([10**30, 1], pa.decimal128(38))

#: Of these the odd row is taken, or it alone is rejected.
BOTH, GOOD, A_B = ("odd", "good"), ("good",), ("a", "b")

#: Of the damaged database: how many pages are read before the damage is SQLite's business.
SOME = (*(f"a{number:03}" for number in range(26)), "z")

ODD = [
    # numbers
    Odd("many_digits.csv", cell("generation", DIGITS), GOOD, ("generation: '777",)),
    Odd("over_64_bits.csv", cell("generation", str(10**30)), GOOD, ("does not fit in 64 bits",)),
    Odd("long_fraction.csv", cell("post_accuracy", f"0.{DIGITS}"), BOTH),
    Odd("exponent.csv", cell("duration_seconds", "1e400"), GOOD, ("is not finite",)),
    Odd("far_duration.csv", cell("duration_seconds", "-1e300"), GOOD, ("longer than three centuries",)),
    Odd("underscore.csv", cell("post_accuracy", "0.8_5"), GOOD, ("is not a number",)),
    Odd("underscore_count.csv", cell("generation", "1_0"), GOOD, ("is not a number",)),
    Odd("underscore_time.csv", at("1_750_000_000"), GOOD, ("nor an ISO 8601 time",)),
    Odd("decimal_comma.csv", cell("post_accuracy", '"0,85"'), GOOD, ("a point, not a comma",)),
    Odd("nan_word.csv", cell("post_accuracy", "NaN"), GOOD, ("is not finite",)),
    Odd("json_digits.csv", cell("metadata", f'"{{""n"": {DIGITS}}}"'), BOTH),
    Odd("json_kpi_digits.csv", cell("post_kpis", f'"{{""n"": {DIGITS}}}"'), GOOD, ("is not finite",)),
    Odd("json_deep.csv", cell("metadata", "[" * 100_000), GOOD, ("metadata: ",)),
    Odd("literal_deep.csv", cell("metadata", "{'a':" * 50_000), GOOD, ("metadata: ",)),
    Odd("literal_unhashable.csv", cell("metadata", "\"{[]: 1, 'a': 2}\""), GOOD, ("metadata: ",)),
    Odd("python_map.csv", cell("post_kpis", "\"{'accuracy': 0.5, 'loss': None}\""), BOTH),
    # times
    Odd("basic_date.csv", at("20250615"), BOTH),
    Odd("basic_time.csv", at("20250615T150640Z"), BOTH),
    Odd("zone_word.csv", at("2025-06-15 15:06:40 UTC"), BOTH),
    Odd("nanoseconds.csv", at("2025-06-15T15:06:40.123456789Z"), BOTH),
    Odd("unix_milliseconds.csv", at(f"{AT}000"), BOTH),
    Odd("unix_microseconds.csv", at(f"{AT}000000"), BOTH),
    Odd("unix_nanoseconds.csv", at(f"{AT}000000001"), BOTH),
    Odd("no_date.csv", at("20251301"), GOOD, ("neither Unix seconds nor an ISO 8601 time",)),
    Odd("compact_time.csv", at("20250615150640"), GOOD, ("2025-06-15T15:06:40 written as a number",)),
    Odd("serial_day.csv", at("45823.63"), GOOD, ("serial day",)),
    Odd("year.csv", at("2025"), GOOD, ("a year",)),
    Odd("julian_day.csv", at("2460842.13"), GOOD, ("a Julian day",)),
    Odd("ticks.csv", at("639155788000000000"), GOOD, ("another century",)),
    Odd("time_digits.csv", at(DIGITS), GOOD, ("timestamp: ",)),
    Odd("us_date.csv", at("06/15/2025"), GOOD, ("nor an ISO 8601 time",)),
    Odd("far_year.csv", at("12025-06-15"), GOOD, ("nor an ISO 8601 time",)),
    Odd("before_1970.csv", at("1900-01-01"), GOOD, ("occurred_at: ",)),
    Odd("next_year.csv", at("2099-01-01"), GOOD, ("more than a day ahead",)),
    # rows and cells
    Odd("contradiction.csv", cell("status", "rolled_back"), GOOD, ("success: is True, but status is",)),
    Odd("status_case.csv", cell("status", "Succeeded"), BOTH),
    Odd("abandoned.csv", cell("status", "abandoned"), GOOD, ("import the starts",)),
    Odd("large_cell.csv", cell("note", f'"{WIDE}"'), BOTH),
    Odd("large_cell_of_lines.csv", cell("note", f'"{LINES}"'), BOTH),
    Odd("open_quote.csv", cell("note", '"never closed'), GOOD, ("quote opened in this line",)),
    Odd(
        "open_quote_before_a_quoted_cell.csv",
        table(f'odd,{AT},1,"x', f'good,{AT},1,"y"', f'better,{AT + 1},1,"z"'),
        ("good", "better"),
        ("expected after",),
    ),
    Odd("too_few_cells.csv", table("odd", f"good,{AT},1,"), GOOD, ("has 1 cells, but the header has 4",)),
    Odd("too_many_cells.csv", table(f"odd,{AT},1,,,x", f"good,{AT},1,"), GOOD, ("has 6 cells",)),
    Odd("trailing_commas.csv", table(f"odd,{AT},1,,,", f"good,{AT + 1},1,,,"), BOTH),
    Odd("zero_byte.csv", cell("note", "a\0b"), BOTH),
    Odd("not_utf8.csv", cell("note", "caf\udce9"), GOOD, ("is not UTF-8",)),
    Odd("null_words.csv", cell("target_gain", r"\N"), BOTH),
    Odd("blank_lines.csv", b"\n\n" + table("", f"a,{AT},1,", "", ",,,", f"b,{AT + 1},1,"), A_B),
    # headers
    Odd(
        "blank_columns.csv",
        table(f"a,{AT},1,,,", f"b,{AT + 1},1,x,,", header="agent_id,timestamp,success,,,"),
        A_B,
    ),
    Odd(
        "row_numbers.csv", table(f"0,a,{AT},1", f"1,b,{AT + 1},1", header=",agent_id,timestamp,success"), A_B
    ),
    Odd("other_case.csv", table(f"a,{AT},1", f"b,{AT + 1},1", header="Agent ID,TIMESTAMP,Success"), A_B),
    Odd("camel_case.csv", table(f"a,{AT},1", f"b,{AT + 1},1", header="agentId,completedAt,success"), A_B),
    Odd(
        "spaces.csv", table(f'"a", {AT}, 1', f'"b", {AT + 1}, 1', header="agent_id, timestamp, success"), A_B
    ),
    Odd("quoted_spaces.csv", SPACED, A_B),
    Odd("leading_space.csv", table(f" odd,{AT},1,", f"good,{AT + 1},1,"), (" odd", "good")),
    Odd(
        "column_twice.csv",
        table(f"odd,{AT},1,even", f"good,{AT},1,good", header="agent_id,timestamp,success,agent_id"),
        GOOD,
        ("agent_id: appears twice",),
    ),
    Odd("no_header.csv", table(f"a,{AT},1", header=f"b,{AT},1"), refused="evolutions need agent_id"),
    Odd("no_time.csv", table("a,1", header="agent_id,success"), refused="and a time"),
    Odd("nothing.csv", b"", refused="is empty"),
    Odd("nothing.csv.gz", gzip.compress(b""), refused="is empty"),
    Odd("blank.csv", b"\n \n", refused="has the columns"),
    Odd("header_not_utf8.csv", cell("caf\udce9", "x"), refused="'caf\\udce9' is not UTF-8: save the file as"),
    Odd("two_marks.csv", b"\xef\xbb\xbf" * 2 + TWO, A_B),
    # what lies between cells, and encodings
    Odd("semicolons.csv", TWO.replace(b",", b";"), A_B),
    Odd("told_semicolons.csv", b"sep=;\r\n" + TWO.replace(b",", b";"), A_B),
    Odd("tabs.tsv", TWO.replace(b",", b"\t"), A_B),
    Odd("bars.txt", TWO.replace(b",", b"|"), A_B),
    Odd("line_ends.csv", TWO.replace(b"\n", b"\r"), A_B),
    Odd("utf8_mark.csv", b"\xef\xbb\xbf" + TWO, A_B),
    Odd("utf16.csv", TWO.decode().encode("utf-16"), A_B),
    Odd("utf16_no_mark.csv", TWO.decode().encode("utf-16-le"), A_B),
    Odd("utf16_cut.csv", TWO.decode().encode("utf-16")[:-1], ("a",), ("can't be read from here on",)),
    Odd("utf32.csv", TWO.decode().encode("utf-32"), A_B),
    Odd("compressed.csv.gz", gzip.compress(TWO), A_B),
    Odd("compressed_cut.csv.gz", gzip.compress(TWO)[:-9], A_B, ("can't be read from here on",)),
    # files of other kinds
    Odd("book.xlsx", b"PK\x03\x04rest", refused="save the sheet as CSV"),
    Odd("old.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", refused="is an Excel workbook"),
    Odd("packed.csv.zst", b"\x28\xb5\x2f\xfd....", refused="compressed by Zstandard"),
    Odd("history.db.gz", gzip.compress(b"SQLite format 3\0"), refused="gunzip"),
    Odd("list.json", b'[{"agent_id": "a"}]', refused="is a JSON list"),
    Odd(
        "rubbish.bin",
        b"\x7fELF\x02\x01\x01\x00" + bytes(40),
        refused="is neither text nor SQLite nor Parquet",
    ),
    # JSON lines
    Odd("lines.jsonl", lines({"agent_id": "a", **LINE}, {"agent_id": "b", **LATER}), A_B),
    Odd("one_line.json", lines({"agent_id": "a", **LINE}), ("a",)),
    Odd("lines.ndjson.gz", gzip.compress(b"\n" + lines({"agent_id": "a", **LINE})), ("a",)),
    Odd("lines_utf16.jsonl", lines({"agent_id": "a", **LINE}).decode().encode("utf-16"), ("a",)),
    Odd("first_line_cut.jsonl", b'{"agent_id": "a", "ti\n' + lines(GOOD_LINE), GOOD, ("is not JSON: ",)),
    Odd(
        "line_of_a_list.jsonl", lines(GOOD_LINE, [1, 2], 7), GOOD, ("not a JSON object", "not a JSON object")
    ),
    Odd(
        "line_not_utf8.jsonl",
        lines(GOOD_LINE) + b'{"agent_id": "\xff"}',
        GOOD,
        ("is not UTF-8",),
    ),
    Odd(
        "line_digits.jsonl",
        b'{"agent_id": "a", "timestamp": %s}\n' % DIGITS.encode() + lines(GOOD_LINE),
        GOOD,
        ("time",),
    ),
    Odd("line_deep.jsonl", lines(GOOD_LINE) + b'{"a":' * 90_000, GOOD, ("is not JSON",)),
    Odd(
        "line_nan.jsonl",
        lines({"agent_id": "a", "post_accuracy": float("nan"), **LINE}, GOOD_LINE),
        GOOD,
        ("is not finite",),
    ),
    Odd(
        "names_that_come_later.jsonl",
        lines({"agent_id": "odd", "timestamp": AT}, GOOD_LINE),
        GOOD,
        ("success: is missing",),
    ),
    Odd(
        "other_names.jsonl",
        lines({"Agent ID": "a", "completedAt": AT, "success": True, "pre_kpis": {"accuracy": 0.5}}),
        ("a",),
    ),
    Odd("no_evolutions.jsonl", lines({"a": 1}, {"b": 2}), refused="has the columns a, b; evolutions need"),
    Odd("records.avro", b"Obj\x01rest", refused="is an Avro container"),
    Odd("folder.csv", lambda path: path.mkdir(), refused="is a folder: name one file in it"),
    Odd("pipe.csv", lambda path: os.mkfifo(path), refused="is a pipe"),
    # Parquet
    Odd("duration_ns.parquet", parquet(took=NANOS.cast(pa.int64()).cast(pa.duration("ns"))), A_B),
    Odd("time_ns.parquet", parquet(clock=pa.array([1, 3_600_000_000_001], pa.time64("ns"))), A_B),
    Odd("timestamp_ns.parquet", parquet(started_at=NANOS), A_B),
    Odd("far_timestamp.parquet", parquet(occurred_at=FAR), ("a",), ("seconds nor an ISO",)),
    Odd("far_timestamp_beside.parquet", parquet(noted=FAR), A_B),
    Odd("far_day.parquet", parquet(day=FAR_DAY), ("b",), ("day: can't be read as date32",)),
    Odd("year_number.parquet", parquet(occurred_at=pa.array([2025, AT])), ("b",), ("a year",)),
    Odd(
        "date_number.parquet", parquet(occurred_at=pa.array([20250615, AT])), ("b",), ("written as a number",)
    ),
    Odd("nan_in_map.parquet", parquet(post_kpis=pa.array([[("x", float("nan"))], []], KPIS)), A_B),
    Odd("whole_as_float.parquet", parquet(agent_id=pa.array([7.0, 8.0])), ("7", "8")),
    Odd("decimal.parquet", parquet(generation=COUNT), ("b",), ("does not fit in 64 bits",)),
    Odd("bytes.parquet", parquet(agent_id=pa.array([b"a", b"\xff"])), ("a",), ("is not text",)),
    Odd("bytes_beside.parquet", parquet(weights=pa.array([b"\xff\x00", b"plain"])), A_B),
    Odd("damaged_rows.parquet", damaged_group, ("a", "b"), ("rows 1 to 2 can't be read",)),
    Odd("torn.parquet", b"PAR1rubbish", refused="can't be read as Parquet"),
    # SQLite
    Odd("upper.db", sqlite(*evolutions("EVOLUTION_METRICS")), A_B),
    Odd(
        "columns_upper.db",
        sqlite(*evolutions("evolution_metrics", columns="AGENT_ID, Timestamp, SUCCESS")),
        A_B,
    ),
    Odd("without_rowid.db", sqlite(*evolutions("evolution_metrics", key="agent_id")), A_B),
    Odd("view.db", sqlite(*evolutions("runs"), "CREATE VIEW evolution_metrics AS SELECT * FROM runs"), A_B),
    Odd(
        "rowid_column.db",
        sqlite(*evolutions("evolution_metrics", columns="agent_id, timestamp, success, rowid DEFAULT 'x'")),
        A_B,
    ),
    Odd("broken_view.db", sqlite(*evolutions("evolution_metrics"), BROKEN_VIEW), A_B, ("gone",)),
    Odd("blob_id.db", sqlite(*evolutions("evolution_metrics"), BLOB_ID), ("b",), ("is not text",)),
    Odd(
        "basic_date_number.db",
        sqlite(*evolutions("evolution_metrics"), DATE_NUMBER),
        ("b",),
        ("as a number",),
    ),
    Odd("damaged.db", damaged, SOME, ("can't be read after row",)),
    # the KPI engine's state
    Odd("state_mark.json", b"\xef\xbb\xbf" + json.dumps(state()).encode(), ("a",)),
    Odd("state_utf16.json", json.dumps(state()).encode("utf-16"), ("a",)),
    Odd("state.json.gz", gzip.compress(json.dumps(state()).encode()), ("a",)),
    Odd("state_digits.json", HUGE_STATE.encode(), ("a",), ("timestamp: ",)),
    Odd(
        "state_list_id.json",
        json.dumps(state(evolution_history=[LIST_ID])).encode(),
        ("a",),
        ("has no time",),
    ),
]
