"""The plan of an insert, kept in Kafka as offset metadata so that a successor knows what may be stored.

Before rows are inserted, the first offset of each of their partitions is committed with the plan as
metadata; after the insert the next offset is committed. The plan names the insert: its token, under which
ClickHouse stores rows once, is made of the plan alone. Whoever takes a partition over in between finds the
plan, and so the token (see `recovery`).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

from evometrics.schemas.catalog import WriterSchema

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to be inserted from one partition.

    Attributes:
        first: first offset.
        last: last offset, inclusive.
        epoch: names the worker's run that made the plan.
        number: counts the inserts planned in that run; no two that hold different rows have the same one.
    """

    first: int
    last: int
    epoch: str
    number: int

    def metadata(self) -> str:
        """Return the plan as offset metadata, well below Kafka's limit of 4096 bytes."""
        return json.dumps(
            {"first": self.first, "last": self.last, "epoch": self.epoch, "number": self.number}
        )

    @classmethod
    def from_metadata(cls, text: str | None) -> Plan | None:
        """Return the plan that offset metadata holds, None where it holds none."""
        if not text:
            return None
        try:
            fields = json.loads(text)
            number = int(fields.get("number", 0))  # version 0.1 had none
            return cls(int(fields["first"]), int(fields["last"]), str(fields["epoch"]), number)
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("offset metadata is no plan and is ignored: %.200r", text)
            return None


def deduplication_token(table: str, schema: WriterSchema, epoch: str, number: int) -> str:
    """Return the token of one planned insert: the same for each try of it, whoever makes it.

    An insert that holds rows of many partitions of Kafka has one token; a successor that has only some of
    them makes the same token, from the plan of any.
    """
    return f"{table}:{schema.fingerprint.hex()}:{epoch}:{number}"
