# cython: language_level=3, boundscheck=False, wraparound=False
"""Event ids: UUIDv7 for what is recorded, UUIDv5 for what is derived (RFC 9562); `ids.pyi` says more."""

import hashlib
import os
import time
import uuid

include "uuid.pxi"

from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    str PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)

#: Bytes that are random in a UUIDv7.
DEF RANDOM = 10
#: One system call gives the random bytes of so many ids.
DEF RANDOM_AHEAD = 1024
DEF MOST_MILLISECONDS = 0xFFFF_FFFF_FFFF

DERIVED_NAMESPACE = uuid.UUID("6f0f1d5e-52a5-5c39-9d0b-6f9a2f2f7a11")
#: Begun with the namespace's bytes; each id goes on with a copy.
cdef object HASH = hashlib.sha1(DERIVED_NAMESPACE.bytes, usedforsecurity=False)

#: Random bytes for ids to come, and how many of them were given.
cdef bytes ahead = b""
cdef Py_ssize_t given = 0


def forget():
    """In a forked child: it must not give the ids that its parent gives."""
    global ahead, given
    ahead, given = b"", 0


os.register_at_fork(after_in_child=forget)


cdef int take_random(uint8_t* raw) except -1:
    """Random bytes that nobody else gets."""
    global ahead, given
    if given + RANDOM > len(ahead):
        fresh = os.urandom(RANDOM * RANDOM_AHEAD)
        ahead, given = fresh, 0  # and no other thread comes in between from here on
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
    cdef bytes digest = name_hash(*map(str, identity)).digest()  # what `uuid.uuid5` does, without its detours
    memcpy(raw, <const char*>digest, UUID_SIZE)
    return text_of(raw, 5)


def name_hash(*identity):
    sha1 = HASH.copy()
    sha1.update("\x1f".join(identity).encode())
    return sha1
