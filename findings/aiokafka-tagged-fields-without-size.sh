#!/usr/bin/env bash
# aiokafka 0.14.0: TaggedFields.encode() leaves out the size of each field, which the protocol has before its bytes and
# decode() reads: what it writes, it can't read. Nothing of the library's own sends a tag; a request of one's own must
# not. Seen: "{1: b'abc'} comes back as {1: b'bc...'}" or an error.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aiokafka==0.14.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from io import BytesIO

from aiokafka.protocol.types import TaggedFields

given = {1: b"abc"}
written = TaggedFields.encode(given)
read = TaggedFields.decode(BytesIO(written))
print(f"{given} is written as {written!r} and comes back as {read}")
sys.exit(read == given)
PYTHON
