"""Signatures of the compiled module, which `ids.pyx` describes."""

import hashlib
import uuid

#: Namespace of every derived id; never changes, or a replay would duplicate what it should replace.
DERIVED_NAMESPACE: uuid.UUID

def new_event_id(now_ms: int | None = None) -> str:
    """Return a new UUIDv7 as text: 48 bits of Unix milliseconds, then 74 random bits."""

def derived_id(*identity: str | int) -> str:
    """Return the UUIDv5 of a derived event: the same identity always gives the same id."""

def name_hash(*identity: str) -> hashlib._Hash:
    """Return the SHA-1 state after an identity, or its beginning; it may be copied and updated further."""
