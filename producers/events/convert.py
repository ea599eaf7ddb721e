# cython: annotation_typing=False, boundscheck=False, wraparound=True
"""From the objects that orchestrators pass in to typed events: design section 6.

An orchestrator's event is any object; an attribute that is missing, None, or raises takes its default. A
value that can't be kept is left out and noted (`left_out`), and the event is built without it. Compiled, with
`values`, whose functions it then calls in C.

Long because every kind of event is converted field by field, the usual way all in C.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

from evometrics.producers.events import primitives, values
from evometrics.producers.events.candidate import candidate_of
from evometrics.producers.events.evolution_events import EvolutionCompletionEvent
from evometrics.producers.events.left_out import LEFT_OUT, UNNOTED, LeftOut
from evometrics.producers.events.open_evolutions import ActiveEvolution, Clues
from evometrics.producers.resources.sampler import ProcessReading, Usage
from evometrics.producers.ticks import ticks
from evometrics.schemas.events import EvolutionCompleted, EvolutionProgressed, EvolutionStarted, KpiSnapshot
from evometrics.schemas.evolutions.snapshots import fill
from evometrics.schemas.ids import new_event_id
from evometrics.schemas.kpis.performance import DIRECTIONS, MAXIMIZE, MINIMIZE, PARETO
from evometrics.schemas.rules.validation import (
    HASH_TEXT,
    NAME_CHARACTERS,
    PHASES,
    PRUNED,
    REJECTED,
    STATUSES,
    InvalidEvent,
)

#: A time within this many seconds of the clock counts as read just now.
LIVE = 2.0
#: If two clocks differ by more than this, seconds, one of them was set.
STEPPED = 1.0
#: Other words by which an outcome may be given.
STATUS_WORDS = {
    "succeeded": "succeeded",
    "success": "succeeded",
    "completed": "succeeded",
    "failed": "failed",
    "failure": "failed",
    "error": "failed",
    "rolled_back": "rolled_back",
    "rollback": "rolled_back",
    "rolledback": "rolled_back",
    "pruned": "pruned",
    "rejected": "rejected",
}
#: Statuses of candidates that never became the agent's state: there is nothing to roll back.
NEVER_APPLIED = frozenset({PRUNED, REJECTED})
#: Other words by which a direction may be given.
DIRECTION_WORDS = {
    "maximize": MAXIMIZE,
    "maximise": MAXIMIZE,
    "max": MAXIMIZE,
    "minimize": MINIMIZE,
    "minimise": MINIMIZE,
    "min": MINIMIZE,
    "pareto": PARETO,
}
NO_AGENT = "is empty; give the agent's id"

new: Any = object.__new__
new_tuple: Any = tuple.__new__
STARTED = EvolutionStarted.record
COMPLETED = EvolutionCompleted.record


def evolution_id(agent_id: str, timestamp: float) -> str:
    """Return an id for an evolution that was given none."""
    return values.id_of(f"{agent_id}-{int(timestamp)}")


def micros(seconds: float) -> int:
    """Unix seconds as microseconds, rounded half to even like `round`."""
    return primitives.nearest(seconds * 1_000_000)


def agent_of(value: Any, record: str) -> str:
    """The agent's id. Raises `InvalidEvent` where there is none: the only thing that every event needs."""
    agent = values.text_of(value)
    if not agent:
        raise InvalidEvent(record, "agent_id", NO_AGENT)
    return agent


def clues(event: object, now: float) -> Clues:
    """Return the fields by which an event names its evolution."""
    # what is wrong with these values is noted where the event is built
    own = values.attribute(event, "evolution_id", UNNOTED)
    at = values.moment_of(values.attribute(event, "timestamp", UNNOTED), now, "timestamp", UNNOTED)
    # may be below 0: the clock may have been set since the start
    duration = values.number(values.in_seconds(values.attribute(event, "duration_seconds", UNNOTED)))
    found = (
        values.text_of(values.attribute(event, "agent_id", UNNOTED)),
        "" if own is None else values.id_of(own),
        now if at is None and duration is not None else at,
        duration,
        values.text_of(values.attribute(event, "evolution_type", UNNOTED)),
    )
    named: Clues = new_tuple(Clues, found)  # calling the class costs twice as much
    return named


def generation(event: object, metadata: dict[str, str], left_out: LeftOut) -> int | None:
    """The generation that an event leads to, None where it names none.

    `generation_change` is a pair, from and to, or the size of the change: a size alone gives no generation,
    and is kept in the metadata.
    """
    value = values.attribute(event, "generation", left_out)
    if value is not None:
        return values.whole_of(value, "generation", left_out)
    change = values.attribute(event, "generation_change", left_out)
    if change is None:
        return None
    if isinstance(change, (tuple, list)):
        return values.whole_of(change[-1], "generation_change", left_out) if change else None
    by = values.whole_of(change, "generation_change", left_out)
    if by is not None and by != 0:
        metadata.setdefault("generation_change", str(by))
    return None


def begins(insight: str, word: str) -> bool:
    """Whether a text begins with a word of lower-case ASCII letters, ignoring case."""
    if len(insight) < len(word):
        return False
    for i in range(len(word)):
        # no character outside ASCII becomes one of these letters with bit 0x20 set
        if ord(insight[i]) | 0x20 != ord(word[i]):
            return False
    return True


def errors_and_warnings(insights: Iterable[str]) -> tuple[int, int]:
    """Count the insights that begin with "error", and those that begin with "warn", ignoring case."""
    errors = warnings = 0
    for insight in insights:
        errors += begins(insight, "error")
        warnings += begins(insight, "warn")
    return errors, warnings


def rounds_to_best(fitness: list[float]) -> int:
    """Return the number of iterations until the fitness stopped improving."""
    return fitness.index(max(fitness)) + 1 if fitness else 0


def started_event(event: object, node_id: str, now: float, left_out: LeftOut) -> EvolutionStarted:
    """Build the start of an evolution. Raises `InvalidEvent` where it names no agent."""
    agent = agent_of(values.attribute(event, "agent_id", left_out), STARTED)
    when = values.moment_of(values.attribute(event, "timestamp", left_out), now, "timestamp", left_out)
    if when is None:
        when = now
    own = values.attribute(event, "evolution_id", left_out)
    strategy = values.first_of(event, "strategy", "strategy_used", left_out)
    if strategy is None:
        strategy = values.attribute(event, "strategy_name", left_out)
    metadata = values.texts_in(values.attribute(event, "metadata", left_out), "metadata", left_out)
    level = generation(event, metadata, left_out)
    kind = values.name_of(values.attribute(event, "evolution_type", left_out), "evolution_type", left_out)
    pre = values.first_of(event, "pre_evolution_kpis", "pre_kpis", left_out)
    target = values.attribute(event, "target_gain", left_out)
    return EvolutionStarted(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=("" if own is None else values.id_of(own)) or evolution_id(agent, when),
        evolution_type=kind or "unknown",
        generation=level or 0,
        strategy=values.name_of(strategy, "strategy", left_out),
        risk_level=values.name_of(values.attribute(event, "risk_level", left_out), "risk_level", left_out),
        target_gain=values.number_of(target, "target_gain", left_out),
        trigger_reason=values.text_of(values.attribute(event, "trigger_reason", left_out)),
        pre_kpis=values.numbers_in(pre, "pre_kpis", left_out, agent),
        metadata=metadata,
        run_id=run_of(event, left_out),
        model=name_or_none(values.attribute(event, "model", left_out), "model", left_out),
        objective=name_or_none(values.attribute(event, "objective", left_out), "objective", left_out),
        direction=direction_of(values.attribute(event, "direction", left_out), left_out),
    )


def progressed_event(
    given: Any, node_id: str, now: float, active: ActiveEvolution | None, left_out: LeftOut
) -> EvolutionProgressed:
    """Build an iteration from agent_id, iteration, fitness, evolution_id and timestamp, and further figures.

    Raises `InvalidEvent` where it names no agent.
    """
    record = EvolutionProgressed.record
    started = None if active is None else active.started
    agent = values.text_of(given.agent_id) or ("" if started is None else started.agent_id)
    if not agent:
        raise InvalidEvent(record, "agent_id", NO_AGENT)
    when = values.moment_of(given.timestamp, now, "timestamp", left_out)
    if when is None:
        when = now
    if given.evolution_id is not None:
        own = values.id_of(given.evolution_id)
    else:
        own = "" if started is None else started.evolution_id
    iteration = values.whole_of(given.iteration, "iteration", left_out)
    fitness = values.number_of(given.fitness, "fitness", left_out)
    tried = values.attribute(given, "evaluations", left_out)
    return EvolutionProgressed(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(when),
        evolution_id=own or evolution_id(agent, when),
        iteration=(0 if active is None else active.reported) if iteration is None else iteration,
        fitness=0.0 if fitness is None else fitness,
        unmeasured=[] if fitness is not None else ["fitness"],
        evaluations=values.count_of(tried, "evaluations", left_out),
        mean=values.number_of(values.attribute(given, "mean", left_out), "mean", left_out),
        front_size=values.count_of(values.attribute(given, "front_size", left_out), "front_size", left_out),
        extras=values.numbers_in(values.attribute(given, "extras", left_out), "extras", left_out),
    )


def completed_event(
    event: object,
    node_id: str,
    now: float,
    active: ActiveEvolution | None,
    usage: Usage | None,
    left_out: LeftOut,
) -> EvolutionCompleted:
    """Build the completion of an evolution; missing values come from its start and its resource readings.

    Raises `InvalidEvent` where it names no agent.
    """
    # Every field is set separately: calling the class costs half as much as all the rest.
    done: EvolutionCompleted = new(EvolutionCompleted)
    started = None if active is None else active.started
    done.event_id, done.node_id = new_event_id(), node_id
    agent = values.attribute(event, "agent_id", left_out)
    done.agent_id = agent_of(started.agent_id if agent is None and started is not None else agent, COMPLETED)
    done.unmeasured = []
    metadata = values.texts_in(values.attribute(event, "metadata", left_out), "metadata", left_out)
    if started is not None and started.metadata:
        metadata = {**started.metadata, **metadata}
        if LEFT_OUT in metadata:  # what the start had to leave out is named there
            del metadata[LEFT_OUT]
    done.metadata = metadata
    set_times(done, event, active, now, left_out)
    set_course(done, event, active, left_out)
    set_names(done, event, started, left_out)
    set_parents(done, event, left_out)
    set_candidate(done, event, left_out)
    set_kpis(done, event, started, left_out)
    set_outcome(done, event, left_out)
    set_usage(done, event, usage, left_out)
    return done


# When ----------------------------------------------------------------------------------------------------


def set_times(
    done: EvolutionCompleted,
    event: object,
    active: ActiveEvolution | None,
    now: float,
    left_out: LeftOut,
) -> None:
    """Set when it began and ended, and how long it took.

    `timestamp` is the end. It is the start where one object serves as both: where the recorded start has
    exactly the same, or, without one, where the end would be in the future and `timestamp` plus the duration
    is now.
    """
    given = values.attribute(event, "timestamp", left_out)
    at = values.moment_of(given, now, "timestamp", left_out)
    taken = values.attribute(event, "duration_seconds", left_out)
    duration = values.seconds_of(taken, "duration_seconds", left_out)
    if active is not None:
        set_measured_times(done, active, at, taken, duration, now, left_out)
        return
    end = now if at is None else at
    if (
        duration is not None
        and at is not None
        and type(event) is not EvolutionCompletionEvent
        and began_at(end, duration, now)
    ):
        end += duration
    if duration is not None and duration > end:
        left_out.add("duration_seconds", taken, "began before 1970")
        duration = None
    if duration is None:
        done.unmeasured.append("duration_seconds")
    lasted = 0.0 if duration is None else duration
    done.occurred_at, done.duration_seconds = micros(end), lasted
    done.started_at = micros(end - lasted)


def began_at(at: float, duration: float, now: float) -> bool:
    """Whether a time is the start, rather than the end, of what has just ended."""
    off = abs(at + duration - now)
    return off <= LIVE and off < abs(at - now)


def set_measured_times(
    done: EvolutionCompleted,
    active: ActiveEvolution,
    at: float | None,
    taken: Any,
    duration: float | None,
    now: float,
    left_out: LeftOut,
) -> None:
    """`set_times` where the start was recorded in this process, whose monotonic clock is more reliable than
    two readings of a clock that may have been set in between.
    """
    start = active.started.occurred_at / 1e6
    elapsed = ticks() - active.begun
    end = now if at is None else at
    one_object = at is not None and micros(end) == active.started.occurred_at
    live = active.live and (one_object or abs(end - now) <= LIVE)
    stepped = live and abs((now - active.begun_at) - elapsed) > STEPPED
    if duration is not None and stepped and abs(duration - (now - active.begun_at)) <= LIVE + 0.05 * elapsed:
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


# What ----------------------------------------------------------------------------------------------------


def set_course(
    done: EvolutionCompleted, event: object, active: ActiveEvolution | None, left_out: LeftOut
) -> None:
    """Set what happened during the evolution: generation, insights, fitness."""
    level = generation(event, done.metadata, left_out)
    done.generation = level if level is not None else 0 if active is None else active.started.generation
    given = values.attribute(event, "insights", left_out)
    done.insights = insights = values.texts_of(given, "insights", left_out)
    errors, warnings = errors_and_warnings(insights)
    own = values.count_of(values.attribute(event, "error_count", left_out), "error_count", left_out)
    done.error_count = errors if own is None else own
    own = values.count_of(values.attribute(event, "warning_count", left_out), "warning_count", left_out)
    done.warning_count = warnings if own is None else own
    given = values.attribute(event, "fitness_trajectory", left_out)
    fitness = [] if given is None else values.numbers_of(given, "fitness_trajectory", left_out)
    done.progress_share = None
    rounds = values.count_of(
        values.attribute(event, "convergence_iterations", left_out), "convergence_iterations", left_out
    )
    if active is not None and active.reported:
        done.progress_share = min(1.0, active.recorded / active.reported)
        if not fitness:
            fitness = active.fitness.points(left_out)
            if rounds is None:
                rounds = active.fitness.best_after
    done.fitness_trajectory = fitness
    done.convergence_iterations = rounds_to_best(fitness) if rounds is None else rounds


def set_names(
    done: EvolutionCompleted, event: object, started: EvolutionStarted | None, left_out: LeftOut
) -> None:
    """Set names and grouping of the evolution: the event's own values, else its start's."""
    kind = values.name_of(values.attribute(event, "evolution_type", left_out), "evolution_type", left_out)
    level = values.name_of(values.attribute(event, "risk_level", left_out), "risk_level", left_out)
    given = values.first_of(event, "strategy_used", "strategy", left_out)
    if given is None:
        given = values.attribute(event, "strategy_name", left_out)
    strategy = values.name_of(given, "strategy_used", left_out)
    reason = values.text_of(values.attribute(event, "trigger_reason", left_out))
    if started is None:
        own = values.attribute(event, "evolution_id", left_out)
        own = "" if own is None else values.id_of(own)
        done.evolution_id = own or evolution_id(done.agent_id, done.started_at / 1e6)
        done.evolution_type = kind or "unknown"
        done.strategy_used, done.risk_level, done.trigger_reason = strategy, level, reason
    else:
        done.evolution_id = started.evolution_id
        done.evolution_type = kind if kind and kind != "unknown" else started.evolution_type
        done.strategy_used = strategy or started.strategy
        done.risk_level = level or started.risk_level
        done.trigger_reason = reason or started.trigger_reason
    run, model = run_of(event, left_out), values.attribute(event, "model", left_out)
    model = name_or_none(model, "model", left_out)
    objective = name_or_none(values.attribute(event, "objective", left_out), "objective", left_out)
    direction = direction_of(values.attribute(event, "direction", left_out), left_out)
    if started is not None:
        run = started.run_id if run is None else run
        model = started.model if model is None else model
        if objective is None and direction is None:
            objective, direction = started.objective, started.direction
    done.run_id, done.model, done.objective, done.direction = run, model, objective, direction


def name_or_none(value: Any, name: str, left_out: LeftOut) -> str | None:
    """A name, None where it was not given or is empty."""
    return None if value is None else values.name_of(value, name, left_out) or None


def run_of(event: object, left_out: LeftOut) -> str | None:
    """The id of an event's run, None where it names none."""
    value = values.attribute(event, "run_id", left_out)
    return None if value is None else values.id_of(value) or None


def direction_of(value: Any, left_out: LeftOut) -> str | None:
    """One of the three words; None where it was not given or is not one of them, which is noted."""
    if value is None:
        return None
    found = DIRECTION_WORDS.get(values.text_of(value).strip().lower())
    if found is None and isinstance(value, enum.Enum):  # of a framework: its values may be numbers
        found = DIRECTION_WORDS.get(values.text_of(value.name).lower())
    if found is None:
        left_out.add("direction", value, f"is not one of {', '.join(DIRECTIONS)}")
    return found


def set_parents(done: EvolutionCompleted, event: object, left_out: LeftOut) -> None:
    """Set the agents whose states it was made from: `parent_agent_id` is the first of `parent_agent_ids`."""
    parents = []
    value = values.attribute(event, "parent_agent_id", left_out)
    first = None if value is None else parent_of(value, "parent_agent_id", "", left_out)
    value = values.attribute(event, "parent_agent_ids", left_out)
    if value is not None:
        for place, item in enumerate(values.items_of(value, "parent_agent_ids", left_out)):
            one = parent_of(item, "parent_agent_ids", str(place), left_out)
            if one is not None:
                parents.append(one)
    if first is None:
        first = parents[0] if parents else None
    elif not parents or parents[0] != first:
        parents = [first] + [one for one in parents if one != first]
    done.parent_agent_id, done.parent_agent_ids = first, parents


def parent_of(value: Any, name: str, place: str, left_out: LeftOut) -> str | None:
    """A parent's id; None where it is empty or longer than any agent's, which is noted."""
    found = values.text_of(value)
    length = len(found)
    if 0 < length <= NAME_CHARACTERS:
        return found
    reason = f"has {length} characters; an agent's id has at most {NAME_CHARACTERS}" if length else "is empty"
    if place:
        left_out.add_within(name, place, found, reason)
    else:
        left_out.add(name, found, reason)
    return None


def set_candidate(done: EvolutionCompleted, event: object, left_out: LeftOut) -> None:
    """Set the program or prompt that was tried, its hash, and what trying it took."""
    value = values.attribute(event, "candidate_hash", left_out)
    known = None if value is None else values.text_of(value).strip().lower()
    if known is not None and HASH_TEXT.fullmatch(known) is None:
        left_out.add("candidate_hash", value, "is not a SHA-256 of 64 hexadecimal digits")
        known = None
    candidate = values.attribute(event, "candidate", left_out)
    if candidate is not None:
        text = values.text_of(candidate)
        candidate, digest, cut = candidate_of(text)
        known = digest if known is None else known
        if cut:
            left_out.add("candidate", text, cut)
    done.candidate, done.candidate_hash = candidate, known
    done.tokens_in = values.count_of(values.attribute(event, "tokens_in", left_out), "tokens_in", left_out)
    done.tokens_out = values.count_of(values.attribute(event, "tokens_out", left_out), "tokens_out", left_out)
    tried = values.attribute(event, "evaluations", left_out)
    done.evaluations = values.count_of(tried, "evaluations", left_out)


def set_kpis(
    done: EvolutionCompleted, event: object, started: EvolutionStarted | None, left_out: LeftOut
) -> None:
    """Set the KPIs before and after, the target gain and what the evolution cost."""
    given = values.first_of(event, "pre_evolution_kpis", "pre_kpis", left_out)
    pre = values.numbers_in(given, "pre_kpis", left_out, done.agent_id)
    done.pre_kpis = dict(started.pre_kpis) if not pre and started is not None else pre
    given = values.first_of(event, "post_evolution_kpis", "post_kpis", left_out)
    done.post_kpis = values.numbers_in(given, "post_kpis", left_out, done.agent_id)
    target = values.number_of(values.attribute(event, "target_gain", left_out), "target_gain", left_out)
    done.target_gain = started.target_gain if target is None and started is not None else target
    done.cost_usd = values.amount_of(values.attribute(event, "cost_usd", left_out), "cost_usd", left_out)


def set_outcome(done: EvolutionCompleted, event: object, left_out: LeftOut) -> None:
    """Set the outcome. `status` takes precedence, then `rollback_performed`, then `success`; values that
    contradict it are noted.
    """
    given = values.attribute(event, "success", left_out)
    success = values.truth_of(given, "success", left_out)
    rolled_back = values.truth_of(
        values.attribute(event, "rollback_performed", left_out), "rollback_performed", left_out
    )
    own = values.attribute(event, "status", left_out)
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


def status_of(value: Any, left_out: LeftOut) -> str | None:
    """One of `STATUSES`; None where it is not one of them, which is noted."""
    word = values.text_of(value)
    found = STATUS_WORDS.get(word)
    if found is None:
        found = STATUS_WORDS.get(word.strip().lower().replace("-", "_").replace(" ", "_"))
    if found is None:
        left_out.add("status", value, f"is not one of {', '.join(sorted(STATUSES))}")
    return found


def set_usage(done: EvolutionCompleted, event: object, usage: Usage | None, left_out: LeftOut) -> None:
    """Set the resources: the event's own figures (an agent that ran elsewhere), else the sampler's."""
    memory = values.amount_of(values.attribute(event, "memory_used_mb", left_out), "memory_used_mb", left_out)
    cpu = values.amount_of(values.attribute(event, "cpu_percent_avg", left_out), "cpu_percent_avg", left_out)
    gpu = values.amount_of(values.attribute(event, "gpu_memory_mb", left_out), "gpu_memory_mb", left_out)
    network = values.count_of(
        values.attribute(event, "network_bytes_transferred", left_out), "network_bytes_transferred", left_out
    )
    if usage is not None:
        memory = usage.memory_used_mb if memory is None else memory
        cpu = usage.cpu_percent_avg if cpu is None else cpu
        gpu = usage.gpu_memory_mb if gpu is None else gpu
        network = usage.network_bytes_transferred if network is None else network
    if memory is None:
        done.unmeasured.append("memory_used_mb")
    if cpu is None:
        done.unmeasured.append("cpu_percent_avg")
    if network is None:
        done.unmeasured.append("network_bytes_transferred")
    done.memory_used_mb = 0.0 if memory is None else memory
    done.cpu_percent_avg = 0.0 if cpu is None else cpu
    done.gpu_memory_mb = gpu
    done.network_bytes_transferred = 0 if network is None else network


def set_reading(event: Any, reading: ProcessReading) -> None:
    """Set the process's current figures."""
    if reading.cpu_percent is None:
        event.unmeasured.append("cpu_percent")
    if reading.memory_mb is None:
        event.unmeasured.append("memory_mb")
    event.cpu_percent = reading.cpu_percent or 0.0
    event.memory_mb = reading.memory_mb or 0.0


# Snapshots -----------------------------------------------------------------------------------------------


def kpi_snapshot(
    agent_id: Any,
    kpis: Any,
    node_id: str,
    now: float,
    left_out: LeftOut,
    *,
    phase: Any,
    evolution_id: Any,
    timestamp: Any,
    objective: Any,
    direction: Any,
) -> tuple[KpiSnapshot, dict[str, float]]:
    """Build a snapshot, and return it with its KPIs: standard ones in their fields, others in `extra`.

    Raises `InvalidEvent` where it names no agent.
    """
    agent = agent_of(agent_id, KpiSnapshot.record)
    when = values.moment_of(timestamp, now, "timestamp", left_out)
    snapshot = KpiSnapshot(
        event_id=new_event_id(),
        agent_id=agent,
        node_id=node_id,
        occurred_at=micros(now if when is None else when),
        evolution_id=None if evolution_id is None else values.id_of(evolution_id),
        phase=phase_of(phase, left_out),
        objective=name_or_none(objective, "objective", left_out),
        direction=direction_of(direction, left_out),
    )
    measured = values.numbers_in(kpis, "kpis", left_out, agent)
    fill(snapshot, measured)
    return snapshot, measured


def phase_of(value: Any, left_out: LeftOut) -> str:
    """One of the four phases; an unknown one counts as continuous."""
    word = values.text_of(value).strip().lower()
    if word in PHASES:
        return word
    if value is not None:
        left_out.add("phase", value, f"is not one of {', '.join(sorted(PHASES))}")
    return "continuous"
