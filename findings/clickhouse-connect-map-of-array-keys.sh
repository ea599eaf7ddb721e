#!/usr/bin/env bash
# clickhouse-connect 1.12.0: ClickHouse (here the engine of chdb 4.4.0) takes Map(Array(...), ...) and Map(Map(...), ...)
# for types; the driver makes a dict of each such value, and a list or a dict can't be a dict's key: reading one raises
# a bare TypeError that names neither column nor type. Keys that are tuples are read.
# Seen: "tuple keys: [({(1, 2): 3},)]; array keys: TypeError unhashable type: 'list'; map keys: TypeError unhashable
# type: 'dict'". The way round: toString(column), or mapKeys(column) and mapValues(column).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q chdb==4.4.0 clickhouse-connect==1.12.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import chdb
from clickhouse_connect.driver.query import QueryContext
from clickhouse_connect.driver.transform import NativeTransform
from clickhouse_connect.driverc.buffer import ResponseBuffer


class Answer:
    """What a server answers a query with, in its Native format."""

    exception_tag = None

    def __init__(self, data):
        self.gen = iter([data])

    def close(self):
        pass


def read(sql):
    answer = Answer(chdb.query(sql, "Native").bytes())
    try:
        return str(NativeTransform().parse_response(ResponseBuffer(answer), QueryContext(sql)).result_set)
    except TypeError as error:
        return f"TypeError {error}"


found = [read(f"SELECT map({key}, 3) AS m") for key in ("(1, 2)", "[1, 2]", "map(1, 2)")]
print("tuple keys: {}; array keys: {}; map keys: {}".format(*found))
sys.exit(found != ["[({(1, 2): 3},)]", "TypeError unhashable type: 'list'", "TypeError unhashable type: 'dict'"])
PYTHON
