"""The plan of an insert, kept in Kafka as offset metadata so that a successor knows what may be stored.

Before rows are inserted, the first offset of each of their partitions is committed with the plan as metadata;
after the insert the next offset is committed. Metadata also carry what concerns a partition's next owner
(`Carried`). The plan names the insert: its token, under which ClickHouse
stores rows once, is derived from the plan alone. Whoever takes a partition over in between finds the plan,
and so the token (see `recovery`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from evometrics.schemas.wire.catalog import WriterSchema

log = logging.getLogger(__name__)

#: By evolution type: evolutions by ending, durations by bucket, their sum in seconds (`totals`).
Counts: TypeAlias = Mapping[str, Sequence[float]]
#: Room for counts beside a plan.
COUNTS_BYTES = 3500


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


@dataclass(frozen=True, slots=True)
class Carried:
    """What committed metadata tell a partition's next owner besides the plan.

    Attributes:
        counts: evolutions that a sink had counted, and no scrape had shown, when it stopped.
        known: offsets before this one may be stored and counted already, for the group was reset.
    """

    counts: Counts = field(default_factory=dict)
    known: int = 0

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Carried:
        """Return what is in offset metadata."""
        try:
            counts = {str(kind): [*map(float, each)] for kind, each in fields.get("counts", {}).items()}
            return cls(counts, int(fields.get("known", 0)))
        except (ValueError, TypeError, AttributeError):
            log.warning("counts in offset metadata can't be read and are ignored: %.200r", fields)
            return cls()


NOTHING = Carried()


def metadata(plan: InsertPlan | None, topic_id: str, carried: Carried = NOTHING) -> str:
    """Return the metadata to commit with an offset: the plan that begins there, if any, and its topic's id.

    Below Kafka's limit of 4096 bytes. Version 0.1 can read it, too, and ignores what it does not know.
    """
    fields: dict[str, Any] = {}
    if plan is not None:
        fields = {"first": plan.first, "last": plan.last, "epoch": plan.epoch, "number": plan.number}
    if topic_id:
        fields["topic"] = topic_id
    if carried.counts:
        fields["counts"] = carried.counts
    if carried.known:
        fields["known"] = carried.known
    return json.dumps(fields, separators=(",", ":")) if fields else ""


def fitted(counts: Counts) -> Counts:
    """Return counts that fit into metadata; where there are too many types, the rarest are left out.

    Numbers of evolutions are sums of these, so what is left out is logged.
    """
    kept = dict(counts)
    while len(json.dumps(kept)) > COUNTS_BYTES:
        rarest = min(kept, key=lambda kind: sum(kept[kind]))
        if kept[rarest]:
            log.warning("evolutions of type %s that no scrape has shown are not handed over", rarest)
        del kept[rarest]
    return kept


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
