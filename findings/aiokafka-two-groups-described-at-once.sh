#!/usr/bin/env bash
# aiokafka 0.14.0: the answer to its DescribeGroups request of version 3, the one it chooses for Kafka 2.3 and newer, is
# read by the schema of version 2, which lacks each group's authorized operations. With one group the four bytes are
# left over at the end and nobody notices, except that the operations that were asked for are missing; with two groups
# of one coordinator in one request the second is read four bytes too early: describe_consumer_groups raises, or names
# a group that does not exist. The way round: one group a call.
# Seen: "one group: ['night']", "two groups: ValueError: Buffer underrun decoding string".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q aiokafka==0.14.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3


def group(name: str) -> tuple[object, ...]:
    """Return an empty group, as a broker describes it where no operations were asked for."""
    return (0, name, "Empty", "consumer", "", [], -2147483648)


def names(*groups: str) -> list[str]:
    """Return the groups that the client reads in a broker's answer."""
    answer = DescribeGroupsResponse_v3(0, [group(name) for name in groups]).encode()
    return [found[1] for found in DescribeGroupsRequest_v3.RESPONSE_TYPE.decode(answer).groups]


print("one group:", one := names("night"))
try:
    two: object = names("night", "day")
except ValueError as error:
    two = f"{type(error).__name__}: {error}"
print("two groups:", two)
sys.exit(0 if one == ["night"] and two != ["night", "day"] else "it is otherwise now")
PYTHON
