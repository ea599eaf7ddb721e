#!/usr/bin/env bash
# chdb 4.4.0: connect() takes the first ? in a path for the beginning of options, although the path is no URL: a
# database in a folder called `what?x=1` is made in another one beside it, called `what`. There is no escape (%3F is
# taken as it is). Seen: "asked for 'what?x=1', made ['what']". The way round: chdir into the folder, connect to ".".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q chdb==4.4.0
mkdir "$folder/data"
"$folder/venv/bin/python" - "$folder/data" <<'PYTHON'
import os
import sys

import chdb

name = "what?x=1"
connection = chdb.connect(os.path.join(sys.argv[1], name))
connection.query("CREATE DATABASE d")
connection.close()
made = os.listdir(sys.argv[1])
print(f"asked for {name!r}, made {made}")
sys.exit(made != ["what"])
PYTHON
