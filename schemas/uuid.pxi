# The text form of UUIDs (RFC 9562) in C, for the modules that include it (`ids`, `screening`,
# `streams.rows`).

from libc.stdint cimport uint8_t

#: Size of a UUID in bytes, and of its text in characters.
DEF UUID_SIZE = 16
DEF UUID_TEXT = 36

cdef const char* HEX_DIGITS = b"0123456789abcdef"
cdef enum:
    HYPHEN = 45


cdef inline bint is_uuid(const uint8_t* text, Py_ssize_t length) noexcept:
    """Whether a text matches `validation.UUID_TEXT`."""
    cdef Py_ssize_t i
    cdef uint8_t c
    if length != UUID_TEXT:
        return False
    for i in range(UUID_TEXT):
        c = text[i]
        if i == 8 or i == 13 or i == 18 or i == 23:
            if c != HYPHEN:
                return False
        elif not (48 <= c <= 57 or 97 <= (c | 32) <= 102):
            return False
    return True


cdef inline void put_uuid(char* text, const uint8_t* raw, uint8_t version) noexcept:
    """Write the text of 16 bytes, with version and variant set: 36 characters."""
    cdef Py_ssize_t i, place = 0
    cdef uint8_t byte
    for i in range(UUID_SIZE):
        byte = raw[i]
        if i == 6:
            byte = byte & 0x0F | version << 4
        elif i == 8:
            byte = byte & 0x3F | 0x80
        if i == 4 or i == 6 or i == 8 or i == 10:
            text[place] = HYPHEN
            place += 1
        text[place] = HEX_DIGITS[byte >> 4]
        text[place + 1] = HEX_DIGITS[byte & 0x0F]
        place += 2
