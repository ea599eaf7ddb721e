#!/usr/bin/env bash
# pyarrow 26.0.1: pa.array([UUID], pa.uuid()) makes an array of UUIDs, but neither can a list of them be made from Python
# (ArrowNotImplementedError: extension), nor, made in another way, become a pandas column. Seen: "flat: made; in a list:
# ArrowNotImplementedError; to pandas: ArrowNotImplementedError". The way round: text within lists and maps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1 pandas==3.1.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import uuid

import pyarrow as pa

one = uuid.uuid4()
flat = pa.array([one], pa.uuid())


def outcome(make):
    try:
        make()
    except Exception as error:
        return type(error).__name__
    return "made"


nested = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), flat)
in_list = outcome(lambda: pa.array([[one]], pa.list_(pa.uuid())))
to_pandas = outcome(lambda: nested.to_pandas())
print(f"flat: {'made' if flat[0].as_py() == one else 'wrong'}; in a list: {in_list}; to pandas: {to_pandas}")
sys.exit((in_list, to_pandas) != ("ArrowNotImplementedError", "ArrowNotImplementedError"))
PYTHON
