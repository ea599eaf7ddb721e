#!/usr/bin/env bash
# chdb 4.4.0: send_query() formats each block of a result as a result of its own, and a result without rows not at
# all: CSVWithNames has the names again and again, an empty one has none, JSON is a document a block, Parquet and Avro
# are files one behind the other. Seen: "names 1 time by query(), 5 times by send_query(); 0 bytes of an empty one".
# The way round: send_query() for formats that are their blocks' bytes in a row alone (Native, CSV, JSONEachRow, ...).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q chdb==4.4.0
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import sys

import chdb

connection = chdb.connect(sys.argv[1])


def streamed(sql):
    with connection.send_query(sql, "CSVWithNames") as blocks:
        return b"".join(block.bytes() for block in blocks)


sql = "SELECT number AS name_of_it FROM numbers(300000)"
once, again = (text.count(b"name_of_it") for text in (connection.query(sql, "CSVWithNames").bytes(), streamed(sql)))
empty = len(streamed(f"{sql} WHERE 0"))
print(f"names {once} time by query(), {again} times by send_query(); {empty} bytes of an empty one")
sys.exit(not (once == 1 < again and empty == 0))
PYTHON
