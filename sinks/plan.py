"""The plan of a batch, kept in Kafka as offset metadata so that a successor knows what may be stored.

Before a batch is inserted, the first offset of each partition is committed with the plan as metadata;
after the insert the next offset is committed. Whoever takes the partition over in between finds the
plan, asks the table for the offsets in its range, and inserts only those that are missing.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to be inserted from one partition.

    Attributes:
        first: first offset.
        last: last offset, inclusive.
        count: messages between them (offsets may have gaps).
        epoch: names the worker's run that made the plan; part of the deduplication token.
    """

    first: int
    last: int
    count: int
    epoch: str

    def metadata(self) -> str:
        """Return the plan as offset metadata, well below Kafka's limit of 4096 bytes."""
        return json.dumps({"first": self.first, "last": self.last, "count": self.count, "epoch": self.epoch})

    @classmethod
    def from_metadata(cls, text: str | None) -> Plan | None:
        """Return the plan that offset metadata holds, None where it holds none."""
        if not text:
            return None
        try:
            fields = json.loads(text)
            return cls(int(fields["first"]), int(fields["last"]), int(fields["count"]), str(fields["epoch"]))
        except (ValueError, KeyError, TypeError):
            log.warning("offset metadata is no plan and is ignored: %.200r", text)
            return None

    def rest(self, next_offset: int) -> Plan | None:
        """Return the part of the plan from `next_offset` on, None where nothing is left of it."""
        if next_offset > self.last:
            return None
        return Plan(
            max(self.first, next_offset), self.last, min(self.count, self.last - next_offset + 1), self.epoch
        )


def deduplication_token(table: str, epoch: str, blocks: Iterable[bytes]) -> str:
    """Return the token of one insert: the same for each try of it, another for anything else.

    It holds the plan's epoch and, in place of its bare numbers, a digest of the rows: ClickHouse drops
    other data under a known token without a word, so after a bisection, or when a table was emptied and
    is filled again from the same offsets, the token must not come again.
    """
    digest = hashlib.blake2b(digest_size=16)
    for item in blocks:
        digest.update(item)
    return f"{table}:{epoch}:{digest.hexdigest()}"
