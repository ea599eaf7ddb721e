#!/usr/bin/env bash
# vl-convert-python 1.9.0.post1: a relative link of a mark (Vega-Lite's channel href) becomes a link to the site of Vega's
# sample data in the SVG, as if it were the address of data; absolute links stay. Vega in a page that embeds a chart leaves
# relative links to the page. Nothing in the call says so, and no argument turns it off. Seen: "/runs?run=7 ->
# https://vega.github.io/vega-datasets//runs?run=7; https://example.org/x -> https://example.org/x".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vl-convert-python==1.9.0.post1
"$folder/venv/bin/python" - <<'PYTHON'
import re
import sys

import vl_convert

given = ["/runs?run=7", "https://example.org/x"]
chart = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "data": {"values": [{"n": number, "to": link} for number, link in enumerate(given)]},
    "mark": "point",
    "encoding": {
        "x": {"field": "n", "type": "quantitative"},
        "href": {"field": "to", "type": "nominal"},
    },
}
found = re.findall(r'xlink:href="([^"]*)"', vl_convert.vegalite_to_svg(chart))
print("; ".join(f"{link} -> {made}" for link, made in zip(given, found)))
sys.exit(found != ["https://vega.github.io/vega-datasets/" + given[0], given[1]])
PYTHON
