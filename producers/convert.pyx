# cython: language_level=3
"""From the objects orchestrators hand over to typed events: design section 6, compiled.

An orchestrator's event is any object; an attribute that is missing, or None, takes its default. What each
function takes and returns is in `convert.pyi`.
"""

include "values.pxi"

import time

from libc.math cimport fabs, rint

from evometrics.schemas.events import EvolutionCompleted, EvolutionStarted, KpiSnapshot
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kpis import KPI_NAMES, performance

#: A number of microseconds below this, in amount, fits 64 bits.
DEF MOST_MICROS = 9.0e18
META_KPIS = ("overall_performance", "confidence_interval")

cdef object new = object.__new__
cdef str STARTED = EvolutionStarted.record
cdef str COMPLETED = EvolutionCompleted.record


def evolution_id(agent_id, timestamp):
    return f"{agent_id}-{int(timestamp)}"


cdef object micros(double seconds):
    """Unix seconds as microseconds, to the nearest and even one as `round` does."""
    cdef double found = seconds * 1_000_000
    return <long long>rint(found) if fabs(found) < MOST_MICROS else round(found)


cdef inline object timestamp_of(event, record):
    """The event's time in Unix seconds, now where it has none."""
    value = getattr(event, "timestamp", None)
    return time.time() if value is None else finite(value, record, "timestamp")


cdef inline object generation(event, record):
    """The generation an event leads to; `generation_change` is a number, or from and to."""
    value = first_given(event, "generation", "generation_change")
    if isinstance(value, (tuple, list)):
        value = value[-1] if value else None
    return None if value is None else whole(value, record, "generation_change")


cdef inline bint begins(insight, str word) except -1:
    """Whether a text begins with a word of small ASCII letters, in any case."""
    cdef Py_ssize_t i, n = PyUnicode_GET_LENGTH(word)
    if PyUnicode_GET_LENGTH(insight) < n:
        return False
    for i in range(n):
        # no letter outside ASCII becomes one of these words' as a small one
        if <int>PyUnicode_READ_CHAR(insight, i) | 0x20 != <int>PyUnicode_READ_CHAR(word, i):
            return False
    return True


def errors_and_warnings(insights):
    errors = warnings = 0
    for insight in insights:
        errors += begins(insight, "error")
        warnings += begins(insight, "warn")
    return errors, warnings


def rounds_to_best(fitness):
    return fitness.index(max(fitness)) + 1 if fitness else 0


def started_event(event, node_id):
    agent, when = getattr(event, "agent_id", None) or "", timestamp_of(event, STARTED)
    return EvolutionStarted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=text(getattr(event, "evolution_id", None)) or evolution_id(agent, when),
        evolution_type=getattr(event, "evolution_type", None) or "unknown",
        generation=generation(event, STARTED) or 0,
        strategy=given(event, "strategy", "strategy_used", "strategy_name") or "",
        risk_level=getattr(event, "risk_level", None) or "",
        target_gain=finite_or_none(getattr(event, "target_gain", None), STARTED, "target_gain"),
        trigger_reason=text(getattr(event, "trigger_reason", None)),
        pre_kpis=numbers(first_given(event, "pre_evolution_kpis", "pre_kpis"), STARTED, "pre_kpis"),
        metadata=texts(getattr(event, "metadata", None), STARTED),
    )


cdef object status_of(event, bint success, bint rolled_back):
    """succeeded, failed or rolled_back; the event's own status where it has one."""
    own = getattr(event, "status", None)
    if own is not None:
        return str(getattr(own, "value", own))
    if rolled_back and not success:
        return "rolled_back"
    return "succeeded" if success else "failed"


cdef object duration_of(event, when, active):
    """How long an evolution took, in seconds."""
    duration = getattr(event, "duration_seconds", None)
    if duration is not None:
        return finite(duration, COMPLETED, "duration_seconds")
    if active is None:
        return 0.0
    # A completion may carry its start's timestamp; then only the clock knows how long it took.
    between = when - active.started.occurred_at / 1e6
    return between if between > 0 else time.perf_counter() - active.begun


def completed_event(event, node_id, active, usage):
    # Every field is set by itself: to call the class costs half as much as all the rest.
    done = new(EvolutionCompleted)
    started = None if active is None else active.started
    done.event_id, done.node_id = new_event_id(), node_id
    done.agent_id = getattr(event, "agent_id", None) or ""
    when = timestamp_of(event, COMPLETED)
    done.occurred_at = micros(when)
    done.duration_seconds = duration = duration_of(event, when, active)
    done.started_at = max(0, micros(when - duration)) if started is None else started.occurred_at
    set_course(done, event, active)
    set_names(done, event, started)
    set_outcome(done, event, started)
    set_usage(done, event, usage)
    return done


cdef int set_course(done, event, active) except -1:
    """Fill in what happened on the way: generation, insights, fitness."""
    level = generation(event, COMPLETED)
    done.generation = level if level is not None else 0 if active is None else active.started.generation
    done.insights = insights = texts_of(getattr(event, "insights", None), COMPLETED, "insights")
    done.error_count, done.warning_count = errors_and_warnings(insights)
    fitness = numbers_of(getattr(event, "fitness_trajectory", None), COMPLETED, "fitness_trajectory")
    if not fitness and active is not None:
        fitness = list(active.fitness)
    done.fitness_trajectory = fitness
    rounds = getattr(event, "convergence_iterations", None)
    done.convergence_iterations = (
        rounds_to_best(fitness) if rounds is None else whole(rounds, COMPLETED, "convergence_iterations")
    )
    return 0


cdef int set_names(done, event, started) except -1:
    """Fill in what the evolution is called and grouped by: the event's own words, else its start's."""
    kind, level = getattr(event, "evolution_type", None), getattr(event, "risk_level", None)
    strategy = first_given(event, "strategy_used", "strategy")
    if strategy is None:
        strategy = getattr(event, "strategy_name", None)
    reason = text(getattr(event, "trigger_reason", None))
    if started is None:
        own = text(getattr(event, "evolution_id", None))
        done.evolution_id = own or evolution_id(done.agent_id, done.started_at / 1e6)
        done.evolution_type = kind or "unknown"
        done.strategy_used = strategy or ""
        done.risk_level = level or ""
        done.trigger_reason = reason
    else:
        done.evolution_id = started.evolution_id
        done.evolution_type = kind or started.evolution_type
        done.strategy_used = strategy or started.strategy
        done.risk_level = level or started.risk_level
        done.trigger_reason = reason or started.trigger_reason
    parent = getattr(event, "parent_agent_id", None)
    done.parent_agent_id = None if parent is None else text(parent)
    return 0


cdef int set_outcome(done, event, started) except -1:
    """Fill in what came of it: KPIs, success, cost, metadata."""
    cdef bint success = bool(getattr(event, "success", None))
    cdef bint rolled_back = bool(getattr(event, "rollback_performed", None))
    pre = numbers(first_given(event, "pre_evolution_kpis", "pre_kpis"), COMPLETED, "pre_kpis")
    done.pre_kpis = dict(started.pre_kpis) if not pre and started is not None else pre
    post = first_given(event, "post_evolution_kpis", "post_kpis")
    done.post_kpis = numbers(post, COMPLETED, "post_kpis")
    done.success, done.rollback_performed = success, rolled_back
    done.status = status_of(event, success, rolled_back)
    target = getattr(event, "target_gain", None)
    if target is None and started is not None:
        done.target_gain = started.target_gain
    else:
        done.target_gain = finite_or_none(target, COMPLETED, "target_gain")
    metadata = texts(getattr(event, "metadata", None), COMPLETED)
    if started is not None and started.metadata:
        metadata = {**started.metadata, **metadata}
    done.metadata = metadata
    done.cost_usd = finite_or_none(getattr(event, "cost_usd", None), COMPLETED, "cost_usd")
    return 0


cdef int set_usage(done, event, usage) except -1:
    """Fill in the resources: the event's own figures (an agent that ran elsewhere), else the sampler's."""
    memory = finite_or_none(getattr(event, "memory_used_mb", None), COMPLETED, "memory_used_mb")
    cpu = finite_or_none(getattr(event, "cpu_percent_avg", None), COMPLETED, "cpu_percent_avg")
    gpu = finite_or_none(getattr(event, "gpu_memory_mb", None), COMPLETED, "gpu_memory_mb")
    network = getattr(event, "network_bytes_transferred", None)
    if network is not None:
        network = whole(network, COMPLETED, "network_bytes_transferred")
    if usage is not None:
        memory = usage.memory_used_mb if memory is None else memory
        cpu = usage.cpu_percent_avg if cpu is None else cpu
        gpu = usage.gpu_memory_mb if gpu is None else gpu
        network = usage.network_bytes_transferred if network is None else network
    done.memory_used_mb = 0.0 if memory is None else memory
    done.cpu_percent_avg = 0.0 if cpu is None else cpu
    done.gpu_memory_mb = gpu
    done.network_bytes_transferred = 0 if network is None else network
    return 0


def set_reading(event, reading):
    event.cpu_percent, event.memory_mb = reading.cpu_percent, reading.memory_mb


def kpi_snapshot(agent_id, kpis, node_id, *, phase, evolution_id, timestamp):
    record = KpiSnapshot.record
    values = numbers(kpis, record, "kpis")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, float):
            raise InvalidEvent(record, str(name), f"{value!r} is not a number; leave the KPI out or give one")
    snapshot = KpiSnapshot(
        event_id=new_event_id(),
        agent_id=agent_id or "",
        node_id=node_id,
        occurred_at=micros(time.time() if timestamp is None else finite(timestamp, record, "timestamp")),
        evolution_id=evolution_id,
        phase=phase,
    )
    for name, value in values.items():
        if name in KPI_NAMES or name in META_KPIS:
            setattr(snapshot, name, value)
        elif name == "evaluation_count":
            snapshot.evaluation_count = whole(value, record, name)
        else:
            snapshot.extra[name] = value
    if snapshot.overall_performance is None:
        snapshot.overall_performance = performance(values)
    return snapshot
