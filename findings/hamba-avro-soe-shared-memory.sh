#!/usr/bin/env bash
# hamba/avro 2.31.0 (Go), package soe: a Codec's Encode appends the payload to its header, a slice with room for six bytes
# more, so that two small messages are one piece of memory: the second call changes what the first has returned, and two
# goroutines write into each other's. Payloads of more than six bytes are copied. The way round: bytes.Clone of the result.
# Seen: "first 02 (1), then 04: the value encoded first has become the second".
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/soe"
)

func main() {
	codec, err := soe.NewCodec(avro.MustParse(`"long"`))
	if err != nil {
		panic(err)
	}
	first, _ := codec.Encode(int64(1))
	before := first[10]
	second, _ := codec.Encode(int64(2))
	shared := &first[0] == &second[0]
	fmt.Printf("first %02x (1), then %02x: ", before, first[10])
	if !shared {
		fmt.Println("each has its own memory")
		os.Exit(1)
	}
	fmt.Println("the value encoded first has become the second")
}
GO
printf 'module finding\n\ngo 1.24\n' > go.mod
GOFLAGS=-mod=mod go get github.com/hamba/avro/v2@v2.31.0 > get.log 2>&1 || { cat get.log; exit 2; }
GOFLAGS=-mod=mod go run .
