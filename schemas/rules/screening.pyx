# cython: language_level=3, wraparound=False
"""A quick, compiled check that recognizes most valid events; the others need `validate`.

Once `decode_exact` has returned an event or `encode_exact` has accepted it, its types are certain and its
numbers finite; a few comparisons are then enough. `screening.py` has the signature.
"""

from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t

from evometrics.schemas.events import Event, EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.kpis.performance import DIRECTIONS
from evometrics.schemas.rules.validation import EVOLUTION_PHASES, MAX_AHEAD_MICROS, NAME_CHARACTERS, PHASES, STATUSES

include "../slots.pxi"
include "../uuid.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const uint8_t* PyUnicode_1BYTE_DATA(object text)

cdef Py_ssize_t MOST_CHARACTERS = NAME_CHARACTERS
cdef int64_t MOST_AHEAD = MAX_AHEAD_MICROS
#: Times are microseconds of 64 bits.
cdef int64_t MOST_NOW = 2**63 - 1 - MAX_AHEAD_MICROS


cdef Slots HEAD = Slots(Event, "agent_id node_id occurred_at event_id")
cdef Slots COMPLETED_NAMES = Slots(
    EvolutionCompleted, "evolution_id evolution_type strategy_used risk_level parent_agent_id run_id model objective"
)
cdef Slots COUNTS = Slots(
    EvolutionCompleted, "error_count warning_count convergence_iterations network_bytes_transferred"
)
cdef Slots OPTIONAL = Slots(EvolutionCompleted, "tokens_in tokens_out evaluations candidate_hash direction")
#: How many of these are counts; the place of the others.
DEF OPTIONAL_COUNTS = 3
DEF CANDIDATE_HASH = 3
DEF DIRECTION = 4
DEF HASH_DIGITS = 64
cdef Slots TIMES = Slots(EvolutionCompleted, "started_at duration_seconds")
cdef Slots STARTED_NAMES = Slots(EvolutionStarted, "evolution_id evolution_type strategy risk_level run_id model objective")


def surely_valid(event, now):
    if not isinstance(event, Event):
        return False
    cdef Py_ssize_t agent = characters(HEAD.get(event, 0)), node = characters(HEAD.get(event, 1))
    # of any size: `now` may come from a message
    cdef int64_t latest = min(max(now, -MOST_AHEAD), MOST_NOW) + MOST_AHEAD
    if not (agent and node and is_time(HEAD.get(event, 2), latest) and is_id(HEAD.get(event, 3))):
        return False
    if isinstance(event, EvolutionCompleted):
        return completed(event, latest, agent + node)
    if isinstance(event, EvolutionStarted):
        return started(event, agent + node)
    return isinstance(event, KpiSnapshot) and snapshot(event, agent + node)


cdef bint completed(e, int64_t latest, Py_ssize_t names) except -1:
    """Checks for completions only."""
    cdef int i
    names = all_names(e, COMPLETED_NAMES, names)
    for i in range(len(COUNTS.names)):
        if <int64_t>COUNTS.get(e, i) < 0:
            return False
    for i in range(OPTIONAL_COUNTS):
        count = OPTIONAL.get(e, i)
        if count is not None and <int64_t>count < 0:
            return False
    return (
        names
        and is_time(TIMES.get(e, 0), latest)
        and <double>TIMES.get(e, 1) >= 0
        and e.status in STATUSES
        and (e.cost_usd is None or <double>e.cost_usd >= 0)
        and (e.progress_share is None or 0 <= <double>e.progress_share <= 1)
        and are_phases(e.snapshot_phases)
        and are_names(e.parent_agent_ids)
        and is_direction(OPTIONAL.get(e, DIRECTION))
        and is_hash(OPTIONAL.get(e, CANDIDATE_HASH))
    )


cdef bint started(e, Py_ssize_t names) except -1:
    """Checks for starts only."""
    return (
        all_names(e, STARTED_NAMES, names) and are_phases(e.snapshot_phases) and is_direction(e.direction)
    )


cdef bint all_names(e, Slots slots, Py_ssize_t others) except -1:
    """Whether the first slot, an evolution's id, is not empty, and no name is too long.

    The total length of all names, `others` included, is below the limit of one: then each is.
    """
    cdef Py_ssize_t own = characters(slots.get(e, 0)), names = others + own
    cdef int i
    for i in range(1, len(slots.names)):
        names += characters(slots.get(e, i))
    return own and names <= MOST_CHARACTERS


cdef inline bint is_time(at, int64_t latest) except -1:
    return 0 <= <int64_t>at <= latest


cdef bint are_phases(list phases) except -1:
    return not phases or EVOLUTION_PHASES.issuperset(phases)


cdef bint are_names(list names) except -1:
    """Whether each text has a name's length."""
    for name in names:
        if not 0 < characters(name) <= MOST_CHARACTERS:
            return False
    return True


cdef inline bint is_direction(text) except -1:
    return text is None or text in DIRECTIONS


cdef bint is_hash(text) except -1:
    """Whether a text, if there is one, is a SHA-256 in hexadecimal digits."""
    cdef const uint8_t* digits
    cdef int i
    if text is None:
        return True
    if characters(text) != HASH_DIGITS or not PyUnicode_IS_ASCII(text):
        return False
    digits = PyUnicode_1BYTE_DATA(text)
    for i in range(HASH_DIGITS):
        if not (c'0' <= digits[i] <= c'9' or c'a' <= digits[i] <= c'f'):
            return False
    return True


cdef bint snapshot(e, Py_ssize_t names) except -1:
    """Checks for snapshots only."""
    return (
        names + characters(e.evolution_id) + characters(e.objective) <= MOST_CHARACTERS
        and is_direction(e.direction)
        and e.phase in PHASES
        and (e.source_event_id is None or is_id(e.source_event_id))
    )


cdef Py_ssize_t characters(text) except -1:
    """Number of characters of a text; 0 where it is null."""
    if text is None:
        return 0
    if not PyUnicode_Check(text):
        raise TypeError(f"{text!r} is not text")
    return PyUnicode_GET_LENGTH(text)


cdef bint is_id(text) except -1:
    """Whether a text is a UUID."""
    cdef Py_ssize_t length = characters(text)
    return length and PyUnicode_IS_ASCII(text) and is_uuid(PyUnicode_1BYTE_DATA(text), length)
