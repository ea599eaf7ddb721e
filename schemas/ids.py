"""Event ids: UUIDv7 for what is recorded, UUIDv5 for what is derived (RFC 9562)."""

from __future__ import annotations

import hashlib
import os
import time
import uuid

#: Namespace of every derived id; never changes, or a replay would double what it should replace.
DERIVED_NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")
#: Begun with the namespace's bytes; each id goes on with a copy.
HASH = hashlib.sha1(DERIVED_NAMESPACE.bytes, usedforsecurity=False)
#: The variant's hexadecimal digit: its two upper bits are 10 (RFC 9562, section 4.1).
VARIANT = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}


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
    return hashed_id("\x1f".join(map(str, identity)))


def hashed_id(identity: str) -> str:
    """Return what `uuid.uuid5` makes of an identity's text, without its detours."""
    sha1 = HASH.copy()
    sha1.update(identity.encode())
    x = sha1.hexdigest()
    return f"{x[:8]}-{x[8:12]}-5{x[13:16]}-{VARIANT[x[16]]}{x[17:20]}-{x[20:32]}"
