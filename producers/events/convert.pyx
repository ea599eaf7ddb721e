# cython: language_level=3
"""From the objects that orchestrators pass in to typed events: design section 6, compiled.

An orchestrator's event is any object; an attribute that is missing, None, or raises takes its default. A
value that can't be kept is left out and noted (`left_out`), and the event is built without it. Signatures and
docstrings are in `convert.pyi`.

Long because every kind of event is converted field by field, with helpers that the compiler inlines into all
of them.
"""

include "values.pxi"

from libc.math cimport fabs, rint

from evometrics.producers.events.candidate import candidate_of
from evometrics.producers.events.open_evolutions import Clues
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent
from evometrics.producers.ticks import ticks
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed, EvolutionStarted, KpiSnapshot, now_micros
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.evolutions.snapshots import fill
from evometrics.schemas.kpis.performance import DIRECTIONS, MAXIMIZE, MINIMIZE, PARETO
from evometrics.schemas.rules.validation import HASH_TEXT, PHASES, PRUNED, REJECTED, STATUSES

#: Microseconds with an absolute value below this fit 64 bits.
DEF MOST_MICROS = 9.0e18
#: A time within this many seconds of the clock counts as read just now.
DEF LIVE = 2.0
#: If two clocks differ by more than this, seconds, one of them was set.
DEF STEPPED = 1.0
#: Other words by which an outcome may be given.
STATUS_WORDS = {
    "succeeded": "succeeded", "success": "succeeded", "completed": "succeeded",
    "failed": "failed", "failure": "failed", "error": "failed",
    "rolled_back": "rolled_back", "rollback": "rolled_back", "rolledback": "rolled_back",
    "pruned": "pruned", "rejected": "rejected",
}
#: Statuses of candidates that never became the agent's state: there is nothing to roll back.
NEVER_APPLIED = frozenset({PRUNED, REJECTED})
#: Other words by which a direction may be given.
DIRECTION_WORDS = {
    "maximize": MAXIMIZE, "maximise": MAXIMIZE, "max": MAXIMIZE,
    "minimize": MINIMIZE, "minimise": MINIMIZE, "min": MINIMIZE, "pareto": PARETO,
}
NO_AGENT = "is empty; give the agent's id"

cdef object new = object.__new__
cdef object new_tuple = tuple.__new__
cdef str STARTED = EvolutionStarted.record
cdef str COMPLETED = EvolutionCompleted.record


def evolution_id(agent_id, timestamp):
    return id_of(f"{agent_id}-{int(timestamp)}")


def texts(value, left_out):
    return texts_in(value, "metadata", left_out)


cdef object micros(double seconds):
    """Unix seconds as microseconds, rounded half to even like `round`."""
    cdef double found = seconds * 1_000_000
    return <long long>rint(found) if fabs(found) < MOST_MICROS else round(found)


cdef str agent_of(value, str record):
    """The agent's id. Raises `InvalidEvent` where there is none: the only thing that every event needs."""
    cdef str agent = text_of(value)
    if not agent:
        raise InvalidEvent(record, "agent_id", NO_AGENT)
    return agent


def clues(event, double now):
    # what is wrong with these values is noted where the event is built
    own = attribute(event, "evolution_id", UNNOTED)
    at = moment_of(attribute(event, "timestamp", UNNOTED), now, "timestamp", UNNOTED)
    # may be below 0: the clock may have been set since the start
    duration = number(in_seconds(attribute(event, "duration_seconds", UNNOTED)))
    found = (
        text_of(attribute(event, "agent_id", UNNOTED)),
        "" if own is None else id_of(own),
        now if at is None and duration is not None else at,
        duration,
        text_of(attribute(event, "evolution_type", UNNOTED)),
    )
    return new_tuple(Clues, found)  # calling the class costs twice as much


cdef inline object generation(event, dict metadata, left_out):
    """The generation that an event leads to, None where it names none.

    `generation_change` is a pair, from and to, or the size of the change: a size alone gives no generation,
    and is kept in the metadata.
    """
    value = attribute(event, "generation", left_out)
    if value is not None:
        return whole_of(value, "generation", left_out)
    change = attribute(event, "generation_change", left_out)
    if change is None:
        return None
    if isinstance(change, (tuple, list)):
        return whole_of(change[-1], "generation_change", left_out) if change else None
    by = whole_of(change, "generation_change", left_out)
    if by is not None and by != 0:
        metadata.setdefault("generation_change", str(by))
    return None


cdef inline bint begins(insight, str word) except -1:
    """Whether a text begins with a word of lower-case ASCII letters, ignoring case."""
    cdef Py_ssize_t i, n = PyUnicode_GET_LENGTH(word)
    if PyUnicode_GET_LENGTH(insight) < n:
        return False
    for i in range(n):
        # no character outside ASCII becomes one of these letters with bit 0x20 set
        if <int>PyUnicode_READ_CHAR(insight, i) | 0x20 != <int>PyUnicode_READ_CHAR(word, i):
            return False
    return True


def errors_and_warnings(insights):
    cdef Py_ssize_t errors = 0, warnings = 0
    for insight in insights:
        errors += begins(insight, "error")
        warnings += begins(insight, "warn")
    return errors, warnings


def rounds_to_best(fitness):
    return fitness.index(max(fitness)) + 1 if fitness else 0


def started_event(event, node_id, double now, left_out):
    agent = agent_of(attribute(event, "agent_id", left_out), STARTED)
    when = moment_of(attribute(event, "timestamp", left_out), now, "timestamp", left_out)
    if when is None:
        when = now
    own = attribute(event, "evolution_id", left_out)
    strategy = first_of(event, "strategy", "strategy_used", left_out)
    if strategy is None:
        strategy = attribute(event, "strategy_name", left_out)
    metadata = texts_in(attribute(event, "metadata", left_out), "metadata", left_out)
    level = generation(event, metadata, left_out)
    kind = name_of(attribute(event, "evolution_type", left_out), "evolution_type", left_out)
    pre = first_of(event, "pre_evolution_kpis", "pre_kpis", left_out)
    return EvolutionStarted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=("" if own is None else id_of(own)) or evolution_id(agent, when),
        evolution_type=kind or "unknown",
        generation=level or 0,
        strategy=name_of(strategy, "strategy", left_out),
        risk_level=name_of(attribute(event, "risk_level", left_out), "risk_level", left_out),
        target_gain=number_of(attribute(event, "target_gain", left_out), "target_gain", left_out),
        trigger_reason=text_of(attribute(event, "trigger_reason", left_out)),
        pre_kpis=numbers_in(pre, "pre_kpis", left_out, agent),
        metadata=metadata,
        run_id=run_of(event, left_out),
        model=name_or_none(attribute(event, "model", left_out), "model", left_out),
        objective=name_or_none(attribute(event, "objective", left_out), "objective", left_out),
        direction=direction_of(attribute(event, "direction", left_out), left_out),
    )


def progressed_event(given, node_id, double now, active, left_out):
    record = EvolutionProgressed.record
    started = None if active is None else active.started
    agent = text_of(given.agent_id) or ("" if started is None else started.agent_id)
    if not agent:
        raise InvalidEvent(record, "agent_id", NO_AGENT)
    when = moment_of(given.timestamp, now, "timestamp", left_out)
    if when is None:
        when = now
    if given.evolution_id is not None:
        own = id_of(given.evolution_id)
    else:
        own = "" if started is None else started.evolution_id
    iteration = whole_of(given.iteration, "iteration", left_out)
    fitness = number_of(given.fitness, "fitness", left_out)
    return EvolutionProgressed(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=own or evolution_id(agent, when),
        iteration=(0 if active is None else active.reported) if iteration is None else iteration,
        fitness=0.0 if fitness is None else fitness,
        unmeasured=[] if fitness is not None else ["fitness"],
        evaluations=count_of(attribute(given, "evaluations", left_out), "evaluations", left_out),
        mean=number_of(attribute(given, "mean", left_out), "mean", left_out),
        front_size=count_of(attribute(given, "front_size", left_out), "front_size", left_out),
        extras=numbers_in(attribute(given, "extras", left_out), "extras", left_out),
    )


def completed_event(event, node_id, double now, active, usage, left_out):
    # Every field is set separately: calling the class costs half as much as all the rest.
    done = new(EvolutionCompleted)
    started = None if active is None else active.started
    done.event_id, done.node_id = new_event_id(), node_id
    agent = attribute(event, "agent_id", left_out)
    done.agent_id = agent_of(started.agent_id if agent is None and started is not None else agent, COMPLETED)
    cdef list unmeasured = []
    done.unmeasured = unmeasured
    metadata = texts_in(attribute(event, "metadata", left_out), "metadata", left_out)
    if started is not None and started.metadata:
        metadata = {**started.metadata, **metadata}
        if LEFT_OUT in metadata:  # what the start had to leave out is named there
            del metadata[LEFT_OUT]
    done.metadata = metadata
    set_times(done, event, active, now, unmeasured, left_out)
    set_course(done, event, active, left_out)
    set_names(done, event, started, left_out)
    set_parents(done, event, left_out)
    set_candidate(done, event, left_out)
    set_kpis(done, event, started, left_out)
    set_outcome(done, event, left_out)
    set_usage(done, event, usage, unmeasured, left_out)
    return done


# When ----------------------------------------------------------------------------------------------------


cdef int set_times(done, event, active, double now, list unmeasured, left_out) except -1:
    """Set when it began and ended, and how long it took.

    `timestamp` is the end. It is the start where one object serves as both: where the recorded start has
    exactly the same, or, without one, where the end would be in the future and `timestamp` plus the duration
    is now.
    """
    cdef double end, start, lasted
    given = attribute(event, "timestamp", left_out)
    at = moment_of(given, now, "timestamp", left_out)
    taken = attribute(event, "duration_seconds", left_out)
    duration = seconds_of(taken, "duration_seconds", left_out)
    if active is not None:
        return set_measured_times(done, active, at, taken, duration, now, left_out)
    end = now if at is None else at
    if duration is not None and at is not None and type(event) is not EvolutionCompletionEvent:
        if began_at(end, duration, now):
            end += duration
    if duration is not None and duration > end:
        left_out.add("duration_seconds", taken, "began before 1970")
        duration = None
    if duration is None:
        unmeasured.append("duration_seconds")
    lasted = 0.0 if duration is None else duration
    done.occurred_at, done.duration_seconds = micros(end), lasted
    done.started_at = micros(end - lasted)
    return 0


cdef bint began_at(double at, double duration, double now):
    """Whether a time is the start, rather than the end, of what has just ended."""
    cdef double off = fabs(at + duration - now)
    return off <= LIVE and off < fabs(at - now)


cdef int set_measured_times(done, active, at, taken, duration, double now, left_out) except -1:
    """`set_times` where the start was recorded in this process, whose monotonic clock is more reliable than
    two readings of a clock that may have been set in between.
    """
    cdef double start = active.started.occurred_at / 1e6
    cdef double elapsed = ticks() - active.begun
    cdef double end = now if at is None else at
    cdef bint one_object = at is not None and micros(end) == active.started.occurred_at
    cdef bint live = active.live and (one_object or fabs(end - now) <= LIVE)
    cdef bint stepped = live and fabs((now - active.begun_at) - elapsed) > STEPPED
    if duration is not None and stepped and fabs(duration - (now - active.begun_at)) <= LIVE + 0.05 * elapsed:
        left_out.add("duration_seconds", taken, "the clock was set meanwhile; replaced by monotonic time")
        duration = None
    if one_object:
        end = now if live else start + (elapsed if duration is None else duration)
    if duration is not None and duration > end:
        left_out.add("duration_seconds", taken, "began before 1970")
        duration = None
    if duration is None:
        duration = elapsed if live or end <= start else end - start
    done.occurred_at, done.duration_seconds = micros(end), duration
    if stepped or start > end:
        done.started_at = max(0, micros(end - duration))
    else:
        done.started_at = active.started.occurred_at
    return 0


# What ----------------------------------------------------------------------------------------------------


cdef int set_course(done, event, active, left_out) except -1:
    """Set what happened during the evolution: generation, insights, fitness."""
    level = generation(event, done.metadata, left_out)
    done.generation = level if level is not None else 0 if active is None else active.started.generation
    done.insights = insights = texts_of(attribute(event, "insights", left_out), "insights", left_out)
    errors, warnings = errors_and_warnings(insights)
    own = count_of(attribute(event, "error_count", left_out), "error_count", left_out)
    done.error_count = errors if own is None else own
    own = count_of(attribute(event, "warning_count", left_out), "warning_count", left_out)
    done.warning_count = warnings if own is None else own
    given = attribute(event, "fitness_trajectory", left_out)
    fitness = [] if given is None else numbers_of(given, "fitness_trajectory", left_out)
    done.progress_share = None
    rounds = count_of(
        attribute(event, "convergence_iterations", left_out), "convergence_iterations", left_out
    )
    if active is not None and active.reported:
        done.progress_share = min(1.0, active.recorded / active.reported)
        if not fitness:
            fitness = active.fitness.points(left_out)
            if rounds is None:
                rounds = active.fitness.best_after
    done.fitness_trajectory = fitness
    done.convergence_iterations = rounds_to_best(fitness) if rounds is None else rounds
    return 0


cdef int set_names(done, event, started, left_out) except -1:
    """Set names and grouping of the evolution: the event's own values, else its start's."""
    kind = name_of(attribute(event, "evolution_type", left_out), "evolution_type", left_out)
    level = name_of(attribute(event, "risk_level", left_out), "risk_level", left_out)
    given = first_of(event, "strategy_used", "strategy", left_out)
    if given is None:
        given = attribute(event, "strategy_name", left_out)
    strategy = name_of(given, "strategy_used", left_out)
    reason = text_of(attribute(event, "trigger_reason", left_out))
    if started is None:
        own = attribute(event, "evolution_id", left_out)
        own = "" if own is None else id_of(own)
        done.evolution_id = own or evolution_id(done.agent_id, done.started_at / 1e6)
        done.evolution_type = kind or "unknown"
        done.strategy_used, done.risk_level, done.trigger_reason = strategy, level, reason
    else:
        done.evolution_id = started.evolution_id
        done.evolution_type = kind if kind and kind != "unknown" else started.evolution_type
        done.strategy_used = strategy or started.strategy
        done.risk_level = level or started.risk_level
        done.trigger_reason = reason or started.trigger_reason
    run, model = run_of(event, left_out), attribute(event, "model", left_out)
    model = name_or_none(model, "model", left_out)
    objective = name_or_none(attribute(event, "objective", left_out), "objective", left_out)
    direction = direction_of(attribute(event, "direction", left_out), left_out)
    if started is not None:
        run = started.run_id if run is None else run
        model = started.model if model is None else model
        if objective is None and direction is None:
            objective, direction = started.objective, started.direction
    done.run_id, done.model, done.objective, done.direction = run, model, objective, direction
    return 0


cdef object name_or_none(value, str name, left_out):
    """A name, None where it was not given or is empty."""
    return None if value is None else name_of(value, name, left_out) or None


cdef object run_of(event, left_out):
    """The id of an event's run, None where it names none."""
    value = attribute(event, "run_id", left_out)
    return None if value is None else id_of(value) or None


cdef object direction_of(value, left_out):
    """One of the three words; None where it was not given or is not one of them, which is noted."""
    if value is None:
        return None
    found = DIRECTION_WORDS.get(text_of(value).strip().lower())
    if found is None and isinstance(value, enum.Enum):  # of a framework: its values may be numbers
        found = DIRECTION_WORDS.get(text_of(value.name).lower())
    if found is None:
        left_out.add("direction", value, f"is not one of {', '.join(DIRECTIONS)}")
    return found


cdef int set_parents(done, event, left_out) except -1:
    """Set the agents whose states it was made from: `parent_agent_id` is the first of `parent_agent_ids`."""
    cdef list parents = []
    value = attribute(event, "parent_agent_id", left_out)
    first = None if value is None else parent_of(value, "parent_agent_id", "", left_out)
    value = attribute(event, "parent_agent_ids", left_out)
    if value is not None:
        for place, item in enumerate(items_of(value, "parent_agent_ids", left_out)):
            one = parent_of(item, "parent_agent_ids", str(place), left_out)
            if one is not None:
                parents.append(one)
    if first is None:
        first = parents[0] if parents else None
    elif not parents or parents[0] != first:
        parents = [first] + [one for one in parents if one != first]
    done.parent_agent_id, done.parent_agent_ids = first, parents
    return 0


cdef object parent_of(value, str name, str place, left_out):
    """A parent's id; None where it is empty or longer than any agent's, which is noted."""
    cdef str found = text_of(value)
    cdef Py_ssize_t length = PyUnicode_GET_LENGTH(found)
    if 0 < length <= MOST_NAME:
        return found
    reason = f"has {length} characters; an agent's id has at most {NAME_CHARACTERS}" if length else "is empty"
    if place:
        left_out.add_within(name, place, found, reason)
    else:
        left_out.add(name, found, reason)
    return None


cdef int set_candidate(done, event, left_out) except -1:
    """Set the program or prompt that was tried, its hash, and what trying it took."""
    value = attribute(event, "candidate_hash", left_out)
    known = None if value is None else text_of(value).strip().lower()
    if known is not None and HASH_TEXT.fullmatch(known) is None:
        left_out.add("candidate_hash", value, "is not a SHA-256 of 64 hexadecimal digits")
        known = None
    candidate = attribute(event, "candidate", left_out)
    if candidate is not None:
        text = text_of(candidate)
        candidate, digest, cut = candidate_of(text)
        known = digest if known is None else known
        if cut:
            left_out.add("candidate", text, cut)
    done.candidate, done.candidate_hash = candidate, known
    done.tokens_in = count_of(attribute(event, "tokens_in", left_out), "tokens_in", left_out)
    done.tokens_out = count_of(attribute(event, "tokens_out", left_out), "tokens_out", left_out)
    done.evaluations = count_of(attribute(event, "evaluations", left_out), "evaluations", left_out)
    return 0


cdef int set_kpis(done, event, started, left_out) except -1:
    """Set the KPIs before and after, the target gain and what the evolution cost."""
    given = first_of(event, "pre_evolution_kpis", "pre_kpis", left_out)
    pre = numbers_in(given, "pre_kpis", left_out, done.agent_id)
    done.pre_kpis = dict(started.pre_kpis) if not pre and started is not None else pre
    given = first_of(event, "post_evolution_kpis", "post_kpis", left_out)
    done.post_kpis = numbers_in(given, "post_kpis", left_out, done.agent_id)
    target = number_of(attribute(event, "target_gain", left_out), "target_gain", left_out)
    done.target_gain = started.target_gain if target is None and started is not None else target
    done.cost_usd = amount_of(attribute(event, "cost_usd", left_out), "cost_usd", left_out)
    return 0


cdef int set_outcome(done, event, left_out) except -1:
    """Set the outcome. `status` takes precedence, then `rollback_performed`, then `success`; values that
    contradict it are noted.
    """
    cdef bint won
    given = attribute(event, "success", left_out)
    success = truth_of(given, "success", left_out)
    rolled_back = truth_of(
        attribute(event, "rollback_performed", left_out), "rollback_performed", left_out
    )
    own = attribute(event, "status", left_out)
    status = None if own is None else status_of(own, left_out)
    if status is None:
        status = "rolled_back" if rolled_back else "succeeded" if success else "failed"
    won = status == "succeeded"
    if success is not None and bool(success) != won:
        left_out.add("success", given, f"contradicts the outcome, which is {status}")
    if rolled_back and (won or status in NEVER_APPLIED):
        left_out.add("rollback_performed", rolled_back, f"contradicts the status, which is {status}")
        rolled_back = False
    done.status, done.success = status, won
    done.rollback_performed = bool(rolled_back) or status == "rolled_back"
    return 0


cdef object status_of(value, left_out):
    """One of `STATUSES`; None where it is not one of them, which is noted."""
    word = text_of(value)
    found = STATUS_WORDS.get(word)
    if found is None:
        found = STATUS_WORDS.get(word.strip().lower().replace("-", "_").replace(" ", "_"))
    if found is None:
        left_out.add("status", value, f"is not one of {', '.join(sorted(STATUSES))}")
    return found


cdef int set_usage(done, event, usage, list unmeasured, left_out) except -1:
    """Set the resources: the event's own figures (an agent that ran elsewhere), else the sampler's."""
    memory = amount_of(attribute(event, "memory_used_mb", left_out), "memory_used_mb", left_out)
    cpu = amount_of(attribute(event, "cpu_percent_avg", left_out), "cpu_percent_avg", left_out)
    gpu = amount_of(attribute(event, "gpu_memory_mb", left_out), "gpu_memory_mb", left_out)
    network = count_of(
        attribute(event, "network_bytes_transferred", left_out), "network_bytes_transferred", left_out
    )
    if usage is not None:
        memory = usage.memory_used_mb if memory is None else memory
        cpu = usage.cpu_percent_avg if cpu is None else cpu
        gpu = usage.gpu_memory_mb if gpu is None else gpu
        network = usage.network_bytes_transferred if network is None else network
    if memory is None:
        unmeasured.append("memory_used_mb")
    if cpu is None:
        unmeasured.append("cpu_percent_avg")
    if network is None:
        unmeasured.append("network_bytes_transferred")
    done.memory_used_mb = 0.0 if memory is None else memory
    done.cpu_percent_avg = 0.0 if cpu is None else cpu
    done.gpu_memory_mb = gpu
    done.network_bytes_transferred = 0 if network is None else network
    return 0


def set_reading(event, reading):
    if reading.cpu_percent is None:
        event.unmeasured.append("cpu_percent")
    if reading.memory_mb is None:
        event.unmeasured.append("memory_mb")
    event.cpu_percent = reading.cpu_percent or 0.0
    event.memory_mb = reading.memory_mb or 0.0


# Snapshots -----------------------------------------------------------------------------------------------


def kpi_snapshot(
    agent_id, kpis, node_id, double now, left_out, *, phase, evolution_id, timestamp, objective, direction
):
    agent = agent_of(agent_id, KpiSnapshot.record)
    when = moment_of(timestamp, now, "timestamp", left_out)
    snapshot = KpiSnapshot(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(now if when is None else when),
        evolution_id=None if evolution_id is None else id_of(evolution_id),
        phase=phase_of(phase, left_out),
        objective=name_or_none(objective, "objective", left_out),
        direction=direction_of(direction, left_out),
    )
    values = numbers_in(kpis, "kpis", left_out, agent)
    fill(snapshot, values)
    return snapshot, values


cdef str phase_of(value, left_out):
    """One of the four phases; an unknown one counts as continuous."""
    word = text_of(value).strip().lower()
    if word in PHASES:
        return word
    if value is not None:
        left_out.add("phase", value, f"is not one of {', '.join(sorted(PHASES))}")
    return "continuous"
