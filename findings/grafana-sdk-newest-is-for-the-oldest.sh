#!/usr/bin/env bash
# grafana-foundation-sdk on PyPI: builds for a fixed Grafana have the time of their build as the version's epoch
# (PEP 440, "1769699998!10.1.0"), and of each round the one for Grafana 10.1 is built last. An epoch outranks everything,
# so `pip install grafana-foundation-sdk`, or `>=0.0.21`, installs the build for Grafana 10.1 of January 2026, not the
# newest release in the numbering that the project has gone on with (0.0.21), for 2026's Grafana. Only `==`, or an upper
# bound (`<0.1`), gets that. Its `requires` is alike, and nothing warns.
# Seen: without a bound "1769699998!10.1.0"; with <0.1 "0.0.21"; and only the latter knows dashboardv2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for wanted in 'grafana-foundation-sdk>=0.0.21' 'grafana-foundation-sdk>=0.0.21,<0.1'; do
    "$folder/venv/bin/pip" install -q --no-deps --target "$folder/$wanted" "$wanted"
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import distributions
from pathlib import Path

found = {}
for wanted in ("grafana-foundation-sdk>=0.0.21", "grafana-foundation-sdk>=0.0.21,<0.1"):
    folder = Path(sys.argv[1]) / wanted
    (installed,) = distributions(path=[str(folder)])
    has = (folder / "grafana_foundation_sdk" / "models" / "dashboardv2.py").exists()
    found[wanted] = (installed.version, has)
    print(f"{wanted}: {installed.version}, dashboardv2: {has}")
(free, has_not), (bound, has) = found.values()
sys.exit(0 if "!10.1.0" in free and not has_not and bound.lstrip("v").startswith("0.0.") and has else 1)
PYTHON
