# cython: language_level=3, wraparound=False
"""A quick look at an event that tells most good ones from those that `validate` must look at, compiled.

The types of an event are certain, and its numbers finite, once `decode_exact` has given it or `encode_exact`
has taken it; a few comparisons are enough then. `screening.pyi` says what is taken and returned.
"""

from cpython.unicode cimport PyUnicode_Check, PyUnicode_GET_LENGTH
from libc.stdint cimport int64_t

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.validation import EVOLUTION_PHASES, MAX_AHEAD_MICROS, NAME_CHARACTERS, PHASES, STATUSES

include "uuid.pxi"

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    const uint8_t* PyUnicode_1BYTE_DATA(object text)

cdef Py_ssize_t MOST_CHARACTERS = NAME_CHARACTERS


def surely_valid(event, now):
    cdef Py_ssize_t agent = characters(event.agent_id), node = characters(event.node_id)
    latest = now + MAX_AHEAD_MICROS  # of any size: `now` may be what a message says
    if not (agent and node and 0 <= event.occurred_at <= latest and is_id(event.event_id)):
        return False
    if isinstance(event, EvolutionCompleted):
        return completed(event, latest, agent + node)
    if isinstance(event, EvolutionStarted):
        return started(event, agent + node)
    return isinstance(event, KpiSnapshot) and snapshot(event, agent + node)


cdef bint completed(e, latest, Py_ssize_t names) except -1:
    """What only a completion has."""
    cdef Py_ssize_t own = characters(e.evolution_id)
    # all names together under the limit of one: then each is
    names += own + characters(e.evolution_type) + characters(e.strategy_used) + characters(e.risk_level)
    names += characters(e.parent_agent_id)
    return (
        names <= MOST_CHARACTERS
        and own
        and 0 <= e.started_at <= latest
        and e.status in STATUSES
        and <double>e.duration_seconds >= 0
        and <int64_t>e.error_count >= 0
        and <int64_t>e.warning_count >= 0
        and <int64_t>e.convergence_iterations >= 0
        and <int64_t>e.network_bytes_transferred >= 0
        and (e.cost_usd is None or <double>e.cost_usd >= 0)
        and (e.progress_share is None or 0 <= <double>e.progress_share <= 1)
        and (not e.snapshot_phases or EVOLUTION_PHASES.issuperset(e.snapshot_phases))
    )


cdef bint started(e, Py_ssize_t names) except -1:
    """What only a start has."""
    cdef Py_ssize_t own = characters(e.evolution_id)
    names += own + characters(e.evolution_type) + characters(e.strategy) + characters(e.risk_level)
    return (
        names <= MOST_CHARACTERS
        and own
        and (not e.snapshot_phases or EVOLUTION_PHASES.issuperset(e.snapshot_phases))
    )


cdef bint snapshot(e, Py_ssize_t names) except -1:
    """What only a snapshot has."""
    return (
        names + characters(e.evolution_id) <= MOST_CHARACTERS
        and e.phase in PHASES
        and (e.source_event_id is None or is_id(e.source_event_id))
    )


cdef Py_ssize_t characters(text) except -1:
    """How many characters a text has; none where it is null."""
    if text is None:
        return 0
    if not PyUnicode_Check(text):
        raise TypeError(f"{text!r} is no text")
    return PyUnicode_GET_LENGTH(text)


cdef bint is_id(text) except -1:
    """Whether a text is a UUID."""
    cdef Py_ssize_t length = characters(text)
    return length and PyUnicode_IS_ASCII(text) and is_uuid(PyUnicode_1BYTE_DATA(text), length)
