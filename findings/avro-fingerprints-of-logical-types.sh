#!/usr/bin/env bash
# hamba/avro 2.31.0 and linkedin/goavro 2.15.0 (Go), Apache's avro 1.12.2 for Python: the CRC-64-AVRO fingerprint of a
# schema with a logical type is not the one of Avro's specification, whose Parsing Canonical Form has no attributes but
# type, name, fields, symbols, items, values, size, and writes {"type":"long"} as "long". hamba leaves logicalType in it,
# the other two the braces; Java's SchemaNormalization and fastavro do neither. The header of a single-object message that
# hamba's soe.Codec or goavro's SingleFromNative writes thus names a schema that no other reader finds, and both refuse
# the messages of others. The way round: give them the schema without its logical types.
# Seen: "right 74ee3ad85d661705, hamba 7cd7cebd67298c80, goavro ff6f5d6145a52a5f, Apache's Python ff6f5d6145a52a5f; without
# logical types all are right".
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat > at.avsc <<'SCHEMA'
{"type": "record", "name": "Seen", "fields": [{"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}
SCHEMA
cat > plain.avsc <<'SCHEMA'
{"type": "record", "name": "Seen", "fields": [{"name": "at", "type": "long"}]}
SCHEMA
cat > main.go <<'GO'
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
	"github.com/linkedin/goavro/v2"
)

func main() {
	for _, file := range os.Args[1:] {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		header, err := soe.ComputeFingerprint(avro.MustParse(string(text)))
		if err != nil {
			panic(err)
		}
		codec, err := goavro.NewCodec(string(text))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%x %x\n", header, binary.LittleEndian.AppendUint64(nil, codec.Rabin))
	}
}
GO
printf 'module finding\n\ngo 1.24\n' > go.mod
GOFLAGS=-mod=mod go get github.com/hamba/avro/v2@v2.31.0 github.com/linkedin/goavro/v2@v2.15.0 > get.log 2>&1 || { cat get.log; exit 2; }
GOFLAGS=-mod=mod go run . at.avsc plain.avsc > go.txt
python3 -m venv venv
venv/bin/pip install -q avro==1.12.2 fastavro==1.13.1
venv/bin/python - <<'PYTHON'
import json
import sys
from pathlib import Path

import avro.schema
from fastavro.schema import fingerprint, to_parsing_canonical_form

found = []
for file, go in zip(("at.avsc", "plain.avsc"), Path("go.txt").read_text().splitlines(), strict=True):
    text = Path(file).read_text()
    right = fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO")
    found.append((right, *go.split(), avro.schema.parse(text).fingerprint("CRC-64-AVRO").hex()))
(right, hamba, goavro, apache), without = found
all_right = set(without) == {right}
print(
    f"right {right}, hamba {hamba}, goavro {goavro}, Apache's Python {apache}; "
    f"without logical types {'all are right' if all_right else without}"
)
sys.exit(not all_right or right in (hamba, goavro, apache))
PYTHON
