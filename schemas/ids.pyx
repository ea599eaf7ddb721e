# cython: language_level=3, boundscheck=False, wraparound=False
"""Event ids: UUIDv7 for recorded events, UUIDv5 for derived ones (RFC 9562). `ids.py` is the same in
Python: a change here is one there."""

import hashlib
import os
import time
import uuid

include "uuid.pxi"

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

#: Random bytes in a UUIDv7.
DEF RANDOM = 10
#: One system call gives the random bytes of this many ids.
DEF RANDOM_AHEAD = 1024
DEF MOST_MILLISECONDS = 0xFFFF_FFFF_FFFF

DERIVED_NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")
#: Initialized with the namespace's bytes; each id updates a copy.
cdef object HASH = hashlib.sha1(DERIVED_NAMESPACE.bytes, usedforsecurity=False)

#: Random bytes for future ids, and how many of them were used.
cdef bytes ahead = b""
cdef Py_ssize_t given = 0


def forget():
    """In a forked child: it must not return the same ids as its parent."""
    global ahead, given
    ahead, given = b"", 0


os.register_at_fork(after_in_child=forget)


cdef int take_random(uint8_t* raw) except -1:
    """Random bytes that no other caller gets."""
    global ahead, given
    if given + RANDOM > len(ahead):
        fresh = os.urandom(RANDOM * RANDOM_AHEAD)
        ahead, given = fresh, 0  # from here on no other thread can interfere
    memcpy(raw, <const char*>ahead + given, RANDOM)
    given += RANDOM
    return 0


cdef str text_of(const uint8_t* raw, uint8_t version):
    """The text of a UUID, with its version and variant set."""
    cdef char text[UUID_TEXT]
    put_uuid(text, raw, version)
    return PyUnicode_DecodeASCII(text, UUID_TEXT, NULL)


def new_event_id(now_ms=None):
    cdef uint8_t raw[UUID_SIZE]
    cdef Py_ssize_t i
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    cdef uint64_t bits = milliseconds & MOST_MILLISECONDS
    for i in range(UUID_SIZE - RANDOM):
        raw[i] = bits >> 8 * (UUID_SIZE - RANDOM - 1 - i) & 0xFF
    take_random(raw + UUID_SIZE - RANDOM)
    return text_of(raw, 7)


def derived_id(*identity):
    cdef uint8_t raw[UUID_SIZE]
    cdef bytes digest = name_hash(*map(str, identity)).digest()  # `uuid.uuid5` without its overhead
    memcpy(raw, <const char*>digest, UUID_SIZE)
    return text_of(raw, 5)


def name_hash(*identity):
    sha1 = HASH.copy()
    sha1.update("\x1f".join(identity).encode())
    return sha1
