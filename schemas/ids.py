"""Event ids: UUIDv7 for recorded events, UUIDv5 for derived ones (RFC 9562).

`ids.pyx` is the same with its text written in C: a change here is one there.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid

#: Random bytes in a UUIDv7.
RANDOM = 10
#: One system call gives the random bytes of this many ids.
RANDOM_AHEAD = 1024
MOST_MILLISECONDS = 0xFFFF_FFFF_FFFF
#: The first digit of a UUID's fourth group, by the two bits that are not the variant's.
VARIANTS = "89ab"

#: Namespace of every derived id; never changes, or a replay would duplicate what it should replace.
DERIVED_NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")
#: Initialized with the namespace's bytes; each id updates a copy.
HASH = hashlib.sha1(DERIVED_NAMESPACE.bytes, usedforsecurity=False)

#: Random bytes of future ids, each taken by one thread only; a forked child must not return its parent's.
ahead: list[bytes] = []
os.register_at_fork(after_in_child=ahead.clear)


def random_bytes() -> bytes:
    """Return `RANDOM` bytes that no other caller gets."""
    while True:
        try:
            return ahead.pop()
        except IndexError:
            fresh = os.urandom(RANDOM * RANDOM_AHEAD)
            ahead.extend([fresh[i : i + RANDOM] for i in range(0, RANDOM * RANDOM_AHEAD, RANDOM)])


def uuid_text(raw: bytes, version: int) -> str:
    """Return the text of 16 bytes, with version and variant set."""
    digits = raw.hex()
    variant = VARIANTS[raw[8] >> 4 & 3]
    return f"{digits[:8]}-{digits[8:12]}-{version}{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def new_event_id(now_ms: int | None = None) -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return uuid_text((milliseconds & MOST_MILLISECONDS).to_bytes(6, "big") + random_bytes(), 7)


def derived_id(*identity: str | int) -> str:
    """Return the UUIDv5 of a derived event: the same identity always gives the same id."""
    return uuid_text(name_hash(*map(str, identity)).digest(), 5)  # `uuid.uuid5` without its overhead


def name_hash(*identity: str) -> hashlib._Hash:
    """Return the SHA-1 state after an identity, or its beginning; it may be copied and updated further."""
    sha1 = HASH.copy()
    sha1.update("\x1f".join(identity).encode())
    return sha1
