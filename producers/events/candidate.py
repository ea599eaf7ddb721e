"""The text of a program or prompt that an evolution tried: cut to a stated size, with the hash of all of it.

Pure. A candidate is in its event, which is in Kafka, in ClickHouse and on the node's disk; the hash tells
whether two evolutions tried the same, whatever its size.
"""

from __future__ import annotations

from hashlib import sha256

#: Most bytes of UTF-8 that are kept of a candidate.
MOST_BYTES = 65_536


def candidate_of(text: str) -> tuple[str, str, str]:
    """Return what is kept of a candidate, its SHA-256 in hexadecimal digits, and why it was cut (else empty).

    It is cut at a character. `text` must be encodable in UTF-8.
    """
    raw = text.encode()
    digest = sha256(raw).hexdigest()
    if len(raw) <= MOST_BYTES:
        return text, digest, ""
    kept = raw[:MOST_BYTES].decode(errors="ignore")
    return kept, digest, f"has {len(raw)} bytes of UTF-8; the first {len(kept.encode())} are kept"
