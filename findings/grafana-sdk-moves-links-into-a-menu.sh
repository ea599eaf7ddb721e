#!/usr/bin/env bash
# grafana-foundation-sdk 0.0.21: a dashboard link's `placement` is optional in Grafana's schema and has one value,
# "inControlsMenu". The SDK's model has that value as a constant: from_json does not look, to_json always writes it. So
# a dashboard that is read and written again without a change has its links moved from the row above its panels into a
# menu; a link that the builder makes is there, too, unless it is given a None that its types do not allow.
# Likewise each variable is given `auto`, `auto_min` and `auto_count`, an interval's options.
# Seen: "placement" absent before, "inControlsMenu" after; variable keys added: auto, auto_count, auto_min.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q grafana-foundation-sdk==0.0.21
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

before = {
    "title": "a dashboard",
    "schemaVersion": 41,
    "links": [{"title": "docs", "type": "link", "url": "https://docs.example.org", "tags": []}],
    "templating": {"list": [{"name": "agent", "type": "textbox", "query": ""}]},
}
after = json.loads(JSONEncoder().encode(Dashboard.from_json(before)))
(link,), (variable,) = after["links"], after["templating"]["list"]
added = sorted({"auto", "auto_min", "auto_count"} & variable.keys())
print(f"placement before: {before['links'][0].get('placement')!r}, after: {link.get('placement')!r}")
print(f"a text box is given: {', '.join(added)}")
sys.exit(0 if link.get("placement") == "inControlsMenu" and len(added) == 3 else "links stay where they are now")
PYTHON
