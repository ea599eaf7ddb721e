#!/usr/bin/env bash
# prometheus_client 0.26.0: which format a scrape is answered in does not depend on the quality values of its Accept
# header. A client that takes plain text and refuses OpenMetrics (q=0), and one that likes plain text better (q=0.9
# beside 0.2), are both given OpenMetrics: a version of it that is supported is chosen wherever it is listed.
# Seen: both answers have the content type application/openmetrics-text; version=1.0.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q prometheus_client==0.26.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from prometheus_client.exposition import choose_encoder

refused = choose_encoder("text/plain;version=0.0.4, application/openmetrics-text;version=1.0.0;q=0")[1]
less = choose_encoder("text/plain;version=0.0.4;q=0.9, application/openmetrics-text;version=1.0.0;q=0.2")[1]
print(f"refused: {refused}\nless wanted: {less}")
sys.exit(0 if "openmetrics" in refused and "openmetrics" in less else "quality values count now")
PYTHON
