# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The rows that a stream worker makes most: of completions, of KPI snapshots, and success rates.

No event or map object is made of a completion or a snapshot. Its datum is walked through once; the fields that
the stream goes by are taken out, the figures are computed, and the row is assembled, most of it from the
datum's own bytes. Anything that is not encoded as writers write it, and anything that
`screening.surely_valid` would not pass, raises `Unusual`: the caller then uses the slow functions, which agree
with everything that is read here (`metrics`, `deltas`). Arguments and results are described in `rows.py`.

Long because readers and rows share C structs and inlined helpers: in separate modules each would be a call.
"""

from evometrics.schemas.kpis cimport formula

from evometrics.schemas.events import (
    EvolutionCompleted, EvolutionMetrics, EvolutionStarted, KpiDelta, KpiSnapshot
)
from evometrics.schemas.evolutions.joining import Lack
from evometrics.schemas.evolutions.outcome import METRICS_IDENTITY, unmeasured_in_row
from evometrics.schemas.ids import name_hash
from evometrics.schemas.kpis.formula import ABSENT
from evometrics.schemas.kpis.performance import (
    DIRECTIONS, EVOLVE, FORMULA_KPIS, KPI_NAMES, MINIMIZE, PARETO, RETAIN, RETIRE, USUAL
)
from evometrics.schemas.rules.validation import (
    EVOLUTION_PHASES, MAX_AHEAD_MICROS, NAME_CHARACTERS, PHASES, POST, PRE, STATUSES
)
from evometrics.schemas.wire.binary import KINDS, Unusual, write_text
from evometrics.schemas.wire.catalog import newest
from evometrics.schemas.wire.codec import fields_of

include "../../schemas/wire/avro.pxi"
include "../../schemas/uuid.pxi"

from libc.math cimport INFINITY, fabs
from libc.stdint cimport int8_t
from libc.string cimport memset

DEF L_PRE_KPIS = 1
DEF L_TYPE = 2
DEF L_STRATEGY = 4
DEF L_RISK = 8
DEF L_TARGET = 16
DEF L_REASON = 32
DEF L_GENERATION = 64
DEF L_METADATA = 128
DEF L_TIME = 256
DEF L_RUN = 512
DEF L_MODEL = 1024
DEF L_OBJECTIVE = 2048

#: The completion's fields, in the order of `COMPLETION`.
cdef enum:
    EVENT_ID, AGENT_ID, NODE_ID, OCCURRED_AT, EVOLUTION_ID, STARTED_AT, EVOLUTION_TYPE, GENERATION,
    STRATEGY_USED, RISK_LEVEL, TARGET_GAIN, TRIGGER_REASON, PRE_KPIS, POST_KPIS, SUCCESS, STATUS,
    DURATION_SECONDS, ERROR_COUNT, WARNING_COUNT, MEMORY_USED_MB, CPU_PERCENT_AVG, GPU_MEMORY_MB,
    NETWORK_BYTES_TRANSFERRED, ROLLBACK_PERFORMED, CONVERGENCE_ITERATIONS, FITNESS_TRAJECTORY, INSIGHTS,
    METADATA, PARENT_AGENT_ID, COST_USD, UNMEASURED, PROGRESS_SHARE, SNAPSHOT_PHASES, PARENT_AGENT_IDS,
    TOKENS_IN, TOKENS_OUT, EVALUATIONS, MODEL, CANDIDATE, CANDIDATE_HASH, RUN_ID, OBJECTIVE, DIRECTION, FIELDS

#: The start's fields, in the order of `START`.
cdef enum:
    S_EVENT_ID, S_AGENT_ID, S_NODE_ID, S_OCCURRED_AT, S_EVOLUTION_ID, S_EVOLUTION_TYPE, S_GENERATION, S_STRATEGY,
    S_RISK_LEVEL, S_TARGET_GAIN, S_TRIGGER_REASON, S_PRE_KPIS, S_CPU_PERCENT, S_MEMORY_MB, S_METADATA,
    S_UNMEASURED, S_SNAPSHOT_PHASES, S_RUN_ID, S_MODEL, S_OBJECTIVE, S_DIRECTION, S_FIELDS

#: In the order of its schema.
COMPLETION = (
    "event_id agent_id node_id occurred_at evolution_id started_at evolution_type generation "
    "strategy_used risk_level target_gain trigger_reason pre_kpis post_kpis success status "
    "duration_seconds error_count warning_count memory_used_mb cpu_percent_avg gpu_memory_mb "
    "network_bytes_transferred rollback_performed convergence_iterations fitness_trajectory insights "
    "metadata parent_agent_id cost_usd unmeasured progress_share snapshot_phases parent_agent_ids "
    "tokens_in tokens_out evaluations model candidate candidate_hash run_id objective direction"
).split()
START = (
    "event_id agent_id node_id occurred_at evolution_id evolution_type generation strategy risk_level "
    "target_gain trigger_reason pre_kpis cpu_percent memory_mb metadata unmeasured snapshot_phases "
    "run_id model objective direction"
).split()
#: The row's fields in the order in which `CompletionReader.put_row` writes them.
ROW = (
    "event_id agent_id node_id occurred_at source_event_id evolution_id started_at evolution_type generation "
    "strategy_used risk_level target_gain trigger_reason status success duration_minutes performance_score "
    "baseline_performance improvement_delta relative_improvement quality_score efficiency kpi_deltas "
    "memory_used_mb cpu_percent_avg gpu_memory_mb network_bytes_transferred error_count warning_count "
    "rollback_performed convergence_iterations fitness_trajectory metadata unmeasured version "
    "parent_agent_ids cost_usd tokens_in tokens_out evaluations model run_id objective direction candidate_hash"
).split()

#: A snapshot's fields in the order in which `SnapshotWriter` writes them.
SNAPSHOT = (
    "event_id agent_id node_id occurred_at evolution_id phase accuracy response_time_ms throughput_tps "
    "success_rate memory_usage_mb cpu_utilization energy_efficiency adaptation_rate knowledge_retention "
    "generalization_ability output_quality consistency reliability security_score bias_score "
    "interpretability overall_performance evaluation_count confidence_interval extra metadata source_event_id "
    "objective direction"
).split()
#: Number of its KPIs.
DEF KPIS = 16
cdef enum:
    K_EVENT_ID, K_AGENT_ID, K_NODE_ID, K_OCCURRED_AT, K_EVOLUTION_ID, K_PHASE, K_FIRST_KPI,
    K_OVERALL = K_FIRST_KPI + KPIS
    K_EVALUATION_COUNT, K_CONFIDENCE, K_EXTRA, K_METADATA, K_SOURCE_EVENT_ID, K_OBJECTIVE, K_DIRECTION, K_FIELDS
#: A delta's fields in the order in which `DeltaRows` writes them.
DELTA = (
    "event_id agent_id node_id occurred_at snapshot_event_id phase previous_event_id previous_at "
    "overall_performance overall_delta deltas recommendation version"
).split()


#: This module's bits for the members of `Lack`.
LACKS = (
    L_PRE_KPIS, L_TYPE, L_STRATEGY, L_RISK, L_TARGET, L_REASON, L_GENERATION, L_METADATA, L_TIME, L_RUN, L_MODEL,
    L_OBJECTIVE,
)
if tuple(map(int, Lack)) != LACKS:
    raise ValueError("Lack's bits differ from those of the compiled readers")


#: Number of lists of unmeasured figures whose meaning is cached.
DEF MOST_LISTS = 256
DEF INT64 = 9223372036854775808.0
#: Most entries of a map of KPIs.
DEF MOST_KPIS = 64
DEF SECOND = 1_000_000
#: Digits of a SHA-256.
DEF HASH_DIGITS = 64
cdef tuple DIRECTION_WORDS = tuple(word.encode() for word in DIRECTIONS)
cdef bytes MINIMIZE_WORD = MINIMIZE.encode()
cdef bytes PARETO_WORD = PARETO.encode()
#: The formula's KPIs, in the order of `FORMULA_KPIS`.
cdef enum:
    ACCURACY, SUCCESS_RATE, RESPONSE_TIME_MS, THROUGHPUT_TPS, MEMORY_USAGE_MB, CPU_UTILIZATION, OUTPUT_QUALITY,
    RELIABILITY, IN_FORMULA
#: What each counts as where it was not measured.
cdef double[IN_FORMULA] absent = ABSENT
#: The KPIs that are looked for: first the formula's, in its order, then these, then the snapshot's others.
#: From `OVERALL_PERFORMANCE` on all have fields of their own in a snapshot.
cdef enum:
    PERFORMANCE = IN_FORMULA
    OVERALL_PERFORMANCE, EVALUATION_COUNT, CONFIDENCE_INTERVAL, OTHERS
    WANTED = OTHERS + KPIS - IN_FORMULA
#: In the order of their indices.
WANTED_KPIS = (
    *FORMULA_KPIS,
    "performance", "overall_performance", "evaluation_count", "confidence_interval",
    *[name for name in KPI_NAMES if name not in FORMULA_KPIS],
)
if len(WANTED_KPIS) != WANTED or len(FORMULA_KPIS) != IN_FORMULA:
    raise ValueError("the KPIs of the formula or of a snapshot differ from the compiled ones")


cdef struct Field:
    #: Where its bytes begin and end.
    Py_ssize_t begin
    Py_ssize_t end
    #: Its value: a text's bytes, a long or boolean, a double; and whether it has one.
    Py_ssize_t text
    Py_ssize_t length
    int64_t number
    double real
    bint given


cdef struct Kpis:
    Py_ssize_t count
    #: Each entry's name, preceded by its length as encoded.
    const uint8_t* names[MOST_KPIS]
    Py_ssize_t sizes[MOST_KPIS]
    double values[MOST_KPIS]
    #: The entry of each wanted KPI, -1 if there is none.
    Py_ssize_t wanted[WANTED]


cdef struct Maybe:
    bint given
    double value


cdef inline Maybe nothing() noexcept:
    cdef Maybe found
    found.given = False
    found.value = 0.0
    return found


cdef inline Maybe known(double value) noexcept:
    cdef Maybe found
    found.given = True
    found.value = value
    return found


# Reading -------------------------------------------------------------------------------------------------


cdef int take_value(In* source, Kind kind, Field* field) except -1:
    """Read a value of any kind; other kinds than numbers and texts are only skipped."""
    if kind == STRING:
        field.length = pass_text(source)
        field.text = source.place - field.length
    elif kind == LONG:
        field.number = get_long(source)
    elif kind == DOUBLE:
        field.real = get_double(source)
    elif kind == BOOLEAN:
        field.number = get_boolean(source)
    else:
        pass_value(source, kind)
    return 0


cdef inline int take_field(In* source, Kind kind, bint nullable, Field* field) except -1:
    """Read a field, if it has a value."""
    field.given = not nullable or get_given(source)
    if field.given:
        take_value(source, kind, field)
    return 0


cdef class Names:
    """The names of the last map that differed from the one before: most maps of a field share them."""

    cdef list wanted_names
    cdef bytes raw
    cdef Py_ssize_t count
    cdef Py_ssize_t sizes[MOST_KPIS]
    cdef Py_ssize_t wanted[WANTED]
    #: The wanted KPI that an entry is, -1 if it is not one.
    cdef Py_ssize_t which[MOST_KPIS]

    def __init__(self, names):
        self.wanted_names = [write_text(name) for name in names]
        self.forget()

    cdef void forget(self) noexcept:
        cdef Py_ssize_t i
        self.raw = b""
        self.count = 0
        for i in range(WANTED):
            self.wanted[i] = -1

    cdef int read(self, In* source, Kpis* kpis) except -1:
        """Read a map of KPIs."""
        cdef Py_ssize_t n = get_length(source), begin = source.place
        if n > MOST_KPIS:
            raise Unusual
        kpis.count = n
        if n != self.count or not self.same(source, kpis):
            source.place = begin
            self.learn(source, kpis)
        memcpy(kpis.wanted, self.wanted, sizeof(self.wanted))
        if n:
            get_end(source)
        return 0

    cdef bint same(self, In* source, Kpis* kpis) except -1:
        """Return whether the names are the known ones; reads the values if so."""
        cdef const char* name = PyBytes_AS_STRING(self.raw)
        cdef Py_ssize_t i, size
        for i in range(self.count):
            size = self.sizes[i]
            if source.size - source.place < size or memcmp(source.data + source.place, name, size):
                return False
            kpis.names[i] = source.data + source.place
            kpis.sizes[i] = size
            source.place += size
            name += size
            kpis.values[i] = get_double(source)
        return True

    cdef int learn(self, In* source, Kpis* kpis) except -1:
        """Read names and values, and remember the names."""
        cdef Py_ssize_t i, j, begin
        cdef bytes raw = b"", name
        self.forget()
        for i in range(kpis.count):
            begin = source.place
            pass_text(source)
            kpis.names[i] = source.data + begin
            kpis.sizes[i] = source.place - begin
            for j in range(i):
                if same_name(kpis, i, kpis, j):  # the later one counts if there are two
                    raise Unusual
            kpis.values[i] = get_double(source)
            raw += PyBytes_FromStringAndSize(<const char*>kpis.names[i], kpis.sizes[i])
        for i in range(kpis.count):
            self.which[i] = -1
        for j in range(WANTED):
            name = self.wanted_names[j]
            for i in range(kpis.count):
                if is_text(kpis.names[i], kpis.sizes[i], name):
                    self.wanted[j] = i
                    self.which[i] = j
        self.raw = raw
        memcpy(self.sizes, kpis.sizes, sizeof(self.sizes))
        self.count = kpis.count
        return 0


cdef inline bint is_text(const uint8_t* raw, Py_ssize_t size, bytes text) noexcept:
    return size == PyBytes_GET_SIZE(text) and memcmp(raw, PyBytes_AS_STRING(text), size) == 0


cdef inline bint same_name(Kpis* a, Py_ssize_t i, Kpis* b, Py_ssize_t j) noexcept:
    return a.sizes[i] == b.sizes[j] and memcmp(a.names[i], b.names[j], a.sizes[i]) == 0


# Computing -----------------------------------------------------------------------------------------------


cdef Maybe performance(Kpis* kpis) noexcept:
    """As defined by `kpis.performance`."""
    cdef double values[IN_FORMULA]
    cdef Py_ssize_t i, there
    cdef bint given = False
    if kpis.wanted[PERFORMANCE] >= 0:
        return known(kpis.values[kpis.wanted[PERFORMANCE]])
    if kpis.wanted[OVERALL_PERFORMANCE] >= 0:
        return known(kpis.values[kpis.wanted[OVERALL_PERFORMANCE]])
    for i in range(IN_FORMULA):
        there = kpis.wanted[i]
        given = given or there >= 0
        values[i] = absent[i] if there < 0 else kpis.values[there]
    if not given:
        return nothing()
    return known(formula.weighted(
        values[ACCURACY], values[SUCCESS_RATE], values[RESPONSE_TIME_MS], values[THROUGHPUT_TPS],
        values[MEMORY_USAGE_MB], values[CPU_UTILIZATION], values[OUTPUT_QUALITY], values[RELIABILITY],
    ))


cdef Maybe scored(Kpis* kpis, const uint8_t* data, Field* objective, Field* direction) noexcept:
    """As defined by `kpis.performance.scored`."""
    cdef Py_ssize_t i, size
    if is_word(data, direction, PARETO_WORD):
        return nothing()
    if not objective.given:
        return performance(kpis)
    size = objective.end - objective.begin - 1  # as it is encoded, like a KPI's name
    for i in range(kpis.count):
        if kpis.sizes[i] == size and memcmp(kpis.names[i], data + objective.begin + 1, size) == 0:
            return known(kpis.values[i])
    return nothing()


cdef inline Maybe improvement(Maybe after, Maybe before, bint minimized) noexcept:
    """As defined by `kpis.performance.improvement`."""
    if not (after.given and before.given):
        return nothing()
    return known(before.value - after.value if minimized else after.value - before.value)


cdef inline bint is_word(const uint8_t* data, Field* field, bytes word) noexcept:
    """Return whether a field has a text, and that it is this one."""
    return field.given and is_text(data + field.text, field.length, word)


cdef int check_word(const uint8_t* data, Field* field, tuple words) except -1:
    """Check that a text is one of these."""
    cdef bytes word
    for word in words:
        if is_text(data + field.text, field.length, word):
            return 0
    raise Unusual


cdef inline int check_direction(const uint8_t* data, Field* direction) except -1:
    """Check that a direction is one of the three, or not given."""
    return check_word(data, direction, DIRECTION_WORDS) if direction.given else 0


# Writing -------------------------------------------------------------------------------------------------


cdef int put_maybe(Out* out, Maybe x) except -1:
    if not x.given:
        return put_byte(out, 0)
    put_byte(out, 2)
    return put_real(out, x.value)


cdef int put_deltas(Out* out, Kpis* after, Kpis* before) except -1:
    """As defined by `outcome.kpi_differences`."""
    cdef Py_ssize_t pairs[MOST_KPIS]
    cdef Py_ssize_t i, j, n = 0
    for i in range(after.count):
        pairs[i] = -1
        if i < before.count and same_name(after, i, before, i):
            pairs[i] = i
        else:
            for j in range(before.count):
                if same_name(after, i, before, j):
                    pairs[i] = j
                    break
        n += pairs[i] >= 0
    if n:
        put_number(out, n)
        for i in range(after.count):
            if pairs[i] >= 0:
                put_raw(out, <const char*>after.names[i], after.sizes[i])
                put_real(out, after.values[i] - before.values[pairs[i]])
    return put_byte(out, 0)


cdef int put_uuid5(Out* out, bytes digest) except -1:
    """Write the text of a UUIDv5, from the hash of its name (RFC 9562, 5.5)."""
    reserve(out, UUID_TEXT)
    put_uuid(out.data + out.size, <const uint8_t*>PyBytes_AS_STRING(digest), 5)
    out.size += UUID_TEXT
    return 0


# Completions ---------------------------------------------------------------------------------------------


cdef class Completion:
    cdef readonly str event_id
    cdef readonly str agent_id
    cdef readonly str node_id
    cdef readonly str evolution_id
    cdef readonly str evolution_type
    cdef readonly str strategy_used
    cdef readonly int64_t occurred_at
    cdef readonly bint success
    cdef readonly int lacks
    cdef readonly bytes row
    cdef readonly list snapshots

    def __init__(self, event, int lacks, bytes row not None, list snapshots not None):
        self.event_id = event.event_id
        self.agent_id = event.agent_id
        self.node_id = event.node_id
        self.evolution_id = event.evolution_id
        self.evolution_type = event.evolution_type
        self.strategy_used = event.strategy_used
        self.occurred_at = event.occurred_at
        self.success = event.success
        self.lacks = lacks
        self.row = row
        self.snapshots = snapshots


cdef class Unmeasured:
    """The meaning of a list of unmeasured figures.

    `row` and `row_without` are the row's own encoded list; the latter for a memory of 0.
    """

    cdef bytes row
    cdef bytes row_without
    cdef bint minutes
    cdef bint memory
    cdef bint cpu

    def __init__(self, list names):
        cdef list found = unmeasured_in_row(names, 1.0)
        self.row = written_texts(found)
        self.row_without = written_texts(unmeasured_in_row(names, 0.0))
        self.minutes = "duration_minutes" in found
        self.memory = "memory_used_mb" in found
        self.cpu = "cpu_percent_avg" in found


cdef bytes written_texts(list texts):
    cdef Out out
    open_out(&out, 64)
    try:
        put_texts(&out, texts)
        return PyBytes_FromStringAndSize(out.data, out.size)
    finally:
        PyMem_Free(out.data)


cdef class SnapshotWriter:
    cdef bytes prefix
    cdef object named
    #: For each KPI of a snapshot, its index among the wanted ones.
    cdef Py_ssize_t kpis[KPIS]
    #: The two phases, as parts of an id's name and as encoded.
    cdef tuple names
    cdef tuple written

    def __init__(self, wire):
        if [name for name, _, _ in fields_of(newest(KpiSnapshot.record))] != SNAPSHOT:
            raise ValueError("a snapshot's fields differ from the compiled ones")
        for i in range(KPIS):
            self.kpis[i] = WANTED_KPIS.index(SNAPSHOT[K_FIRST_KPI + i])
        self.prefix = wire.prefixes[KpiSnapshot.record]
        self.named = name_hash(KpiSnapshot.record, "")
        self.names = tuple(b"\x1f" + phase.encode() for phase in (PRE, POST))
        self.written = tuple(write_text(phase) for phase in (PRE, POST))

    cdef bytes of(self, const uint8_t* data, Field* fields, Kpis* kpis, Names names, bint after):
        """Return the message value of the snapshot of either KPIs; as defined by `snapshots.snapshot`."""
        cdef Out out
        cdef Py_ssize_t i, j, n = 0
        cdef Py_ssize_t when = OCCURRED_AT if after else STARTED_AT
        hashed = self.named.copy()
        hashed.update(PyBytes_FromStringAndSize(<const char*>data + fields[EVENT_ID].text, UUID_TEXT))
        hashed.update(self.names[after])
        open_out(&out, 512)
        try:
            put_all(&out, self.prefix)
            put_number(&out, UUID_TEXT)
            put_uuid5(&out, hashed.digest())
            put_fields(&out, data, fields, AGENT_ID, NODE_ID)
            put_fields(&out, data, fields, when, when)
            put_byte(&out, 2)
            put_fields(&out, data, fields, EVOLUTION_ID, EVOLUTION_ID)
            put_all(&out, self.written[after])
            for i in range(KPIS):
                put_kpi(&out, kpis, self.kpis[i])
            if kpis.wanted[OVERALL_PERFORMANCE] >= 0:
                put_kpi(&out, kpis, OVERALL_PERFORMANCE)
            else:
                put_maybe(&out, scored(kpis, data, &fields[OBJECTIVE], &fields[DIRECTION]))
            i = kpis.wanted[EVALUATION_COUNT]
            if i >= 0 and is_count(kpis.values[i]):
                put_byte(&out, 2)
                put_number(&out, <int64_t>kpis.values[i])
            else:
                put_byte(&out, 0)
            put_kpi(&out, kpis, CONFIDENCE_INTERVAL)
            for i in range(kpis.count):
                n += is_extra(kpis, i, names.which[i])
            if n:
                put_number(&out, n)
                for i in range(kpis.count):
                    if is_extra(kpis, i, names.which[i]):
                        put_raw(&out, <const char*>kpis.names[i], kpis.sizes[i])
                        put_real(&out, kpis.values[i])
            put_byte(&out, 0)
            put_byte(&out, 0)
            put_byte(&out, 2)
            put_fields(&out, data, fields, EVENT_ID, EVENT_ID)
            put_fields(&out, data, fields, OBJECTIVE, DIRECTION)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.data)


cdef inline int put_kpi(Out* out, Kpis* kpis, Py_ssize_t which) except -1:
    """Write a KPI that may be absent."""
    cdef Py_ssize_t i = kpis.wanted[which]
    return put_maybe(out, nothing() if i < 0 else known(kpis.values[i]))


cdef inline bint is_count(double value) noexcept:
    """As defined by `snapshots.is_count`."""
    return -INT64 <= value < INT64 and value == <double><int64_t>value


cdef inline bint is_extra(Kpis* kpis, Py_ssize_t i, Py_ssize_t which) noexcept:
    """Return whether an entry has no field of its own in a snapshot."""
    return which < 0 or which == PERFORMANCE or (which == EVALUATION_COUNT and not is_count(kpis.values[i]))


cdef class CompletionReader:
    cdef Kind kinds[FIELDS]
    cdef bint nullable[FIELDS]
    cdef tuple statuses
    cdef SnapshotWriter snapshots
    cdef Py_ssize_t name_bytes
    cdef int64_t ahead
    cdef bytes prefix
    cdef object named
    cdef Names before
    cdef Names after
    cdef Unmeasured nothing
    cdef dict lists

    def __init__(self, wire):
        fields = fields_of(newest(EvolutionCompleted.record))
        row = [name for name, _, _ in fields_of(newest(EvolutionMetrics.record))]
        if [name for name, _, _ in fields] != COMPLETION or row != ROW:
            raise ValueError("the records' fields differ from the compiled ones")
        for i, (_, kind, nullable) in enumerate(fields):
            self.kinds[i] = KINDS[kind]
            self.nullable[i] = nullable
        self.statuses = tuple([status.encode() for status in STATUSES])
        self.snapshots = SnapshotWriter(wire)
        self.name_bytes = NAME_CHARACTERS
        self.ahead = MAX_AHEAD_MICROS
        self.prefix = wire.prefixes[EvolutionMetrics.record]
        #: A SHA-1 object fed with everything before the event's id in the name of the row's id.
        self.named = name_hash(METRICS_IDENTITY, "")
        self.before = Names(WANTED_KPIS)
        self.after = Names(WANTED_KPIS)
        self.nothing = Unmeasured([])
        self.lists = {}

    def read(self, bytes value not None, Py_ssize_t start, int64_t now):
        cdef In source
        cdef Out out
        cdef Field fields[FIELDS]
        cdef Kpis before, after
        cdef Py_ssize_t i
        cdef Completion done
        cdef Unmeasured unmeasured
        open_in(&source, value, start)
        memset(fields, 0, sizeof(fields))
        for i in range(FIELDS):
            fields[i].begin = source.place
            if i == PRE_KPIS:
                self.before.read(&source, &before)
            elif i == POST_KPIS:
                self.after.read(&source, &after)
            else:
                take_field(&source, self.kinds[i], self.nullable[i], &fields[i])
            fields[i].end = source.place
        if source.place != source.size:
            raise Unusual
        self.check(source.data, fields, now)
        unmeasured = self.unmeasured_of(&source, &fields[UNMEASURED])
        done = Completion.__new__(Completion)
        done.event_id = text_of(source.data, &fields[EVENT_ID])
        done.agent_id = text_of(source.data, &fields[AGENT_ID])
        done.node_id = text_of(source.data, &fields[NODE_ID])
        done.evolution_id = text_of(source.data, &fields[EVOLUTION_ID])
        done.evolution_type = text_of(source.data, &fields[EVOLUTION_TYPE])
        done.strategy_used = text_of(source.data, &fields[STRATEGY_USED])
        done.occurred_at = fields[OCCURRED_AT].number
        done.success = fields[SUCCESS].number
        done.lacks = lacks_of(source.data, fields, &before, unmeasured)
        done.snapshots = self.snapshots_of(&source, fields, &before, &after)
        open_out(&out, source.size + 512)
        try:
            self.put_row(&out, source.data, fields, &before, &after, unmeasured)
            done.row = PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.data)
        return done

    cdef list snapshots_of(self, In* source, Field* fields, Kpis* before, Kpis* after):
        """As defined by `snapshots.snapshots_of`."""
        cdef In there
        cdef bytes raw
        cdef list found = []
        cdef Field* field = &fields[SNAPSHOT_PHASES]
        if field.end - field.begin == 1:
            return found
        raw = PyBytes_FromStringAndSize(<const char*>source.data + field.begin, field.end - field.begin)
        open_in(&there, raw, 0)
        phases = get_texts(&there)
        if not EVOLUTION_PHASES.issuperset(phases):
            raise Unusual
        if PRE in phases:
            found.append(self.snapshots.of(source.data, fields, before, self.before, False))
        if POST in phases:
            found.append(self.snapshots.of(source.data, fields, after, self.after, True))
        return found

    cdef Unmeasured unmeasured_of(self, In* source, Field* field):
        cdef In there
        cdef bytes raw
        cdef Unmeasured found
        if field.end - field.begin == 1:
            return self.nothing
        raw = PyBytes_FromStringAndSize(<const char*>source.data + field.begin, field.end - field.begin)
        found = self.lists.get(raw)
        if found is None:
            open_in(&there, raw, 0)
            found = Unmeasured(get_texts(&there))
            if len(self.lists) >= MOST_LISTS:
                self.lists.clear()
            self.lists[raw] = found
        return found

    cdef int check(self, const uint8_t* data, Field* fields, int64_t now) except -1:
        """As defined by `screening.surely_valid`; names count in bytes, never fewer than characters."""
        cdef int64_t latest = now + self.ahead
        cdef Py_ssize_t names = (
            fields[AGENT_ID].length
            + fields[NODE_ID].length
            + fields[EVOLUTION_ID].length
            + fields[EVOLUTION_TYPE].length
            + fields[STRATEGY_USED].length
            + fields[RISK_LEVEL].length
            + fields[PARENT_AGENT_ID].length
            + fields[RUN_ID].length
            + fields[MODEL].length
            + fields[OBJECTIVE].length
        )
        if not (
            fields[AGENT_ID].length
            and fields[NODE_ID].length
            and fields[EVOLUTION_ID].length
            and names <= self.name_bytes
            and 0 <= fields[OCCURRED_AT].number <= latest
            and 0 <= fields[STARTED_AT].number <= latest
            and fields[DURATION_SECONDS].real >= 0
            and fields[ERROR_COUNT].number >= 0
            and fields[WARNING_COUNT].number >= 0
            and fields[CONVERGENCE_ITERATIONS].number >= 0
            and fields[NETWORK_BYTES_TRANSFERRED].number >= 0
            and fields[TOKENS_IN].number >= 0
            and fields[TOKENS_OUT].number >= 0
            and fields[EVALUATIONS].number >= 0
            and not (fields[COST_USD].given and fields[COST_USD].real < 0)
            and not (fields[PROGRESS_SHARE].given and not 0 <= fields[PROGRESS_SHARE].real <= 1)
            and is_uuid(data + fields[EVENT_ID].text, fields[EVENT_ID].length)
            and is_hash(data, &fields[CANDIDATE_HASH])
        ):
            raise Unusual
        if fields[PARENT_AGENT_IDS].end - fields[PARENT_AGENT_IDS].begin > 1:
            self.check_parents(data, &fields[PARENT_AGENT_IDS])
        check_direction(data, &fields[DIRECTION])
        return check_word(data, &fields[STATUS], self.statuses)

    cdef int check_parents(self, const uint8_t* data, Field* field) except -1:
        """Check that each of several parents has a name's length."""
        cdef In there
        cdef Py_ssize_t n, i, length
        there.data, there.place, there.size = data, field.begin, field.end
        n = get_length(&there)
        for i in range(n):
            length = pass_text(&there)
            if not 0 < length <= self.name_bytes:
                raise Unusual
        return 0

    cdef int put_row(
        self,
        Out* out,
        const uint8_t* data,
        Field* fields,
        Kpis* before,
        Kpis* after,
        Unmeasured unmeasured,
    ) except -1:
        """Write the row, its fields in the order of `ROW`; as defined by `outcome.evolution_metrics`."""
        cdef Maybe now = scored(after, data, &fields[OBJECTIVE], &fields[DIRECTION])
        cdef Maybe earlier = scored(before, data, &fields[OBJECTIVE], &fields[DIRECTION])
        cdef Maybe delta = improvement(now, earlier, is_word(data, &fields[DIRECTION], MINIMIZE_WORD))
        cdef Maybe relative = nothing(), quality = nothing()
        cdef double minutes = 0.0 if unmeasured.minutes else fields[DURATION_SECONDS].real / 60
        cdef bint no_memory = fields[MEMORY_USED_MB].real == 0
        cdef double memory = 0.0 if unmeasured.memory else fields[MEMORY_USED_MB].real
        if delta.given and earlier.value != 0.0:
            relative = known(delta.value / fabs(earlier.value))
        if after.wanted[OUTPUT_QUALITY] >= 0:
            quality = known(after.values[after.wanted[OUTPUT_QUALITY]])
        hashed = self.named.copy()
        hashed.update(PyBytes_FromStringAndSize(<const char*>data + fields[EVENT_ID].text, UUID_TEXT))
        put_all(out, self.prefix)
        put_number(out, UUID_TEXT)
        put_uuid5(out, hashed.digest())
        put_fields(out, data, fields, AGENT_ID, OCCURRED_AT)
        put_fields(out, data, fields, EVENT_ID, EVENT_ID)
        put_fields(out, data, fields, EVOLUTION_ID, TRIGGER_REASON)
        put_fields(out, data, fields, STATUS, STATUS)
        put_fields(out, data, fields, SUCCESS, SUCCESS)
        put_real(out, minutes)
        put_maybe(out, now)
        put_maybe(out, earlier)
        put_maybe(out, delta)
        put_maybe(out, relative)
        put_maybe(out, quality)
        put_real(out, formula.efficiency(delta.value, minutes, memory) if delta.given else 0.0)
        put_deltas(out, after, before)
        put_maybe(out, nothing() if memory == 0 else known(memory))
        put_maybe(out, nothing() if unmeasured.cpu else known(fields[CPU_PERCENT_AVG].real))
        put_fields(out, data, fields, GPU_MEMORY_MB, GPU_MEMORY_MB)
        put_fields(out, data, fields, NETWORK_BYTES_TRANSFERRED, NETWORK_BYTES_TRANSFERRED)
        put_fields(out, data, fields, ERROR_COUNT, WARNING_COUNT)
        put_fields(out, data, fields, ROLLBACK_PERFORMED, FITNESS_TRAJECTORY)
        put_fields(out, data, fields, METADATA, METADATA)
        put_all(out, unmeasured.row_without if no_memory else unmeasured.row)
        put_number(out, 0)
        put_parents(out, data, fields)
        put_fields(out, data, fields, COST_USD, COST_USD)
        put_fields(out, data, fields, TOKENS_IN, MODEL)
        put_fields(out, data, fields, RUN_ID, DIRECTION)
        return put_fields(out, data, fields, CANDIDATE_HASH, CANDIDATE_HASH)


cdef class StartReader:
    cdef Kind kinds[S_FIELDS]
    cdef bint nullable[S_FIELDS]

    def __init__(self):
        fields = fields_of(newest(EvolutionStarted.record))
        if [name for name, _, _ in fields] != START:
            raise ValueError("a start's fields differ from the compiled ones")
        for i, (_, kind, nullable) in enumerate(fields):
            self.kinds[i] = KINDS[kind]
            self.nullable[i] = nullable

    def lends(self, bytes value not None, Py_ssize_t start):
        cdef In source
        cdef Field fields[S_FIELDS]
        cdef Py_ssize_t i
        cdef int lends = L_TIME
        open_in(&source, value, start)
        memset(fields, 0, sizeof(fields))
        for i in range(S_FIELDS):
            fields[i].begin = source.place
            take_field(&source, self.kinds[i], self.nullable[i], &fields[i])
            fields[i].end = source.place
        if says_something(source.data, &fields[S_EVOLUTION_TYPE]):
            lends |= L_TYPE
        if fields[S_GENERATION].number:
            lends |= L_GENERATION
        if fields[S_STRATEGY].length:
            lends |= L_STRATEGY
        if fields[S_RISK_LEVEL].length:
            lends |= L_RISK
        if fields[S_TARGET_GAIN].given:
            lends |= L_TARGET
        if fields[S_TRIGGER_REASON].length:
            lends |= L_REASON
        if fields[S_PRE_KPIS].end - fields[S_PRE_KPIS].begin > 1:
            lends |= L_PRE_KPIS
        if fields[S_METADATA].end - fields[S_METADATA].begin > 1:
            lends |= L_METADATA
        if fields[S_RUN_ID].given:
            lends |= L_RUN
        if fields[S_MODEL].given:
            lends |= L_MODEL
        if fields[S_OBJECTIVE].given or fields[S_DIRECTION].given:
            lends |= L_OBJECTIVE
        return lends


cdef inline bint says_something(const uint8_t* data, Field* kind) noexcept:
    """Return whether an evolution's type is given."""
    return kind.length and not (kind.length == 7 and memcmp(data + kind.text, b"unknown", 7) == 0)


cdef int lacks_of(const uint8_t* data, Field* fields, Kpis* before, Unmeasured unmeasured) noexcept:
    """As defined by `joining.lacking`."""
    cdef int lacks = 0
    if not before.count:
        lacks |= L_PRE_KPIS
    if not says_something(data, &fields[EVOLUTION_TYPE]):
        lacks |= L_TYPE
    if not fields[STRATEGY_USED].length:
        lacks |= L_STRATEGY
    if not fields[RISK_LEVEL].length:
        lacks |= L_RISK
    if not fields[TARGET_GAIN].given:
        lacks |= L_TARGET
    if not fields[TRIGGER_REASON].length:
        lacks |= L_REASON
    if not fields[GENERATION].number:
        lacks |= L_GENERATION
    if fields[METADATA].end - fields[METADATA].begin == 1:
        lacks |= L_METADATA
    if unmeasured.minutes or fields[STARTED_AT].number == fields[OCCURRED_AT].number:
        lacks |= L_TIME
    if lacks:
        if not fields[RUN_ID].given:
            lacks |= L_RUN
        if not fields[MODEL].given:
            lacks |= L_MODEL
        if not (fields[OBJECTIVE].given or fields[DIRECTION].given):
            lacks |= L_OBJECTIVE
    return lacks


cdef int put_parents(Out* out, const uint8_t* data, Field* fields) except -1:
    """Write all parents; as defined by `outcome.parents_of`."""
    cdef Field* first = &fields[PARENT_AGENT_ID]
    if fields[PARENT_AGENT_IDS].end - fields[PARENT_AGENT_IDS].begin > 1 or not first.given:
        return put_fields(out, data, fields, PARENT_AGENT_IDS, PARENT_AGENT_IDS)
    put_number(out, 1)
    put_raw(out, <const char*>data + first.begin + 1, first.end - first.begin - 1)
    return put_byte(out, 0)


cdef bint is_hash(const uint8_t* data, Field* field) noexcept:
    """Return whether a text, if there is one, is a SHA-256 in hexadecimal digits."""
    cdef Py_ssize_t i
    cdef uint8_t digit
    if not field.given:
        return True
    if field.length != HASH_DIGITS:
        return False
    for i in range(HASH_DIGITS):
        digit = data[field.text + i]
        if not (c'0' <= digit <= c'9' or c'a' <= digit <= c'f'):
            return False
    return True


cdef inline str text_of(const uint8_t* data, Field* field):
    return PyUnicode_DecodeUTF8(<const char*>data + field.text, field.length, NULL)


cdef inline int put_fields(
    Out* out, const uint8_t* data, Field* fields, Py_ssize_t first, Py_ssize_t last
) except -1:
    """Copy the bytes of consecutive fields unchanged."""
    return put_raw(out, <const char*>data + fields[first].begin, fields[last].end - fields[first].begin)


# Snapshots -----------------------------------------------------------------------------------------------


cdef struct Span:
    int begin
    int end


cdef inline Span span(Field* first, Field* last) noexcept:
    cdef Span found
    found.begin = <int>first.begin
    found.end = <int>last.end
    return found


cdef class SnapshotKpis:
    cdef readonly str event_id
    cdef readonly str agent_id
    cdef readonly str node_id
    cdef readonly int64_t occurred_at
    cdef readonly bytes value
    #: Whether the following was read from the value.
    cdef bint quick
    #: Where its id, what follows that up to its time, its time, its phase and its aim begin and end in the value.
    cdef Span id
    cdef Span whose
    cdef Span at
    cdef Span phase
    cdef Span aim
    cdef Maybe overall
    cdef bint judged
    #: The entry of each KPI that has a field of its own, -1 if there is none.
    cdef int8_t own[KPIS + 1]
    #: Its KPIs in their order; the names are in the value, or among these.
    cdef tuple own_names
    cdef Py_ssize_t count
    cdef const uint8_t** names
    cdef Py_ssize_t* sizes
    cdef double* values

    def __init__(self, event, bytes value not None):
        self.event_id = event.event_id
        self.agent_id = event.agent_id
        self.node_id = event.node_id
        self.occurred_at = event.occurred_at
        self.value = value

    def __dealloc__(self):
        PyMem_Free(self.names)
        PyMem_Free(self.sizes)
        PyMem_Free(self.values)

    cdef int keep(self, Kpis* kpis) except -1:
        """Keep the KPIs."""
        cdef Py_ssize_t room = max(1, kpis.count)
        self.names = <const uint8_t**>PyMem_Malloc(room * sizeof(self.names[0]))
        self.sizes = <Py_ssize_t*>PyMem_Malloc(room * sizeof(self.sizes[0]))
        self.values = <double*>PyMem_Malloc(room * sizeof(self.values[0]))
        if self.names == NULL or self.sizes == NULL or self.values == NULL:
            raise MemoryError
        self.count = kpis.count
        memcpy(self.names, kpis.names, kpis.count * sizeof(self.names[0]))
        memcpy(self.sizes, kpis.sizes, kpis.count * sizeof(self.sizes[0]))
        memcpy(self.values, kpis.values, kpis.count * sizeof(self.values[0]))
        return 0

    cdef void recall(self, Kpis* kpis) noexcept:
        """Give the KPIs, of which none is looked for."""
        kpis.count = self.count
        memcpy(kpis.names, self.names, self.count * sizeof(self.names[0]))
        memcpy(kpis.sizes, self.sizes, self.count * sizeof(self.sizes[0]))
        memcpy(kpis.values, self.values, self.count * sizeof(self.values[0]))


cdef class DeltaRows:
    cdef Kind kinds[K_FIELDS]
    cdef bint nullable[K_FIELDS]
    cdef tuple phases
    #: The names of the KPIs that have fields of their own, as encoded, and their indices among the wanted ones.
    cdef tuple names
    cdef Py_ssize_t which[KPIS + 1]
    cdef bytes performance_name
    cdef Py_ssize_t name_bytes
    cdef int64_t ahead
    cdef bytes prefix
    cdef object named
    cdef bytes retain
    cdef bytes evolve
    cdef bytes retire
    cdef double retire_below
    cdef double evolve_from
    cdef double evolve_below
    cdef double evolve_response_time_ms
    #: Of each KPI by its index among the wanted ones the value below which an agent is retired, or evolved.
    cdef double retire_limits[WANTED]
    cdef double evolve_limits[WANTED]

    def __init__(self, wire, thresholds=None):
        fields = fields_of(newest(KpiSnapshot.record))
        row = [name for name, _, _ in fields_of(newest(KpiDelta.record))]
        own = (*KPI_NAMES, "overall_performance")
        if [name for name, _, _ in fields] != SNAPSHOT or row != DELTA:
            raise ValueError("the records' fields differ from the compiled ones")
        if tuple(SNAPSHOT[K_FIRST_KPI : K_OVERALL + 1]) != own:
            raise ValueError("a snapshot's KPIs differ from the compiled ones")
        for i, (_, kind, nullable) in enumerate(fields):
            self.kinds[i] = KINDS[kind]
            self.nullable[i] = nullable
        self.phases = tuple([phase.encode() for phase in PHASES])
        self.names = tuple([write_text(name) for name in own])
        for i, name in enumerate(own):
            self.which[i] = WANTED_KPIS.index(name)
        self.performance_name = write_text("performance")
        self.name_bytes = NAME_CHARACTERS
        self.ahead = MAX_AHEAD_MICROS
        self.prefix = wire.prefixes[KpiDelta.record]
        self.named = name_hash(KpiDelta.record, "")
        self.retain, self.evolve, self.retire = (write_text(each) for each in (RETAIN, EVOLVE, RETIRE))
        limits = thresholds or USUAL
        self.retire_below = limits.retire_below
        self.evolve_from, self.evolve_below = limits.evolve_from, limits.evolve_below
        self.evolve_response_time_ms = limits.evolve_response_time_ms
        for i in range(WANTED):
            name = WANTED_KPIS[i]
            self.retire_limits[i] = getattr(limits, f"retire_{name}", -INFINITY)
            self.evolve_limits[i] = -INFINITY
            if name != "response_time_ms":
                self.evolve_limits[i] = getattr(limits, f"evolve_{name}", -INFINITY)

    def read(self, bytes value not None, Py_ssize_t start, int64_t now):
        cdef Field fields[K_FIELDS]
        cdef SnapshotKpis found = self.take(value, start, fields)
        self.check(<const uint8_t*>PyBytes_AS_STRING(value), fields, now)
        return found

    def recall(self, bytes value not None, Py_ssize_t start):
        cdef Field fields[K_FIELDS]
        return self.take(value, start, fields)

    cdef SnapshotKpis take(self, bytes value, Py_ssize_t start, Field* fields):
        cdef In source
        cdef Kpis kpis
        cdef Py_ssize_t i
        cdef SnapshotKpis found = SnapshotKpis.__new__(SnapshotKpis)
        open_in(&source, value, start)
        memset(fields, 0, K_FIELDS * sizeof(Field))
        kpis.count = 0
        for i in range(WANTED):
            kpis.wanted[i] = -1
        for i in range(K_FIELDS):
            fields[i].begin = source.place
            if i == K_EXTRA:
                self.read_extra(&source, &kpis)
            else:
                take_field(&source, self.kinds[i], self.nullable[i], &fields[i])
            fields[i].end = source.place
        if source.place != source.size:
            raise Unusual
        for i in range(KPIS + 1):
            found.own[i] = self.add(&kpis, i, &fields[K_FIRST_KPI + i])
        found.event_id = text_of(source.data, &fields[K_EVENT_ID])
        found.agent_id = text_of(source.data, &fields[K_AGENT_ID])
        found.node_id = text_of(source.data, &fields[K_NODE_ID])
        found.occurred_at = fields[K_OCCURRED_AT].number
        found.value = value
        found.quick = True
        found.own_names = self.names
        found.id = span(&fields[K_EVENT_ID], &fields[K_EVENT_ID])
        found.whose = span(&fields[K_AGENT_ID], &fields[K_OCCURRED_AT])
        found.at = span(&fields[K_OCCURRED_AT], &fields[K_OCCURRED_AT])
        found.phase = span(&fields[K_PHASE], &fields[K_PHASE])
        found.aim = span(&fields[K_OBJECTIVE], &fields[K_DIRECTION])
        found.overall = scored(&kpis, source.data, &fields[K_OBJECTIVE], &fields[K_DIRECTION])
        found.judged = not (fields[K_OBJECTIVE].given or fields[K_DIRECTION].given)
        found.keep(&kpis)
        return found

    cdef int read_extra(self, In* source, Kpis* kpis) except -1:
        """Read the KPIs without a field of their own."""
        cdef Py_ssize_t n = get_length(source), i, j, begin
        if n > MOST_KPIS - KPIS - 1:
            raise Unusual
        for i in range(n):
            begin = source.place
            pass_text(source)
            kpis.names[i] = source.data + begin
            kpis.sizes[i] = source.place - begin
            for j in range(i):
                if same_name(kpis, i, kpis, j):
                    raise Unusual
            kpis.values[i] = get_double(source)
            if is_text(kpis.names[i], kpis.sizes[i], self.performance_name):
                kpis.wanted[PERFORMANCE] = i
        kpis.count = n
        if n:
            get_end(source)
        return 0

    cdef int8_t add(self, Kpis* kpis, Py_ssize_t which, Field* field) except -2:
        """Add a KPI that has a field of its own; as defined by `calculations.kpis_of`. Return its entry."""
        cdef bytes name = self.names[which]
        cdef Py_ssize_t i, place = kpis.count
        for i in range(kpis.count):
            if is_text(kpis.names[i], kpis.sizes[i], name):
                place = i
        if field.given:
            if place == kpis.count:
                kpis.names[place] = <const uint8_t*>PyBytes_AS_STRING(name)
                kpis.sizes[place] = PyBytes_GET_SIZE(name)
                kpis.count += 1
            kpis.values[place] = field.real
        if place == kpis.count:
            return -1
        kpis.wanted[self.which[which]] = place
        return <int8_t>place

    cdef int check(self, const uint8_t* data, Field* fields, int64_t now) except -1:
        """As defined by `screening.surely_valid`; names count in bytes, never fewer than characters."""
        cdef Field* source = &fields[K_SOURCE_EVENT_ID]
        cdef Py_ssize_t names = (
            fields[K_AGENT_ID].length
            + fields[K_NODE_ID].length
            + fields[K_EVOLUTION_ID].length
            + fields[K_OBJECTIVE].length
        )
        if not (
            fields[K_AGENT_ID].length
            and fields[K_NODE_ID].length
            and names <= self.name_bytes
            and 0 <= fields[K_OCCURRED_AT].number <= now + self.ahead
            and is_uuid(data + fields[K_EVENT_ID].text, fields[K_EVENT_ID].length)
            and not (source.given and not is_uuid(data + source.text, source.length))
        ):
            raise Unusual
        check_direction(data, &fields[K_DIRECTION])
        return check_word(data, &fields[K_PHASE], self.phases)

    def row(self, SnapshotKpis now not None, SnapshotKpis before):
        cdef Out out
        cdef Kpis kpis, earlier
        cdef Maybe delta = nothing()
        if not now.quick or (before is not None and not before.quick):
            raise Unusual
        hashed = self.named.copy()
        hashed.update(now.event_id.encode())
        open_out(&out, 768)
        try:
            put_all(&out, self.prefix)
            put_number(&out, UUID_TEXT)
            put_uuid5(&out, hashed.digest())
            put_span(&out, now, now.whose)
            put_span(&out, now, now.id)
            put_span(&out, now, now.phase)
            if before is None:
                put_byte(&out, 0)
                put_byte(&out, 0)
                put_maybe(&out, now.overall)
                put_byte(&out, 0)
                put_byte(&out, 0)
            else:
                put_byte(&out, 2)
                put_span(&out, before, before.id)
                put_byte(&out, 2)
                put_span(&out, before, before.at)
                if now.overall.given and before.overall.given and same_aim(now, before):
                    delta = known(now.overall.value - before.overall.value)
                put_maybe(&out, now.overall)
                put_maybe(&out, delta)
                now.recall(&kpis)
                before.recall(&earlier)
                put_deltas(&out, &kpis, &earlier)
            put_all(&out, self.recommended(now) if now.judged else self.retain)
            if before is None:
                put_byte(&out, 0)
            else:
                put_span(&out, before, before.at)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.data)

    cdef bytes recommended(self, SnapshotKpis now):
        """As defined by `kpis.performance.recommended`, written."""
        cdef double overall = now.overall.value
        cdef double value
        cdef Py_ssize_t i, which
        cdef bint gains = now.overall.given and self.evolve_from <= overall < self.evolve_below
        if now.overall.given and overall < self.retire_below:
            return self.retire
        for i in range(KPIS + 1):
            which = now.own[i]
            if which < 0:
                continue
            value = now.values[which]
            if value < self.retire_limits[self.which[i]]:
                return self.retire
            gains = gains or value < self.evolve_limits[self.which[i]]
            if self.which[i] == RESPONSE_TIME_MS:
                gains = gains or value > self.evolve_response_time_ms
        return self.evolve if gains else self.retain


cdef inline int put_span(Out* out, SnapshotKpis snapshot, Span there) except -1:
    """Copy bytes of a snapshot's value unchanged."""
    return put_raw(out, PyBytes_AS_STRING(snapshot.value) + there.begin, there.end - there.begin)


cdef inline bint same_aim(SnapshotKpis now, SnapshotKpis before) noexcept:
    """Whether two snapshots have the same objective and direction."""
    cdef int size = now.aim.end - now.aim.begin
    return size == before.aim.end - before.aim.begin and memcmp(
        PyBytes_AS_STRING(now.value) + now.aim.begin, PyBytes_AS_STRING(before.value) + before.aim.begin, size
    ) == 0


# Success rates -------------------------------------------------------------------------------------------


cdef class ScopeRows:
    cdef bytes prefix
    cdef object named
    cdef bytes ids
    cdef bytes scope

    def __init__(self, bytes prefix not None, named, bytes ids not None, bytes scope not None):
        self.prefix = prefix
        self.named = named
        self.ids = ids
        self.scope = scope

    def row(self, int64_t seconds, int64_t end, bytes figures not None):
        cdef Out out
        hashed = self.named.copy()
        hashed.update(b"%d\x1f%d" % (seconds, end))
        open_out(&out, 512)
        try:
            put_all(&out, self.prefix)
            put_number(&out, UUID_TEXT)
            put_uuid5(&out, hashed.digest())
            put_all(&out, self.ids)
            put_number(&out, end)
            put_all(&out, self.scope)
            put_number(&out, seconds)
            put_number(&out, end - seconds * SECOND)
            put_number(&out, end)
            put_all(&out, figures)
            return PyBytes_FromStringAndSize(out.data, out.size)
        finally:
            PyMem_Free(out.data)
