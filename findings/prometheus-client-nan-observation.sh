#!/usr/bin/env bash
# prometheus_client 0.26.0: one NaN that is observed leaves a histogram's buckets and count as they were, and makes its
# sum NaN for the rest of the process's life: rate(sum) / rate(count), the usual mean, is NaN until a restart, while the
# quantiles look healthy. A counter takes inc(NaN) as well, and stays NaN (a negative amount is refused).
# Seen: "count 2.0, sum nan" and "counter nan" after further, good values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q prometheus_client==0.26.0
"$folder/venv/bin/python" - <<'PYTHON'
import math
import sys

from prometheus_client import CollectorRegistry, Counter, Histogram

registry = CollectorRegistry()
seconds = Histogram("seconds", "s", registry=registry, buckets=(1, 2))
for value in (0.5, math.nan, 1.5):
    seconds.observe(value)
attempts = Counter("attempts", "a", registry=registry)
attempts.inc(math.nan)
attempts.inc()
count = registry.get_sample_value("seconds_count")
total = registry.get_sample_value("seconds_sum")
counter = registry.get_sample_value("attempts_total")
print(f"count {count}, sum {total}, counter {counter}")
sys.exit(0 if count == 2 and math.isnan(total) and math.isnan(counter) else "it is otherwise now")
PYTHON
