-- What was not measured is NULL. Each event names such figures in `unmeasured`; storage keeps what came, 0 in
-- their place, and the views show NULL, so that averages, sums and trends leave them out. So is the memory of
-- events of earlier versions, which wrote 0 where it was not measured: a process never takes 0 MB.
-- Besides: metadata of progress and snapshots, the share of the progress that was recorded, whether an
-- evolution's row was joined with its start, and custom metrics.

ALTER TABLE {database}.evolution_started_rows
    ADD COLUMN IF NOT EXISTS unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.' AFTER metadata,
    ADD COLUMN IF NOT EXISTS snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.' AFTER unmeasured,
    COMMENT COLUMN cpu_percent 'CPU use of the recording process and its children at the start, percent of one core.',
    COMMENT COLUMN memory_mb 'Resident memory of the recording process and its children at the start, MB (10^6 bytes).',
    ADD CONSTRAINT IF NOT EXISTS readable_v2 CHECK
        isValidUTF8(arrayStringConcat(unmeasured, '|'))
        AND hasAll(['pre_evolution', 'post_evolution'], snapshot_phases);

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
    pre_kpis Map(LowCardinality(String), Float64) COMMENT 'KPIs measured before the evolution, by name.',
    cpu_percent Nullable(Float64) COMMENT 'CPU use of the recording process and its children at the start, percent of one core.',
    memory_mb Nullable(Float64) COMMENT 'Resident memory of the recording process and its children at the start, MB (10^6 bytes).',
    metadata Map(LowCardinality(String), String) COMMENT 'Free text by name.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.'
)
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
COMMENT 'An evolution of an agent has begun. Each event once.';

ALTER TABLE {database}.evolution_progressed_rows
    ADD COLUMN IF NOT EXISTS unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.' AFTER memory_mb,
    ADD COLUMN IF NOT EXISTS metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.' AFTER unmeasured,
    COMMENT COLUMN cpu_percent 'CPU use of the recording process and its children, percent of one core.',
    COMMENT COLUMN memory_mb 'Resident memory of the recording process and its children, MB (10^6 bytes).',
    ADD CONSTRAINT IF NOT EXISTS readable_v2 CHECK
        isValidUTF8(concatWithSeparator(
            '|', arrayStringConcat(unmeasured, '|'), arrayStringConcat(mapKeys(metadata), '|'),
            arrayStringConcat(mapValues(metadata), '|')
        ));

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
COMMENT 'An evolution reports an iteration. Each event once.';

ALTER TABLE {database}.evolution_completed_rows
    ADD COLUMN IF NOT EXISTS unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.' AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS progress_share Nullable(Float64) COMMENT 'Share of the reported progress that was recorded as events (0-1); null where none was reported.' AFTER unmeasured,
    ADD COLUMN IF NOT EXISTS snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.' AFTER progress_share,
    COMMENT COLUMN memory_used_mb 'Peak resident memory over the evolution\'s life of the recording process and its children together, MB (10^6 bytes).',
    COMMENT COLUMN cpu_percent_avg 'Mean CPU use over the evolution\'s life by the recording process and its children, percent of one core (200 = two cores busy).',
    COMMENT COLUMN gpu_memory_mb 'Peak GPU memory over the evolution\'s life of the recording process and its children, MB (10^6 bytes); null where none was used or could be read.',
    COMMENT COLUMN network_bytes_transferred 'Bytes that the recording process\'s host sent and received over the evolution\'s life, loopback excluded.',
    ADD CONSTRAINT IF NOT EXISTS readable_v3 CHECK
        isValidUTF8(arrayStringConcat(unmeasured, '|'))
        AND ifNull(progress_share, 0) >= 0
        AND ifNull(progress_share, 0) <= 1
        AND hasAll(['pre_evolution', 'post_evolution'], snapshot_phases);

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
    pre_kpis Map(LowCardinality(String), Float64) COMMENT 'KPIs measured before the evolution, by name.',
    post_kpis Map(LowCardinality(String), Float64) COMMENT 'KPIs measured after the evolution, by name; empty where it failed before they could be.',
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
    metadata Map(LowCardinality(String), String) COMMENT 'Free text by name.',
    parent_agent_id Nullable(String) COMMENT 'The agent whose state this one\'s was made from (a copy, a mutation, the first parent of a crossover); null where it evolved from its own.',
    cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.',
    unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.',
    progress_share Nullable(Float64) COMMENT 'Share of the reported progress that was recorded as events (0-1); null where none was reported.',
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.'
)
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
COMMENT 'An evolution has ended. Stands alone: everything a delta needs is in it. Each event once.';

ALTER TABLE {database}.kpi_snapshots_rows
    ADD COLUMN IF NOT EXISTS metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.' AFTER extra,
    ADD COLUMN IF NOT EXISTS source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.' AFTER metadata,
    ADD CONSTRAINT IF NOT EXISTS readable_v2 CHECK
        isValidUTF8(concatWithSeparator(
            '|', arrayStringConcat(mapKeys(metadata), '|'), arrayStringConcat(mapValues(metadata), '|')
        ));

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
    extra Map(LowCardinality(String), Float64) COMMENT 'KPIs beyond the standard ones, by name.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.'
)
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
COMMENT 'An agent\'s KPIs, measured at one moment. Each event once.';

ALTER TABLE {database}.evolution_metrics_rows
    ADD COLUMN IF NOT EXISTS unmeasured Array(String) COMMENT 'Names of the figures that could not be measured or were not given a usable value; each is 0 in its own field and NULL in ClickHouse.' AFTER metadata,
    ADD COLUMN IF NOT EXISTS version Int64 COMMENT '0 where it was computed from its completion (or start) alone, 1 where it took from its start what its completion came without: the row with the highest is right.' AFTER unmeasured,
    COMMENT COLUMN efficiency 'improvement_delta / (duration_minutes * memory_used_mb / 1000) where all are > 0, else 0; unknown, and named in unmeasured, where duration or memory is.',
    COMMENT COLUMN memory_used_mb 'Peak resident memory over the evolution\'s life of the recording process and its children together, MB (10^6 bytes); null where unknown.',
    COMMENT COLUMN cpu_percent_avg 'Mean CPU use over the evolution\'s life by the recording process and its children, percent of one core (200 = two cores busy); null where unknown.',
    COMMENT COLUMN gpu_memory_mb 'Peak GPU memory over the evolution\'s life of the recording process and its children, MB (10^6 bytes); null where none was used or could be read.',
    COMMENT COLUMN network_bytes_transferred 'Bytes that the recording process\'s host sent and received over the evolution\'s life, loopback excluded.',
    ADD CONSTRAINT IF NOT EXISTS readable_v2 CHECK
        isValidUTF8(arrayStringConcat(unmeasured, '|'));

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
    version Int64 COMMENT '0 where it was computed from its completion (or start) alone, 1 where it took from its start what its completion came without: the row with the highest is right.'
)
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
COMMENT 'What one evolution achieved and cost, computed from its completion (or from its start, where it was abandoned). Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_hourly
(
    hour DateTime('UTC') COMMENT 'The hour in which the evolutions ended, UTC.',
    agent_id String COMMENT 'The agent they are about.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    attempts UInt64 COMMENT 'Evolutions that ended; abandoned ones did not.',
    successes UInt64 COMMENT 'Of these, how many were kept.',
    failures UInt64 COMMENT 'Of these, how many failed.',
    rollbacks UInt64 COMMENT 'Of these, how many were rolled back.',
    abandoned UInt64 COMMENT 'Evolutions that began and were not heard of again in time, by when that was clear.',
    success_rate Nullable(Float64) COMMENT 'successes / attempts (0-1); null without attempts.',
    mean_improvement Nullable(Float64) COMMENT 'Mean performance after minus before; null where it is known of none.',
    total_improvement Float64 COMMENT 'Sum of it, where it is known.',
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null where it is known of none.',
    duration_minutes Nullable(Float64) COMMENT 'Minutes that the attempts took, together, where known; null where it is known of none.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt (its process and children), MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that hosts sent and received over the lives of the attempts, together, where known, loopback excluded; null where it is known of none.',
    errors Int64 COMMENT 'Errors during them, together.',
    warnings Int64 COMMENT 'Warnings during them, together.'
)
AS SELECT
    toStartOfHour(occurred_at) AS hour,
    agent_id,
    evolution_type,
    strategy_used,
    countIf(status != 'abandoned') AS attempts,
    countIf(success) AS successes,
    countIf(status = 'failed') AS failures,
    countIf(status = 'rolled_back') AS rollbacks,
    countIf(status = 'abandoned') AS abandoned,
    successes / nullIf(attempts, 0) AS success_rate,
    avgOrNull(improvement_delta) AS mean_improvement,
    coalesce(sumOrNull(improvement_delta), 0) AS total_improvement,
    avgOrNullIf(efficiency, status != 'abandoned') AS mean_efficiency,
    sumOrNullIf(duration_minutes, status != 'abandoned') AS duration_minutes,
    max(memory_used_mb) AS memory_used_mb,
    sumOrNullIf(network_bytes_transferred, status != 'abandoned') AS network_bytes_transferred,
    coalesce(sum(error_count), 0) AS errors,
    coalesce(sum(warning_count), 0) AS warnings
FROM {database}.evolution_metrics
GROUP BY hour, agent_id, evolution_type, strategy_used
COMMENT 'Evolutions by hour, agent, type and strategy; from evolution_metrics, each evolution once.';

CREATE OR REPLACE VIEW {database}.evolution_daily
(
    day Date COMMENT 'The day in which the evolutions ended, UTC.',
    agent_id String COMMENT 'The agent they are about.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    attempts UInt64 COMMENT 'Evolutions that ended; abandoned ones did not.',
    successes UInt64 COMMENT 'Of these, how many were kept.',
    failures UInt64 COMMENT 'Of these, how many failed.',
    rollbacks UInt64 COMMENT 'Of these, how many were rolled back.',
    abandoned UInt64 COMMENT 'Evolutions that began and were not heard of again in time, by when that was clear.',
    success_rate Nullable(Float64) COMMENT 'successes / attempts (0-1); null without attempts.',
    mean_improvement Nullable(Float64) COMMENT 'Mean performance after minus before; null where it is known of none.',
    total_improvement Float64 COMMENT 'Sum of it, where it is known.',
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null where it is known of none.',
    duration_minutes Nullable(Float64) COMMENT 'Minutes that the attempts took, together, where known; null where it is known of none.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt (its process and children), MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that hosts sent and received over the lives of the attempts, together, where known, loopback excluded; null where it is known of none.',
    errors Int64 COMMENT 'Errors during them, together.',
    warnings Int64 COMMENT 'Warnings during them, together.'
)
AS SELECT
    toDate(occurred_at) AS day,
    agent_id,
    evolution_type,
    strategy_used,
    countIf(status != 'abandoned') AS attempts,
    countIf(success) AS successes,
    countIf(status = 'failed') AS failures,
    countIf(status = 'rolled_back') AS rollbacks,
    countIf(status = 'abandoned') AS abandoned,
    successes / nullIf(attempts, 0) AS success_rate,
    avgOrNull(improvement_delta) AS mean_improvement,
    coalesce(sumOrNull(improvement_delta), 0) AS total_improvement,
    avgOrNullIf(efficiency, status != 'abandoned') AS mean_efficiency,
    sumOrNullIf(duration_minutes, status != 'abandoned') AS duration_minutes,
    max(memory_used_mb) AS memory_used_mb,
    sumOrNullIf(network_bytes_transferred, status != 'abandoned') AS network_bytes_transferred,
    coalesce(sum(error_count), 0) AS errors,
    coalesce(sum(warning_count), 0) AS warnings
FROM {database}.evolution_metrics
GROUP BY day, agent_id, evolution_type, strategy_used
COMMENT 'Evolutions by day, agent, type and strategy; from evolution_metrics, each evolution once.';

CREATE TABLE IF NOT EXISTS {database}.custom_metrics_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(LZ4) COMMENT 'The agent this is about, empty where it is about none (then node_id is the message key).',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), LZ4) COMMENT 'When it was observed (event time), UTC, microseconds since the Unix epoch.',
    name LowCardinality(String) COMMENT 'The metric\'s name, by Prometheus\' rules.',
    kind LowCardinality(String) COMMENT 'counter, gauge, histogram or summary.',
    value Float64 CODEC(LZ4) COMMENT 'What was observed: for a counter the increase, for a gauge the value, else the observation.',
    labels Map(String, String) CODEC(LZ4) COMMENT 'The observation\'s labels by name.',
    unit LowCardinality(String) COMMENT 'The metric\'s unit, e.g. seconds or bytes; empty where it has none.',
    help LowCardinality(String) COMMENT 'What the metric says, as registered.',
    _topic LowCardinality(String) DEFAULT 'evometrics.custom.metrics' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), LZ4) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), LZ4) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), LZ4) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    CONSTRAINT readable CHECK
        _topic = 'evometrics.custom.metrics'
        AND isValidUTF8(concatWithSeparator(
            '|', agent_id, node_id, name, kind, unit, help, arrayStringConcat(mapKeys(labels), '|'),
            arrayStringConcat(mapValues(labels), '|')
        ))
        AND NOT has([node_id, name], '')
        AND has(['counter', 'gauge', 'histogram', 'summary'], kind)
        AND arrayAll(x -> lengthUTF8(x) <= 1000, [agent_id, node_id, name])
        AND isFinite(value)
        AND toUnixTimestamp64Micro(occurred_at) >= 0
        AND toUnixTimestamp64Micro(occurred_at) <= toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (name, agent_id, occurred_at, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Storage of custom_metrics: an event may be in it more than once. Read custom_metrics instead.';

CREATE VIEW IF NOT EXISTS {database}.custom_metrics
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
COMMENT 'One observation of a metric that a node\'s own code has registered. Each event once.';
