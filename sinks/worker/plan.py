"""The plan of an insert, kept in Kafka as offset metadata so that a successor knows what may be stored.

Before rows are inserted, the first offset of each of their partitions is committed with the plan as metadata;
after the insert the next offset is committed. The plan names the insert: its token, under which ClickHouse
stores rows once, is derived from the plan alone. Whoever takes a partition over in between finds the plan,
and so the token (see `recovery`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evometrics.schemas.wire.catalog import WriterSchema

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """What is about to be inserted from one partition.

    Attributes:
        first: first offset.
        last: last offset, inclusive.
        epoch: identifies the worker's run that made the plan.
        number: counts the inserts planned in that run; inserts of different rows never share a number.
    """

    first: int
    last: int
    epoch: str
    number: int

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> InsertPlan | None:
        """Return the plan in offset metadata, None if there is none."""
        if "epoch" not in fields:
            return None
        try:
            number = int(fields.get("number", 0))  # absent in version 0.1
            return cls(int(fields["first"]), int(fields["last"]), str(fields["epoch"]), number)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("offset metadata is not a plan and is ignored: %.200r", fields)
            return None


def metadata(plan: InsertPlan | None, topic_id: str) -> str:
    """Return the metadata to commit with an offset: the plan that begins there, if any, and its topic's id.

    Well below Kafka's limit of 4096 bytes. Version 0.1 can read it, too, and ignores the topic.
    """
    fields: dict[str, Any] = {}
    if plan is not None:
        fields = {"first": plan.first, "last": plan.last, "epoch": plan.epoch, "number": plan.number}
    if topic_id:
        fields["topic"] = topic_id
    return json.dumps(fields) if fields else ""


def read_metadata(text: str | None) -> Mapping[str, Any]:
    """Return the fields of committed metadata; none if another program wrote it."""
    if not text:
        return {}
    try:
        fields = json.loads(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        log.warning("offset metadata is not a sink's and is ignored: %.200r", text)
        return {}
    return fields


def deduplication_token(table: str, schema: WriterSchema, epoch: str, number: int) -> str:
    """Return the token of one planned insert: the same for each attempt at it, whoever makes it.

    An insert that holds rows of many Kafka partitions has one token; a successor that has only some of them
    derives the same token from the plan of any.
    """
    return f"{table}:{schema.fingerprint.hex()}:{epoch}:{number}"
