# cython: language_level=3, boundscheck=False, wraparound=False
"""Attempts and successes by window and step, compiled: each completion counts in five scopes' windows.

Counts are encoded in parts, one for each step of the last window, with all windows' steps that lie within it.
A busy scope holds hundreds of steps and a batch changes a few: a part's bytes are kept until one of its steps
changes. Arguments and results are described in `window_counts.py`.

Long because counting and encoding share C structs, and a part is written and read side by side.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem, PyDict_Next, PyDict_SetItem, PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

DEF MOST_WINDOWS = 4
DEF SECOND = 1_000_000
#: A part's bytes begin with: its step of the last window, bytes per number (1, 4 or 8), count of numbers.
DEF HEAD = 11
DEF MOST_NUMBERS = 65_535


cdef class Shape:
    """The geometry of the windows, shared by the counts of all scopes."""

    cdef tuple windows
    cdef Py_ssize_t size
    #: Of each window: seconds per step, steps per window; steps of the first window in one of its own, of its
    #: own in one of the last.
    cdef int64_t seconds[MOST_WINDOWS]
    cdef int64_t spans[MOST_WINDOWS]
    cdef int64_t of_first[MOST_WINDOWS]
    cdef int64_t in_last[MOST_WINDOWS]

    def __init__(self, tuple windows not None):
        cdef Py_ssize_t i
        if not 0 < len(windows) <= MOST_WINDOWS:
            raise ValueError(f"{len(windows)} windows; 1 to {MOST_WINDOWS} are supported")
        self.windows = windows
        self.size = len(windows)
        for i in range(self.size):
            self.seconds[i] = windows[i].step_seconds
            self.spans[i] = windows[i].steps
        for i in range(self.size):
            if i and self.seconds[i] % self.seconds[i - 1]:
                raise ValueError("a window's steps must lie within those of the next")
            self.of_first[i] = self.seconds[i] // self.seconds[0]
            self.in_last[i] = self.seconds[self.size - 1] // self.seconds[i]


cdef dict SHAPES = {}


cdef Shape shape_of(tuple windows):
    cdef Shape shape = SHAPES.get(windows)
    if shape is None:
        shape = SHAPES[windows] = Shape(windows)
    return shape


cdef class WindowCounts:
    cdef Shape shape
    cdef readonly list counts
    cdef int64_t last[MOST_WINDOWS]
    cdef dict parts
    cdef int64_t tidied

    def __init__(self, tuple windows not None, bytes packed not None=b""):
        cdef Py_ssize_t i
        self.shape = shape_of(windows)
        self.counts = [{} for _ in windows]
        for i in range(MOST_WINDOWS):
            self.last[i] = -1
        self.parts = {}
        if packed:
            self.unpack(packed)
        self.tidied = self.last[self.shape.size - 1]

    @property
    def newest(self):
        cdef Py_ssize_t i
        return [self.last[i] for i in range(self.shape.size)]

    def add(self, int64_t at_micros, bint success, int64_t lateness_seconds):
        cdef int64_t steps[MOST_WINDOWS]
        cdef Py_ssize_t i
        for i in range(self.shape.size):
            steps[i] = at_micros // (self.shape.seconds[i] * SECOND)
            if steps[i] < self.last[i] and steps[i] < self.open_from(i, self.last[i], lateness_seconds):
                return None
        for i in range(self.shape.size):
            self.change(i, steps[i], 1, success)
        return [{steps[i]} for i in range(self.shape.size)]

    def takes(self, int64_t oldest, int64_t newest, int64_t lateness_seconds):
        cdef Py_ssize_t i
        cdef int64_t ratio
        for i in range(self.shape.size):
            ratio = self.shape.of_first[i]
            if oldest // ratio < self.open_from(i, max(self.last[i], newest // ratio), lateness_seconds):
                return False
        return True

    def add_steps(self, dict added not None):
        cdef Py_ssize_t i
        cdef int64_t step, ratio
        cdef list changed = [set() for _ in self.counts]
        for key, (attempts, successes) in added.items():
            step = key
            for i in range(self.shape.size):
                ratio = self.shape.of_first[i]
                self.change(i, step // ratio, attempts, successes)
                (<set>changed[i]).add(step // ratio)
        return changed

    def count(self, Py_ssize_t number, int64_t step, int64_t attempts, int64_t successes):
        if not 0 <= number < self.shape.size:
            raise IndexError(f"window {number}")
        self.change(number, step, attempts, successes)

    def oldest_open(self, Py_ssize_t number, int64_t lateness_seconds):
        if not 0 <= number < self.shape.size:
            raise IndexError(f"window {number}")
        return self.open_from(number, self.last[number], lateness_seconds)

    def prune(self, int64_t lateness_seconds):
        cdef Py_ssize_t i
        cdef int64_t limit
        cdef list forgotten = []
        for i in range(self.shape.size):
            limit = self.open_from(i, self.last[i], lateness_seconds) - self.shape.spans[i]
            forgotten.append([step for step in self.counts[i] if step < limit])
            self.forget(i, forgotten[i])
        return forgotten

    def forget(self, Py_ssize_t number, steps):
        if not 0 <= number < self.shape.size:
            raise IndexError(f"window {number}")
        for step in steps:
            del self.counts[number][step]
            self.parts.pop(step // self.shape.in_last[number], None)

    def tidy(self, int64_t lateness_seconds):
        cdef int64_t newest = self.last[self.shape.size - 1]
        if self.tidied == newest:
            return False
        self.prune(lateness_seconds)
        self.tidied = newest
        return True

    def pack(self):
        cdef dict last = self.counts[self.shape.size - 1]
        cdef list found = []
        if PyDict_Size(last) == 1:
            (part,) = last
            return self.pack_part(part, True)
        for part in last:
            packed = self.parts.get(part)
            if packed is None:
                packed = self.parts[part] = self.pack_part(part, False)
            found.append(packed)
        return b"".join(found)

    cdef int64_t open_from(self, Py_ssize_t i, int64_t newest, int64_t lateness_seconds) except? -1:
        """The oldest step whose row late events may still change."""
        return newest + (-lateness_seconds) // self.shape.seconds[i]

    cdef int change(self, Py_ssize_t i, int64_t step, int64_t attempts, int64_t successes) except -1:
        """Add to one step of one window; invalidates its part's bytes."""
        cdef dict counts = <dict>self.counts[i]
        cdef object key = step
        cdef PyObject* known = PyDict_GetItem(counts, key)
        if known != NULL:
            attempts += <int64_t>(<tuple>known)[0]
            successes += <int64_t>(<tuple>known)[1]
        elif step > self.last[i]:
            self.last[i] = step
        PyDict_SetItem(counts, key, (attempts, successes))
        if PyDict_Size(self.parts):
            self.parts.pop(step // self.shape.in_last[i], None)
        return 0

    cdef bytes pack_part(self, int64_t part, bint alone):
        """Return a part's bytes: for each window the number of steps, then each with attempts and successes.

        Steps count from the part's first. `alone` says that there are no other parts, which saves searching
        for this one's.
        """
        cdef Py_ssize_t i, n = 0, begin, room = self.shape.size
        cdef int64_t first, step
        cdef PyObject* key
        cdef PyObject* known
        cdef Py_ssize_t place
        cdef dict counts
        for i in range(self.shape.size):
            room += 3 * (
                PyDict_Size(<dict>self.counts[i])
                if alone
                else min(<int64_t>PyDict_Size(<dict>self.counts[i]), self.shape.in_last[i])
            )
        if room > MOST_NUMBERS:
            raise OverflowError(f"{room} numbers in one part of counts; {MOST_NUMBERS} are supported")
        cdef int64_t* numbers = <int64_t*>PyMem_Malloc(room * sizeof(int64_t))
        if numbers == NULL:
            raise MemoryError
        try:
            for i in range(self.shape.size):
                counts = <dict>self.counts[i]
                first = part * self.shape.in_last[i]
                begin = n
                n += 1
                if alone:
                    place = 0
                    while PyDict_Next(counts, &place, &key, &known):
                        n = put_step(numbers, n, <int64_t>(<object>key) - first, <tuple>known)
                else:
                    for step in range(self.shape.in_last[i]):
                        key_object = first + step
                        known = PyDict_GetItem(counts, key_object)
                        if known != NULL:
                            n = put_step(numbers, n, step, <tuple>known)
                numbers[begin] = (n - begin - 1) // 3
            return packed_numbers(part, numbers, n)
        finally:
            PyMem_Free(numbers)

    cdef int unpack(self, bytes packed) except -1:
        """Load the bytes of parts."""
        cdef const char* data = PyBytes_AS_STRING(packed)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(packed), place = 0, i, at, end
        cdef int64_t part, step, steps
        cdef uint8_t width
        cdef uint16_t length
        while place < size:
            if size - place < HEAD:
                raise ValueError("counts that end in the middle of a part")
            memcpy(&part, data + place, 8)
            memcpy(&width, data + place + 8, 1)
            memcpy(&length, data + place + 9, 2)
            place += HEAD
            if width not in (1, 4, 8) or size - place < <Py_ssize_t>width * length:
                raise ValueError("counts that end in the middle of a part")
            at = 0
            for i in range(self.shape.size):
                if at >= length:
                    raise ValueError("counts of fewer windows")
                steps = number_at(data + place, width, at)
                end = at + 1 + 3 * steps
                if end > length:
                    raise ValueError("counts of more steps than there are")
                at += 1
                while at < end:
                    step = part * self.shape.in_last[i] + number_at(data + place, width, at)
                    (<dict>self.counts[i])[step] = (
                        number_at(data + place, width, at + 1),
                        number_at(data + place, width, at + 2),
                    )
                    if step > self.last[i]:
                        self.last[i] = step
                    at += 3
            place += width * length
        return 0


cdef inline Py_ssize_t put_step(int64_t* numbers, Py_ssize_t n, int64_t step, tuple counted) except -1:
    numbers[n] = step
    numbers[n + 1] = <int64_t>counted[0]
    numbers[n + 2] = <int64_t>counted[1]
    return n + 3


cdef bytes packed_numbers(int64_t part, int64_t* numbers, Py_ssize_t n):
    """Return a part's bytes, from non-negative numbers; all in as many bytes as the largest needs."""
    cdef int64_t largest = 0
    cdef Py_ssize_t i
    cdef uint8_t width
    cdef uint16_t length = <uint16_t>n
    cdef uint32_t four
    for i in range(n):
        largest = max(largest, numbers[i])
    width = 1 if largest < 256 else 4 if largest < <int64_t>1 << 32 else 8
    cdef bytes packed = PyBytes_FromStringAndSize(NULL, HEAD + width * n)
    cdef char* data = PyBytes_AS_STRING(packed)
    memcpy(data, &part, 8)
    memcpy(data + 8, &width, 1)
    memcpy(data + 9, &length, 2)
    data += HEAD
    for i in range(n):
        if width == 1:
            data[i] = <char>numbers[i]
        elif width == 4:
            four = <uint32_t>numbers[i]
            memcpy(data + 4 * i, &four, 4)
        else:
            memcpy(data + 8 * i, &numbers[i], 8)
    return packed


cdef inline int64_t number_at(const char* data, uint8_t width, Py_ssize_t i) noexcept:
    cdef uint32_t four
    cdef int64_t eight
    if width == 1:
        return <uint8_t>data[i]
    if width == 4:
        memcpy(&four, data + 4 * i, 4)
        return four
    memcpy(&eight, data + 8 * i, 8)
    return eight
