"""Event ids: UUIDv7 for what is recorded, UUIDv5 for what is derived (RFC 9562)."""

from __future__ import annotations

import os
import time
import uuid

#: Namespace of every derived id; never changes, or a replay would double what it should replace.
DERIVED_NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")


def new_event_id(now_ms: int | None = None) -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    random = int.from_bytes(os.urandom(10), "big")
    high = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value = high | 0x7 << 76 | (random >> 68 & 0xFFF) << 64 | 0b10 << 62 | random & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derived_id(*identity: str | int) -> str:
    """Return the UUIDv5 of a derived event: the same identity always gives the same id."""
    return str(uuid.uuid5(DERIVED_NAMESPACE, "\x1f".join(map(str, identity))))
