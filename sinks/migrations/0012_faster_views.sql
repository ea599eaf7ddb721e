-- What a view costs beside its table. A view reads its table with FINAL, which compares the sorting keys of all rows
-- that it reads wherever a month of the table has more than one part.

-- An event by its id: the sorting key begins with the agent, so without an index every row's id is read.

ALTER TABLE {database}.evolution_started_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.evolution_progressed_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.evolution_completed_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.kpi_snapshots_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.system_events_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.evolution_metrics_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.kpi_deltas_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.success_rates_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.dead_letters_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.custom_metrics_rows ADD INDEX IF NOT EXISTS events event_id TYPE bloom_filter(0.01) GRANULARITY 1;

-- Rows that are stored already get the index in the background, without holding up inserts.

ALTER TABLE {database}.evolution_started_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.evolution_progressed_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.evolution_completed_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.kpi_snapshots_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.system_events_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.evolution_metrics_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.kpi_deltas_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.success_rates_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.dead_letters_rows MATERIALIZE INDEX events;
ALTER TABLE {database}.custom_metrics_rows MATERIALIZE INDEX events;

-- A month into which nothing was inserted for an hour is merged into one part, which FINAL reads as it is. By itself
-- ClickHouse leaves a handful of parts for ever.

ALTER TABLE {database}.evolution_started_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.evolution_progressed_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.evolution_completed_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.kpi_snapshots_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.system_events_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.evolution_metrics_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.kpi_deltas_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.success_rates_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.dead_letters_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;
ALTER TABLE {database}.custom_metrics_rows MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

-- Conditions on columns of the sorting key (agent, time, event_id) are applied before FINAL compares what is left,
-- instead of after: copies of an event agree in them. Conditions on other columns still come after, for the copies
-- may differ there. Indexes are on event_id and evolution_id, in which copies agree as well. Copies of an event have
-- its time, so they are in one month, but for those of dead_letters; the newest servers see that by themselves.
-- Maps have the type that storage gives them since 0006, instead of one that each row was converted to.

CREATE OR REPLACE VIEW {database}.evolution_started
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy LowCardinality(String) COMMENT 'Evolution strategy chosen.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String COMMENT 'Why the evolution was started.',
    pre_kpis Map(String, Float64) COMMENT 'KPIs measured before the evolution, by name.',
    cpu_percent Nullable(Float64) COMMENT 'CPU use of the recording process and its children at the start, percent of one core.',
    memory_mb Nullable(Float64) COMMENT 'Resident memory of the recording process and its children at the start, MB (10^6 bytes).',
    metadata Map(String, String) COMMENT 'Free text by name.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    evolution_id,
    evolution_type,
    generation,
    strategy,
    risk_level,
    target_gain,
    trigger_reason,
    pre_kpis,
    if(has(r.unmeasured, 'cpu_percent'), NULL, r.cpu_percent) AS cpu_percent,
    if(r.memory_mb = 0 OR has(r.unmeasured, 'memory_mb'), NULL, r.memory_mb) AS memory_mb,
    metadata,
    unmeasured,
    snapshot_phases
FROM {database}.evolution_started_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution of an agent has begun. Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_progressed
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    iteration Int64 COMMENT 'Iteration within the evolution, counted from 0.',
    fitness Nullable(Float64) COMMENT 'Fitness reached in this iteration, in the evolution\'s own unit.',
    cpu_percent Nullable(Float64) COMMENT 'CPU use of the recording process and its children, percent of one core.',
    memory_mb Nullable(Float64) COMMENT 'Resident memory of the recording process and its children, MB (10^6 bytes).',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    evolution_id,
    iteration,
    if(has(r.unmeasured, 'fitness'), NULL, r.fitness) AS fitness,
    if(has(r.unmeasured, 'cpu_percent'), NULL, r.cpu_percent) AS cpu_percent,
    if(r.memory_mb = 0 OR has(r.unmeasured, 'memory_mb'), NULL, r.memory_mb) AS memory_mb,
    unmeasured,
    metadata
FROM {database}.evolution_progressed_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution reports an iteration. Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_completed
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    started_at DateTime64(6, 'UTC') COMMENT 'When the evolution began, UTC, microseconds since the Unix epoch.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String COMMENT 'Why the evolution was started.',
    pre_kpis Map(String, Float64) COMMENT 'KPIs measured before the evolution, by name.',
    post_kpis Map(String, Float64) COMMENT 'KPIs measured after the evolution, by name; empty where it failed before they could be.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    status LowCardinality(String) COMMENT 'succeeded, failed or rolled_back.',
    duration_seconds Nullable(Float64) COMMENT 'How long the evolution took, seconds.',
    error_count Nullable(Int64) COMMENT 'Errors during the evolution.',
    warning_count Nullable(Int64) COMMENT 'Warnings during the evolution.',
    memory_used_mb Nullable(Float64) COMMENT 'Peak resident memory over the evolution\'s life of the recording process and its children together, MB (10^6 bytes).',
    cpu_percent_avg Nullable(Float64) COMMENT 'Mean CPU use over the evolution\'s life by the recording process and its children, percent of one core (200 = two cores busy).',
    gpu_memory_mb Nullable(Float64) COMMENT 'Peak GPU memory over the evolution\'s life of the recording process and its children, MB (10^6 bytes); null where none was used or could be read.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that the recording process\'s host sent and received over the evolution\'s life, loopback excluded.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Nullable(Int64) COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) COMMENT 'Fitness by iteration.',
    insights Array(String) COMMENT 'What was learned, one text each.',
    metadata Map(String, String) COMMENT 'Free text by name.',
    parent_agent_id Nullable(String) COMMENT 'The agent whose state this one\'s was made from (a copy, a mutation, the first parent of a crossover); null where it evolved from its own.',
    cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    progress_share Nullable(Float64) COMMENT 'Share of the reported progress that was recorded as events (0-1); null where none was reported.',
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    evolution_id,
    started_at,
    evolution_type,
    generation,
    strategy_used,
    risk_level,
    target_gain,
    trigger_reason,
    pre_kpis,
    post_kpis,
    success,
    status,
    if(has(r.unmeasured, 'duration_seconds'), NULL, r.duration_seconds) AS duration_seconds,
    if(has(r.unmeasured, 'error_count'), NULL, r.error_count) AS error_count,
    if(has(r.unmeasured, 'warning_count'), NULL, r.warning_count) AS warning_count,
    if(r.memory_used_mb = 0 OR has(r.unmeasured, 'memory_used_mb'), NULL, r.memory_used_mb) AS memory_used_mb,
    if(has(r.unmeasured, 'cpu_percent_avg'), NULL, r.cpu_percent_avg) AS cpu_percent_avg,
    if(has(r.unmeasured, 'gpu_memory_mb'), NULL, r.gpu_memory_mb) AS gpu_memory_mb,
    if(has(r.unmeasured, 'network_bytes_transferred'), NULL, r.network_bytes_transferred) AS network_bytes_transferred,
    rollback_performed,
    if(has(r.unmeasured, 'convergence_iterations'), NULL, r.convergence_iterations) AS convergence_iterations,
    fitness_trajectory,
    insights,
    metadata,
    parent_agent_id,
    cost_usd,
    unmeasured,
    progress_share,
    snapshot_phases
FROM {database}.evolution_completed_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution has ended. Stands alone: everything a delta needs is in it. Each event once.';

CREATE OR REPLACE VIEW {database}.kpi_snapshots
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
    extra Map(String, Float64) COMMENT 'KPIs beyond the standard ones, by name.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.'
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
    source_event_id
FROM {database}.kpi_snapshots_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An agent\'s KPIs, measured at one moment. Each event once.';

CREATE OR REPLACE VIEW {database}.system_events
(
    id UUID COMMENT 'The same as event_id.',
    timestamp Float64 COMMENT 'occurred_at as Unix seconds; filter on occurred_at, which the table is sorted by.',
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about, empty where it is about none (then node_id is the message key).',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    event_type LowCardinality(String) COMMENT 'Kind of event.',
    data String COMMENT 'Details as JSON text.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id AS id,
    toUnixTimestamp64Micro(occurred_at) / 1000000 AS timestamp,
    event_id,
    agent_id,
    node_id,
    occurred_at,
    event_type,
    data
FROM {database}.system_events_rows FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'Something about a node or the system, not one evolution. Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_metrics
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
    kpi_deltas Map(String, Float64) COMMENT 'After minus before, for KPIs measured both times.',
    memory_used_mb Nullable(Float64) COMMENT 'Peak resident memory over the evolution\'s life of the recording process and its children together, MB (10^6 bytes); null where unknown.',
    cpu_percent_avg Nullable(Float64) COMMENT 'Mean CPU use over the evolution\'s life by the recording process and its children, percent of one core (200 = two cores busy); null where unknown.',
    gpu_memory_mb Nullable(Float64) COMMENT 'Peak GPU memory over the evolution\'s life of the recording process and its children, MB (10^6 bytes); null where none was used or could be read.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that the recording process\'s host sent and received over the evolution\'s life, loopback excluded.',
    error_count Nullable(Int64) COMMENT 'Errors during the evolution.',
    warning_count Nullable(Int64) COMMENT 'Warnings during the evolution.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Nullable(Int64) COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) COMMENT 'Fitness by iteration.',
    metadata Map(String, String) COMMENT 'Free text by name.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    version Int64 COMMENT '0 where it was computed from its completion (or start) alone, 1 where it took from its start what its completion came without: the row with the highest is right.'
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
    version
FROM {database}.evolution_metrics_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'What one evolution achieved and cost, computed from its completion (or from its start, where it was abandoned). Each event once.';

CREATE OR REPLACE VIEW {database}.kpi_deltas
(
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node of the input event.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'Event time, UTC, microseconds since the Unix epoch.',
    snapshot_event_id UUID COMMENT 'The snapshot it was computed from.',
    phase LowCardinality(String) COMMENT 'The snapshot\'s phase.',
    previous_event_id Nullable(UUID) COMMENT 'The snapshot before it; null for the agent\'s first, and where a late snapshot\'s predecessor is no longer known.',
    previous_at Nullable(DateTime64(6, 'UTC')) COMMENT 'Event time of the snapshot before it; null where that is.',
    overall_performance Nullable(Float64) COMMENT 'Performance in the snapshot; null where nothing was measured.',
    overall_delta Nullable(Float64) COMMENT 'Performance minus that of the snapshot before; null where either is unknown.',
    deltas Map(String, Float64) COMMENT 'KPI minus the KPI before, for KPIs measured both times.',
    recommendation LowCardinality(String) COMMENT 'retain, evolve or retire.',
    version Int64 COMMENT 'Event time of the previous snapshot in microseconds, 0 for the first: the row with the highest is right.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    snapshot_event_id,
    phase,
    previous_event_id,
    previous_at,
    overall_performance,
    overall_delta,
    deltas,
    recommendation,
    version
FROM {database}.kpi_deltas_rows FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An agent\'s KPI snapshot minus the one before it in event time, and what it recommends. A late snapshot corrects its successor: same event_id, higher version. Each event once.';

CREATE OR REPLACE VIEW {database}.success_rates
(
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String COMMENT 'The agent, for the scope agent; else empty.',
    node_id LowCardinality(String) COMMENT 'The node, for the scope node; else empty.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'The window\'s end, UTC, microseconds since the Unix epoch.',
    scope LowCardinality(String) COMMENT 'agent, evolution_type, strategy, node or fleet.',
    scope_value String COMMENT 'Which agent, type, strategy or node; `all` for the fleet.',
    window_seconds Int64 COMMENT 'Length of the window: 3600, 86400 or 604800 seconds by default.',
    window_start DateTime64(6, 'UTC') COMMENT 'The window\'s start, inclusive.',
    window_end DateTime64(6, 'UTC') COMMENT 'The window\'s end, exclusive.',
    attempts Int64 COMMENT 'Completed evolutions in the window.',
    successes Int64 COMMENT 'Those of them that succeeded.',
    success_rate Float64 COMMENT 'successes / attempts (0-1).',
    wilson_low Float64 COMMENT 'Lower end of the Wilson 95 % interval.',
    wilson_high Float64 COMMENT 'Upper end of the Wilson 95 % interval.',
    version Int64 COMMENT 'Attempts known when it was computed: the row with the highest is right.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    scope,
    scope_value,
    window_seconds,
    window_start,
    window_end,
    attempts,
    successes,
    success_rate,
    wilson_low,
    wilson_high,
    version
FROM {database}.success_rates_rows FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'Rolling success rate of evolutions over a window of event time. Computed for each window end at which the newest step holds an attempt; corrected by late events: same event_id, higher version. Each event once.';

CREATE OR REPLACE VIEW {database}.dead_letters
(
    event_id UUID COMMENT 'UUIDv5 of source topic, partition, offset and stage: reporting a message twice gives the same id.',
    agent_id String COMMENT 'The bad message\'s key as text where it is readable, else empty.',
    node_id LowCardinality(String) COMMENT 'The worker that could not read or insert it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'The bad message\'s broker timestamp, UTC, microseconds since the Unix epoch.',
    source_topic LowCardinality(String) COMMENT 'Topic it was read from.',
    source_partition Int32 COMMENT 'Partition it was read from.',
    source_offset Int64 COMMENT 'Offset it was read at.',
    stage LowCardinality(String) COMMENT 'stream or sink: the part that gave up on it.',
    reason String COMMENT 'Why, in words.',
    message_key Nullable(String) COMMENT 'The message\'s key, byte for byte.',
    message_value Nullable(String) COMMENT 'The message\'s value, byte for byte; null where it had none.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    source_topic,
    source_partition,
    source_offset,
    stage,
    reason,
    message_key,
    message_value
FROM {database}.dead_letters_rows FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1
COMMENT 'A message that could not be read or inserted, with its bytes and the reason. Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_strategies
(
    id UUID COMMENT 'The evolution\'s event_id in evolution_metrics.',
    evolution_id String COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    strategy_name LowCardinality(String) COMMENT 'Evolution strategy applied.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    actual_gain Nullable(Float64) COMMENT 'Performance after minus before; null where either is unknown.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    applied_at Float64 COMMENT 'When the evolution began, Unix seconds.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id AS id,
    evolution_id,
    strategy_used AS strategy_name,
    risk_level,
    target_gain,
    improvement_delta AS actual_gain,
    success,
    toUnixTimestamp64Micro(started_at) / 1000000 AS applied_at
FROM {database}.evolution_metrics_rows FINAL
WHERE status != 'abandoned'
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'Which strategy each completed evolution applied, and what it gained.';

CREATE OR REPLACE VIEW {database}.custom_metrics
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String COMMENT 'The agent this is about, empty where it is about none (then node_id is the message key).',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') COMMENT 'When it was observed (event time), UTC, microseconds since the Unix epoch.',
    name LowCardinality(String) COMMENT 'The metric\'s name, by Prometheus\' rules.',
    kind LowCardinality(String) COMMENT 'counter, gauge, histogram or summary.',
    value Float64 COMMENT 'What was observed: for a counter the increase, for a gauge the value, else the observation.',
    labels Map(String, String) COMMENT 'The observation\'s labels by name.',
    unit LowCardinality(String) COMMENT 'The metric\'s unit, e.g. seconds or bytes; empty where it has none.',
    help LowCardinality(String) COMMENT 'What the metric says, as registered.'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    agent_id,
    node_id,
    occurred_at,
    name,
    kind,
    value,
    labels,
    unit,
    help
FROM {database}.custom_metrics_rows FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'One observation of a metric that a node\'s own code has registered. Each event once.';
