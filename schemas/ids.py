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


#: The digit that holds the variant: 10 in its upper two bits, two random bits of a digit in the lower.
VARIANT = {f"{digit:x}": f"{digit & 0b11 | 0b1000:x}" for digit in range(16)}
#: Random hex digits for ids to come, 20 for each: one system call serves many ids. `list.pop` is atomic, so
#: any thread may take from it; a forked child must not give the ids that its parent gives.
RANDOM_AHEAD = 1024
_random: list[str] = []
os.register_at_fork(after_in_child=_random.clear)


def random_digits() -> str:
    """Return 20 random hex digits that nobody else gets."""
    while True:
        try:
            return _random.pop()
        except IndexError:
            digits = os.urandom(10 * RANDOM_AHEAD).hex()
            _random.extend([digits[at : at + 20] for at in range(0, len(digits), 20)])


def new_event_id(now_ms: int | None = None) -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    time_digits, random = f"{milliseconds & 0xFFFF_FFFF_FFFF:012x}", random_digits()
    variant = VARIANT[random[3]]
    return f"{time_digits[:8]}-{time_digits[8:]}-7{random[:3]}-{variant}{random[4:7]}-{random[7:19]}"


def derived_id(*identity: str | int) -> str:
    """Return the UUIDv5 of a derived event: the same identity always gives the same id."""
    x = name_hash(*map(str, identity)).hexdigest()  # what `uuid.uuid5` does, without its detours
    return f"{x[:8]}-{x[8:12]}-5{x[13:16]}-{VARIANT[x[16]]}{x[17:20]}-{x[20:32]}"


def name_hash(*identity: str) -> hashlib._Hash:
    """Return the SHA-1 that an identity, or its beginning, leads to; it may be copied and gone on with."""
    sha1 = HASH.copy()
    sha1.update("\x1f".join(identity).encode())
    return sha1
