#!/usr/bin/env bash
# faust-streaming 0.15.3: `datadir` is a template that is formatted each time it is read, also where it is a Path, and
# this is not said of the setting: a worker whose data lie in a folder called `run_{id}` does not start.
# Seen: "KeyError: 'id'". The way round: double the braces.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q faust-streaming==0.15.3
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import faust

app = faust.App("a", broker="kafka://127.0.0.1:9", datadir=Path(sys.argv[1]) / "run_{id}")
try:
    print(app.conf.datadir)
    sys.exit("it is taken as it is now")
except KeyError as error:
    print(f"{type(error).__name__}: {error}")
PYTHON
