#!/usr/bin/env bash
# jgo 3.2.0: a jar is written under its own name in the local Maven repository while it is downloaded. What an
# interrupted download leaves there is taken for whole ever after: nothing is fetched again, and the environment
# has the half. Seen: 100 bytes of a jar's 69,908. The way round: M2_REPO in a folder that is removed after a
# failure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jgo==3.2.0
M2_REPO="$folder/repository" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import jgo

folder = Path(sys.argv[1])
artifact, name = "org.slf4j:slf4j-api:2.0.17", "slf4j-api-2.0.17.jar"
jgo.build(artifact, cache_dir=folder / "first")
kept = next((folder / "repository").rglob(name))
whole = kept.read_bytes()
kept.unlink()  # it may be linked to the first environment's
kept.write_bytes(whole[:100])  # as far as an interrupted download came
jgo.build(artifact, cache_dir=folder / "second")
found = next((folder / "second").rglob(name)).stat().st_size
print(f"jgo {version('jgo')}: {found} bytes of {len(whole)}")
sys.exit("the whole jar is fetched now" if found == len(whole) else 0)
PYTHON
