-- Which agents an agent's state was made from, and which were made from it; and what was known at a time.
--
-- Neither walks by WITH RECURSIVE, which reads the table anew for each generation, and needs ClickHouse 24.4: the
-- steps are read once, in the order of time, in which each stands behind the step that made its parent's state.

CREATE VIEW IF NOT EXISTS {database}.agent_parents
(
    event_id UUID COMMENT 'The evolution\'s event_id in evolution_completed, and its source_event_id in evolution_metrics.',
    agent_id String COMMENT 'The agent that was made.',
    parent_agent_id String COMMENT 'The agent whose state it was made from.',
    parent_event_id Nullable(UUID) COMMENT 'The evolution that had made the parent\'s state, the last one before this began; null if the parent was made from no other agent.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When the evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT
        c.event_id AS event_id,
        c.agent_id AS agent_id,
        assumeNotNull(c.parent_agent_id) AS parent,
        c.occurred_at AS occurred_at,
        least(c.started_at, c.occurred_at - INTERVAL 1 MICROSECOND) AS began_at,
        c.evolution_id AS evolution_id,
        c.generation AS generation,
        c.strategy_used AS strategy_used
    FROM {database}.evolution_completed AS c
    WHERE c.success AND c.parent_agent_id IS NOT NULL AND c.parent_agent_id != c.agent_id
)
SELECT
    s.event_id AS event_id,
    s.agent_id AS agent_id,
    s.parent AS parent_agent_id,
    if(p.agent_id = '', NULL, p.event_id) AS parent_event_id,
    s.occurred_at AS occurred_at,
    s.evolution_id AS evolution_id,
    s.generation AS generation,
    s.strategy_used AS strategy_used
FROM steps AS s
ASOF LEFT JOIN (SELECT agent_id, occurred_at, event_id FROM steps) AS p
    ON s.parent = p.agent_id AND s.began_at >= p.occurred_at
COMMENT 'Evolutions that were kept and made an agent from another one\'s state.';

CREATE VIEW IF NOT EXISTS {database}.agent_ancestors
(
    distance UInt32 COMMENT 'How many generations away: 1 for the parent, 2 for the parent\'s parent; at most 1000.',
    agent_id String COMMENT 'The ancestor.',
    child_agent_id String COMMENT 'The agent that was made from it.',
    event_id UUID COMMENT 'The evolution that made the child: its event_id in evolution_completed.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When that evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'That evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The child\'s generation that it produced (0 where unknown).',
    strategy_used String COMMENT 'Evolution strategy applied.',
    gain Nullable(Float64) COMMENT 'The child\'s performance after it minus before; null where either is unknown.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT *, toUInt32(row_number() OVER (ORDER BY occurred_at, event_id)) AS number
    FROM {database}.agent_parents
),
line AS
(
    SELECT
        groupArray(place) AS places,
        groupArray((agent, parent, event, ended_at, evolution, its_generation, strategy)) AS known,
        arrayFold(
            (path, _) -> if(path[-1] = 0, path, arrayPushBack(path, places[path[-1]])),
            range(999),
            [toUInt32(maxIf(number, agent = {agent:String}))]
        ) AS found
    FROM
    (
        SELECT
            s.number AS number,
            p.number AS place,
            s.agent_id AS agent,
            s.parent_agent_id AS parent,
            s.event_id AS event,
            s.occurred_at AS ended_at,
            s.evolution_id AS evolution,
            s.generation AS its_generation,
            toString(s.strategy_used) AS strategy
        FROM steps AS s
        LEFT JOIN (SELECT event_id, number FROM steps) AS p ON s.parent_event_id = p.event_id
        ORDER BY number
    )
)
SELECT
    l.distance AS distance,
    l.step.2 AS agent_id,
    l.step.1 AS child_agent_id,
    l.step.3 AS event_id,
    l.step.4 AS occurred_at,
    l.step.5 AS evolution_id,
    l.step.6 AS generation,
    l.step.7 AS strategy_used,
    m.improvement_delta AS gain
FROM
(
    SELECT toUInt32(position) AS distance, known[found[position]] AS step
    FROM line
    ARRAY JOIN arrayEnumerate(found) AS position
    WHERE found[position] != 0
) AS l
LEFT JOIN {database}.evolution_metrics AS m ON m.agent_id = l.step.1 AND m.source_event_id = l.step.3
COMMENT 'The agents that one\'s present state goes back to, one in each generation: agent_ancestors(agent = \'...\').';

CREATE VIEW IF NOT EXISTS {database}.agent_descendants
(
    distance UInt32 COMMENT 'How many generations away: 1 for an agent that was made from it, 2 for one made from that.',
    agent_id String COMMENT 'The descendant.',
    parent_agent_id String COMMENT 'The agent that it was made from.',
    event_id UUID COMMENT 'The evolution that made it: its event_id in evolution_completed.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When that evolution ended, UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'That evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    generation Int64 COMMENT 'The descendant\'s generation that it produced (0 where unknown).',
    strategy_used String COMMENT 'Evolution strategy applied.',
    gain Nullable(Float64) COMMENT 'The descendant\'s performance after it minus before; null where either is unknown.'
)
SQL SECURITY DEFINER
AS WITH steps AS
(
    SELECT *, toUInt32(row_number() OVER (ORDER BY occurred_at, event_id)) AS number
    FROM {database}.agent_parents
),
tree AS
(
    SELECT
        groupArray((agent, parent, event, ended_at, evolution, its_generation, strategy)) AS known,
        arrayFold(
            (made, number, place, direct) -> if(
                direct OR has(made.1, place),
                (
                    arrayPushBack(made.1, number),
                    arrayPushBack(made.2, toUInt32(if(direct, 1, made.2[indexOf(made.1, place)] + 1)))
                ),
                made
            ),
            groupArray(number),
            groupArray(place),
            groupArray(parent = {agent:String}),
            (emptyArrayUInt32(), emptyArrayUInt32())
        ) AS found
    FROM
    (
        SELECT
            s.number AS number,
            p.number AS place,
            s.agent_id AS agent,
            s.parent_agent_id AS parent,
            s.event_id AS event,
            s.occurred_at AS ended_at,
            s.evolution_id AS evolution,
            s.generation AS its_generation,
            toString(s.strategy_used) AS strategy
        FROM steps AS s
        LEFT JOIN (SELECT event_id, number FROM steps) AS p ON s.parent_event_id = p.event_id
        ORDER BY number
    )
)
SELECT
    t.distance AS distance,
    t.step.1 AS agent_id,
    t.step.2 AS parent_agent_id,
    t.step.3 AS event_id,
    t.step.4 AS occurred_at,
    t.step.5 AS evolution_id,
    t.step.6 AS generation,
    t.step.7 AS strategy_used,
    m.improvement_delta AS gain
FROM
(
    SELECT distance, known[number] AS step
    FROM tree
    ARRAY JOIN found.1 AS number, found.2 AS distance
) AS t
LEFT JOIN {database}.evolution_metrics AS m ON m.agent_id = t.step.1 AND m.source_event_id = t.step.3
COMMENT 'The agents that were made from one\'s states, and from theirs: agent_descendants(agent = \'...\').';

-- What was known at a time: events that the broker had by then. That is `_timestamp`, the message's time in Kafka,
-- which stays the same when a sink stores a message again and when tables are rebuilt from Kafka; `_inserted_at` does
-- not. PREWHERE comes before FINAL: of an event's rows that were known, the newest is shown.

CREATE VIEW IF NOT EXISTS {database}.evolution_metrics_as_of
(
    id UUID COMMENT 'The same as event_id.',
    timestamp Float64 COMMENT 'occurred_at as Unix seconds; filter on occurred_at, which the table is sorted by.',
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node of the input event.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'Event time, UTC, microseconds since the Unix epoch.',
    source_event_id UUID COMMENT 'The raw event it was computed from.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    started_at DateTime64(6, 'UTC') COMMENT 'When the evolution began, UTC, microseconds since the Unix epoch.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String COMMENT 'Why the evolution was started.',
    status LowCardinality(String) COMMENT 'succeeded, failed, rolled_back or abandoned.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    duration_minutes Nullable(Float64) COMMENT 'How long it took, minutes; for an abandoned one, how long it was waited for.',
    performance_score Nullable(Float64) COMMENT 'Performance after (0-1 for the standard formula); null where unknown.',
    baseline_performance Nullable(Float64) COMMENT 'Performance before; null where unknown.',
    improvement_delta Nullable(Float64) COMMENT 'Performance after minus before; null where either is unknown.',
    relative_improvement Nullable(Float64) COMMENT 'improvement_delta / baseline_performance; null where the baseline is 0 or unknown.',
    quality_score Nullable(Float64) COMMENT 'The KPI output_quality after the evolution; null where not measured.',
    efficiency Nullable(Float64) COMMENT 'improvement_delta / (duration_minutes * memory_used_mb / 1000) where all are > 0, else 0; unknown, and named in unmeasured, where duration or memory is.',
    kpi_deltas Map(LowCardinality(String), Float64) COMMENT 'After minus before, for KPIs measured both times.',
    memory_used_mb Nullable(Float64) COMMENT 'Peak resident memory over the evolution\'s life of the recording process and its children together, MB (10^6 bytes); null where unknown.',
    cpu_percent_avg Nullable(Float64) COMMENT 'Mean CPU use over the evolution\'s life by the recording process and its children, percent of one core (200 = two cores busy); null where unknown.',
    gpu_memory_mb Nullable(Float64) COMMENT 'Peak GPU memory over the evolution\'s life of the recording process and its children, MB (10^6 bytes); null where none was used or could be read.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that the recording process\'s host sent and received over the evolution\'s life, loopback excluded.',
    error_count Nullable(Int64) COMMENT 'Errors during the evolution.',
    warning_count Nullable(Int64) COMMENT 'Warnings during the evolution.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Nullable(Int64) COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) COMMENT 'Fitness by iteration.',
    metadata Map(LowCardinality(String), String) COMMENT 'Free text by name.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    version Int64 COMMENT '0 where it was computed from its completion (or start) alone, 1 where it took from its start what its completion came without: the row with the highest is right.',
    known_at DateTime64(3, 'UTC') COMMENT 'Since when it is known: when the broker had the event.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id AS id,
    toUnixTimestamp64Micro(occurred_at) / 1000000 AS timestamp,
    event_id,
    agent_id,
    node_id,
    occurred_at,
    source_event_id,
    evolution_id,
    started_at,
    evolution_type,
    generation,
    strategy_used,
    risk_level,
    target_gain,
    trigger_reason,
    status,
    success,
    if(has(r.unmeasured, 'duration_minutes'), NULL, r.duration_minutes) AS duration_minutes,
    performance_score,
    baseline_performance,
    improvement_delta,
    relative_improvement,
    quality_score,
    if((ifNull(r.memory_used_mb, 0) = 0 AND r.efficiency = 0) OR has(r.unmeasured, 'efficiency'), NULL, r.efficiency) AS efficiency,
    kpi_deltas,
    if(r.memory_used_mb = 0 OR has(r.unmeasured, 'memory_used_mb'), NULL, r.memory_used_mb) AS memory_used_mb,
    if(has(r.unmeasured, 'cpu_percent_avg'), NULL, r.cpu_percent_avg) AS cpu_percent_avg,
    if(has(r.unmeasured, 'gpu_memory_mb'), NULL, r.gpu_memory_mb) AS gpu_memory_mb,
    if(has(r.unmeasured, 'network_bytes_transferred'), NULL, r.network_bytes_transferred) AS network_bytes_transferred,
    if(has(r.unmeasured, 'error_count'), NULL, r.error_count) AS error_count,
    if(has(r.unmeasured, 'warning_count'), NULL, r.warning_count) AS warning_count,
    rollback_performed,
    if(has(r.unmeasured, 'convergence_iterations'), NULL, r.convergence_iterations) AS convergence_iterations,
    fitness_trajectory,
    metadata,
    unmeasured,
    version,
    r._timestamp AS known_at
FROM {database}.evolution_metrics_rows AS r FINAL
PREWHERE r._timestamp <= {at:DateTime64(3, 'UTC')}
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'evolution_metrics as it was known at a time: evolution_metrics_as_of(at = \'2026-11-28 18:00:00\'), UTC. A row that was corrected since may be missing.';

CREATE VIEW IF NOT EXISTS {database}.kpi_snapshots_as_of
(
    id UUID COMMENT 'The same as event_id.',
    timestamp Float64 COMMENT 'occurred_at as Unix seconds; filter on occurred_at, which the table is sorted by.',
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id Nullable(String) COMMENT 'The evolution it was measured for; null outside one.',
    phase LowCardinality(String) COMMENT 'baseline, pre_evolution, post_evolution or continuous.',
    accuracy Nullable(Float64) COMMENT 'Share of right answers on held-out data (0-1); null where not measured.',
    response_time_ms Nullable(Float64) COMMENT 'Time per answer, milliseconds; null where not measured.',
    throughput_tps Nullable(Float64) COMMENT 'Answers per second; null where not measured.',
    success_rate Nullable(Float64) COMMENT 'Share of requests answered without error (0-1); null where not measured.',
    memory_usage_mb Nullable(Float64) COMMENT 'Memory in use, MB; null where not measured.',
    cpu_utilization Nullable(Float64) COMMENT 'Share of the CPU in use (0-1); null where not measured.',
    energy_efficiency Nullable(Float64) COMMENT 'Useful work per energy (0-1); null where not measured.',
    adaptation_rate Nullable(Float64) COMMENT 'How fast it learns from new data (0-1); null where not measured.',
    knowledge_retention Nullable(Float64) COMMENT 'Share of earlier ability kept (0-1); null where not measured.',
    generalization_ability Nullable(Float64) COMMENT 'Performance on unseen data relative to seen data (0-1); null where not measured.',
    output_quality Nullable(Float64) COMMENT 'Quality of its output (0-1); null where not measured.',
    consistency Nullable(Float64) COMMENT 'Agreement of its answers over resamples (0-1); null where not measured.',
    reliability Nullable(Float64) COMMENT 'Share of its ability kept under disturbance (0-1); null where not measured.',
    security_score Nullable(Float64) COMMENT 'Resistance to hostile input (0-1); null where not measured.',
    bias_score Nullable(Float64) COMMENT 'Difference in quality between groups (0-1, lower is better); null where not measured.',
    interpretability Nullable(Float64) COMMENT 'How well its decisions can be explained (0-1); null where not measured.',
    overall_performance Nullable(Float64) COMMENT 'Weighted performance (0-1); null where nothing was measured.',
    evaluation_count Nullable(Int64) COMMENT 'Evaluations behind the figures.',
    confidence_interval Nullable(Float64) COMMENT 'Half width of the 95 % interval of accuracy.',
    extra Map(LowCardinality(String), Float64) COMMENT 'KPIs beyond the standard ones, by name.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.',
    known_at DateTime64(3, 'UTC') COMMENT 'Since when it is known: when the broker had the event.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id AS id,
    toUnixTimestamp64Micro(occurred_at) / 1000000 AS timestamp,
    event_id,
    agent_id,
    node_id,
    occurred_at,
    evolution_id,
    phase,
    accuracy,
    response_time_ms,
    throughput_tps,
    success_rate,
    memory_usage_mb,
    cpu_utilization,
    energy_efficiency,
    adaptation_rate,
    knowledge_retention,
    generalization_ability,
    output_quality,
    consistency,
    reliability,
    security_score,
    bias_score,
    interpretability,
    overall_performance,
    evaluation_count,
    confidence_interval,
    extra,
    metadata,
    source_event_id,
    r._timestamp AS known_at
FROM {database}.kpi_snapshots_rows AS r FINAL
PREWHERE r._timestamp <= {at:DateTime64(3, 'UTC')}
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'kpi_snapshots as it was known at a time: kpi_snapshots_as_of(at = \'2026-11-28 18:00:00\'), UTC. A row that was corrected since may be missing.';
