-- What frameworks evolve with: several parents, what a candidate took, the candidate itself, the run that it belongs
-- to, and an objective that is no share of 1. Figures of progress beside the fitness. Candidates that were pruned or
-- rejected.

ALTER TABLE {database}.evolution_started_rows
    ADD COLUMN IF NOT EXISTS run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.' AFTER snapshot_phases,
    ADD COLUMN IF NOT EXISTS model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.' AFTER run_id,
    ADD COLUMN IF NOT EXISTS objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.' AFTER model,
    ADD COLUMN IF NOT EXISTS direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.' AFTER objective,
    ADD CONSTRAINT IF NOT EXISTS readable_v3 CHECK
        isValidUTF8(concatWithSeparator('|', ifNull(run_id, ''), ifNull(model, ''), ifNull(objective, '')))
        AND arrayAll(x -> lengthUTF8(ifNull(x, '')) <= 1000, [run_id, model, objective])
        AND has(['maximize', 'minimize', 'pareto'], ifNull(direction, 'maximize'));

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
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.',
    run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.',
    model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.',
    objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.'
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
    snapshot_phases,
    run_id,
    model,
    objective,
    direction
FROM {database}.evolution_started_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution of an agent has begun. Each event once.';

ALTER TABLE {database}.evolution_progressed_rows
    ADD COLUMN IF NOT EXISTS evaluations Nullable(Int64) COMMENT 'Evaluations up to and including this iteration; null where unknown.' AFTER metadata,
    ADD COLUMN IF NOT EXISTS mean Nullable(Float64) COMMENT 'Mean fitness of this iteration\'s candidates; null where unknown.' AFTER evaluations,
    ADD COLUMN IF NOT EXISTS front_size Nullable(Int64) COMMENT 'Candidates on the Pareto front after this iteration; null where there is none or it is unknown.' AFTER mean,
    ADD COLUMN IF NOT EXISTS extras Map(String, Float64) COMMENT 'Further figures of the iteration, by name.' AFTER front_size,
    ADD CONSTRAINT IF NOT EXISTS readable_v3 CHECK
        isValidUTF8(arrayStringConcat(mapKeys(extras), '|'))
        AND isFinite(ifNull(mean, 0))
        AND arrayAll(x -> isFinite(x), mapValues(extras))
        AND least(ifNull(evaluations, 0), ifNull(front_size, 0)) >= 0;

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
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    evaluations Nullable(Int64) COMMENT 'Evaluations up to and including this iteration; null where unknown.',
    mean Nullable(Float64) COMMENT 'Mean fitness of this iteration\'s candidates; null where unknown.',
    front_size Nullable(Int64) COMMENT 'Candidates on the Pareto front after this iteration; null where there is none or it is unknown.',
    extras Map(String, Float64) COMMENT 'Further figures of the iteration, by name.'
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
    metadata,
    evaluations,
    mean,
    front_size,
    extras
FROM {database}.evolution_progressed_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution reports an iteration. Each event once.';

ALTER TABLE {database}.evolution_completed_rows
    ADD COLUMN IF NOT EXISTS parent_agent_ids Array(String) COMMENT 'The agents whose states this one\'s was made from, the first of them parent_agent_id: several for a merge or a crossover; empty where it evolved from its own.' AFTER snapshot_phases,
    ADD COLUMN IF NOT EXISTS tokens_in Nullable(Int64) COMMENT 'Tokens that models were given for it; null where unknown.' AFTER parent_agent_ids,
    ADD COLUMN IF NOT EXISTS tokens_out Nullable(Int64) COMMENT 'Tokens that models answered for it; null where unknown.' AFTER tokens_in,
    ADD COLUMN IF NOT EXISTS evaluations Nullable(Int64) COMMENT 'How many evaluations it took; null where unknown.' AFTER tokens_out,
    ADD COLUMN IF NOT EXISTS model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.' AFTER evaluations,
    ADD COLUMN IF NOT EXISTS candidate Nullable(String) COMMENT 'Text of the program or prompt that was tried, of a longer one the first 65,536 bytes of UTF-8; null where unknown.' AFTER model,
    ADD COLUMN IF NOT EXISTS candidate_hash Nullable(String) COMMENT 'SHA-256 of the candidate\'s whole text, 64 hexadecimal digits; null where unknown.' AFTER candidate,
    ADD COLUMN IF NOT EXISTS run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.' AFTER candidate_hash,
    ADD COLUMN IF NOT EXISTS objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.' AFTER run_id,
    ADD COLUMN IF NOT EXISTS direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.' AFTER objective,
    COMMENT COLUMN status 'succeeded, failed, rolled_back, pruned (its evaluation was stopped early) or rejected (refused before a full evaluation).',
    ADD CONSTRAINT IF NOT EXISTS readable_v4 CHECK
        isValidUTF8(concatWithSeparator(
            '|', arrayStringConcat(parent_agent_ids, '|'), ifNull(model, ''), ifNull(candidate, ''),
            ifNull(run_id, ''), ifNull(objective, '')
        ))
        AND arrayAll(x -> lengthUTF8(x) BETWEEN 1 AND 1000, parent_agent_ids)
        AND arrayAll(x -> lengthUTF8(ifNull(x, '')) <= 1000, [model, run_id, objective])
        AND least(ifNull(tokens_in, 0), ifNull(tokens_out, 0), ifNull(evaluations, 0)) >= 0
        AND (candidate_hash IS NULL OR match(candidate_hash, '^[0-9a-f]{64}$'))
        AND has(['maximize', 'minimize', 'pareto'], ifNull(direction, 'maximize')),
    ADD CONSTRAINT IF NOT EXISTS readable_base CHECK
        _topic = 'evometrics.evolution.completed'
        AND isValidUTF8(concatWithSeparator(
            '|', agent_id, node_id, evolution_id, evolution_type, strategy_used, risk_level, trigger_reason,
            arrayStringConcat(insights, '|'), arrayStringConcat(mapKeys(pre_kpis), '|'),
            arrayStringConcat(mapKeys(post_kpis), '|'), arrayStringConcat(mapKeys(metadata), '|'),
            arrayStringConcat(mapValues(metadata), '|')
        ))
        AND NOT has([agent_id, node_id, evolution_id], '')
        AND has(['failed', 'pruned', 'rejected', 'rolled_back', 'succeeded'], status)
        AND duration_seconds >= 0
        AND least(error_count, warning_count, convergence_iterations, network_bytes_transferred) >= 0
        AND arrayAll(x -> lengthUTF8(x) <= 1000, [
            agent_id, node_id, evolution_id, evolution_type, strategy_used, risk_level
        ])
        AND arrayAll(x -> isFinite(ifNull(x, 0)), arrayConcat(
            mapValues(pre_kpis), mapValues(post_kpis), fitness_trajectory,
            [duration_seconds, memory_used_mb, cpu_percent_avg, gpu_memory_mb, target_gain]
        ))
        AND toUnixTimestamp64Micro(least(occurred_at, started_at)) >= 0
        AND toUnixTimestamp64Micro(greatest(occurred_at, started_at)) <= toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000,
    DROP CONSTRAINT IF EXISTS readable;

-- A candidate is a text of kilobytes, like those before it.

ALTER TABLE {database}.evolution_completed_rows MODIFY COLUMN candidate CODEC(ZSTD(1));

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
    status LowCardinality(String) COMMENT 'succeeded, failed, rolled_back, pruned (its evaluation was stopped early) or rejected (refused before a full evaluation).',
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
    snapshot_phases Array(String) COMMENT 'Phases (pre_evolution, post_evolution) of which the KPIs here are the agent\'s snapshot, made by the stream; not those of which the recorder sent one itself.',
    parent_agent_ids Array(String) COMMENT 'The agents whose states this one\'s was made from, the first of them parent_agent_id: several for a merge or a crossover; empty where it evolved from its own.',
    tokens_in Nullable(Int64) COMMENT 'Tokens that models were given for it; null where unknown.',
    tokens_out Nullable(Int64) COMMENT 'Tokens that models answered for it; null where unknown.',
    evaluations Nullable(Int64) COMMENT 'How many evaluations it took; null where unknown.',
    model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.',
    candidate Nullable(String) COMMENT 'Text of the program or prompt that was tried, of a longer one the first 65,536 bytes of UTF-8; null where unknown.',
    candidate_hash Nullable(String) COMMENT 'SHA-256 of the candidate\'s whole text, 64 hexadecimal digits; null where unknown.',
    run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.',
    objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.'
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
    snapshot_phases,
    parent_agent_ids,
    tokens_in,
    tokens_out,
    evaluations,
    model,
    candidate,
    candidate_hash,
    run_id,
    objective,
    direction
FROM {database}.evolution_completed_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An evolution has ended. Stands alone: everything a delta needs is in it. Each event once.';

ALTER TABLE {database}.kpi_snapshots_rows
    ADD COLUMN IF NOT EXISTS objective Nullable(String) COMMENT 'The KPI that is optimized; null where that is the performance, or several KPIs are.' AFTER source_event_id,
    ADD COLUMN IF NOT EXISTS direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.' AFTER objective,
    COMMENT COLUMN overall_performance 'Weighted performance (0-1), or the objective\'s value where one is stated; null where nothing was measured.',
    ADD CONSTRAINT IF NOT EXISTS readable_v3 CHECK
        isValidUTF8(ifNull(objective, ''))
        AND lengthUTF8(ifNull(objective, '')) <= 1000
        AND has(['maximize', 'minimize', 'pareto'], ifNull(direction, 'maximize'));

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
    overall_performance Nullable(Float64) COMMENT 'Weighted performance (0-1), or the objective\'s value where one is stated; null where nothing was measured.',
    evaluation_count Nullable(Int64) COMMENT 'Evaluations behind the figures.',
    confidence_interval Nullable(Float64) COMMENT 'Half width of the 95 % interval of accuracy.',
    extra Map(String, Float64) COMMENT 'KPIs beyond the standard ones, by name.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.',
    objective Nullable(String) COMMENT 'The KPI that is optimized; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.'
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
    objective,
    direction
FROM {database}.kpi_snapshots_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'An agent\'s KPIs, measured at one moment. Each event once.';

CREATE OR REPLACE VIEW {database}.kpi_snapshots_as_of
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
    overall_performance Nullable(Float64) COMMENT 'Weighted performance (0-1), or the objective\'s value where one is stated; null where nothing was measured.',
    evaluation_count Nullable(Int64) COMMENT 'Evaluations behind the figures.',
    confidence_interval Nullable(Float64) COMMENT 'Half width of the 95 % interval of accuracy.',
    extra Map(LowCardinality(String), Float64) COMMENT 'KPIs beyond the standard ones, by name.',
    metadata Map(String, String) COMMENT 'Free text by name; `evometrics.left_out` names values that could not be kept, as JSON.',
    source_event_id Nullable(UUID) COMMENT 'The event of an evolution whose KPIs these are: the stream made the snapshot of it. Null where it was recorded as one.',
    objective Nullable(String) COMMENT 'The KPI that is optimized; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.',
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
    objective,
    direction,
    r._timestamp AS known_at
FROM {database}.kpi_snapshots_rows AS r FINAL
PREWHERE r._timestamp <= {at:DateTime64(3, 'UTC')}
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'kpi_snapshots as it was known at a time: kpi_snapshots_as_of(at = \'2026-11-28 18:00:00\'), UTC. A row that was corrected since may be missing.';

ALTER TABLE {database}.evolution_metrics_rows
    ADD COLUMN IF NOT EXISTS parent_agent_ids Array(String) COMMENT 'The agents whose states this one\'s was made from, the first of them parent_agent_id: several for a merge or a crossover; empty where it evolved from its own.' AFTER version,
    ADD COLUMN IF NOT EXISTS cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.' AFTER parent_agent_ids,
    ADD COLUMN IF NOT EXISTS tokens_in Nullable(Int64) COMMENT 'Tokens that models were given for it; null where unknown.' AFTER cost_usd,
    ADD COLUMN IF NOT EXISTS tokens_out Nullable(Int64) COMMENT 'Tokens that models answered for it; null where unknown.' AFTER tokens_in,
    ADD COLUMN IF NOT EXISTS evaluations Nullable(Int64) COMMENT 'How many evaluations it took; null where unknown.' AFTER tokens_out,
    ADD COLUMN IF NOT EXISTS model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.' AFTER evaluations,
    ADD COLUMN IF NOT EXISTS run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.' AFTER model,
    ADD COLUMN IF NOT EXISTS objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.' AFTER run_id,
    ADD COLUMN IF NOT EXISTS direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.' AFTER objective,
    ADD COLUMN IF NOT EXISTS candidate_hash Nullable(String) COMMENT 'SHA-256 of the candidate\'s whole text, 64 hexadecimal digits; null where unknown.' AFTER direction,
    COMMENT COLUMN status 'succeeded, failed, rolled_back, pruned (its evaluation was stopped early), rejected (refused before a full evaluation) or abandoned.',
    COMMENT COLUMN performance_score 'Performance after: the objective\'s value where one is stated, else 0-1 for the standard formula; null where unknown, and where several KPIs are optimized.',
    COMMENT COLUMN baseline_performance 'Performance before, likewise; null where unknown.',
    COMMENT COLUMN improvement_delta 'How much better the performance got: after minus before, or before minus after where it is minimized; null where either is unknown.',
    COMMENT COLUMN relative_improvement 'improvement_delta / |baseline_performance|; null where the baseline is 0 or unknown.',
    ADD CONSTRAINT IF NOT EXISTS readable_v3 CHECK
        isValidUTF8(concatWithSeparator(
            '|', arrayStringConcat(parent_agent_ids, '|'), ifNull(model, ''), ifNull(run_id, ''),
            ifNull(objective, ''), ifNull(direction, ''), ifNull(candidate_hash, '')
        ));

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
    status LowCardinality(String) COMMENT 'succeeded, failed, rolled_back, pruned (its evaluation was stopped early), rejected (refused before a full evaluation) or abandoned.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    duration_minutes Nullable(Float64) COMMENT 'How long it took, minutes; for an abandoned one, how long it was waited for.',
    performance_score Nullable(Float64) COMMENT 'Performance after: the objective\'s value where one is stated, else 0-1 for the standard formula; null where unknown, and where several KPIs are optimized.',
    baseline_performance Nullable(Float64) COMMENT 'Performance before, likewise; null where unknown.',
    improvement_delta Nullable(Float64) COMMENT 'How much better the performance got: after minus before, or before minus after where it is minimized; null where either is unknown.',
    relative_improvement Nullable(Float64) COMMENT 'improvement_delta / |baseline_performance|; null where the baseline is 0 or unknown.',
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
    version Int64 COMMENT '0 where it was computed from its completion (or start) alone, 1 where it took from its start what its completion came without: the row with the highest is right.',
    parent_agent_ids Array(String) COMMENT 'The agents whose states this one\'s was made from, the first of them parent_agent_id: several for a merge or a crossover; empty where it evolved from its own.',
    cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.',
    tokens_in Nullable(Int64) COMMENT 'Tokens that models were given for it; null where unknown.',
    tokens_out Nullable(Int64) COMMENT 'Tokens that models answered for it; null where unknown.',
    evaluations Nullable(Int64) COMMENT 'How many evaluations it took; null where unknown.',
    model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.',
    run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.',
    objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.',
    candidate_hash Nullable(String) COMMENT 'SHA-256 of the candidate\'s whole text, 64 hexadecimal digits; null where unknown.'
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
    parent_agent_ids,
    cost_usd,
    tokens_in,
    tokens_out,
    evaluations,
    model,
    run_id,
    objective,
    direction,
    candidate_hash
FROM {database}.evolution_metrics_rows AS r FINAL
SETTINGS optimize_move_to_prewhere_if_final = 1, use_skip_indexes_if_final = 1, do_not_merge_across_partitions_select_final = 1
COMMENT 'What one evolution achieved and cost, computed from its completion (or from its start, where it was abandoned). Each event once.';

CREATE OR REPLACE VIEW {database}.evolution_metrics_as_of
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
    status LowCardinality(String) COMMENT 'succeeded, failed, rolled_back, pruned (its evaluation was stopped early), rejected (refused before a full evaluation) or abandoned.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    duration_minutes Nullable(Float64) COMMENT 'How long it took, minutes; for an abandoned one, how long it was waited for.',
    performance_score Nullable(Float64) COMMENT 'Performance after: the objective\'s value where one is stated, else 0-1 for the standard formula; null where unknown, and where several KPIs are optimized.',
    baseline_performance Nullable(Float64) COMMENT 'Performance before, likewise; null where unknown.',
    improvement_delta Nullable(Float64) COMMENT 'How much better the performance got: after minus before, or before minus after where it is minimized; null where either is unknown.',
    relative_improvement Nullable(Float64) COMMENT 'improvement_delta / |baseline_performance|; null where the baseline is 0 or unknown.',
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
    parent_agent_ids Array(String) COMMENT 'The agents whose states this one\'s was made from, the first of them parent_agent_id: several for a merge or a crossover; empty where it evolved from its own.',
    cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.',
    tokens_in Nullable(Int64) COMMENT 'Tokens that models were given for it; null where unknown.',
    tokens_out Nullable(Int64) COMMENT 'Tokens that models answered for it; null where unknown.',
    evaluations Nullable(Int64) COMMENT 'How many evaluations it took; null where unknown.',
    model Nullable(String) COMMENT 'The model that made the candidate, e.g. a language model\'s name; null where there was none or it is unknown.',
    run_id Nullable(String) COMMENT 'The run that it belongs to: a night, a study, one run of a framework; null where unknown.',
    objective Nullable(String) COMMENT 'The KPI that is optimized, one of those before and after; null where that is the performance, or several KPIs are.',
    direction Nullable(String) COMMENT 'maximize or minimize the objective, or pareto where several KPIs are optimized; null where nothing is stated and the performance is to grow. With an objective or a direction no KPI threshold judges the agent.',
    candidate_hash Nullable(String) COMMENT 'SHA-256 of the candidate\'s whole text, 64 hexadecimal digits; null where unknown.',
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
    parent_agent_ids,
    cost_usd,
    tokens_in,
    tokens_out,
    evaluations,
    model,
    run_id,
    objective,
    direction,
    candidate_hash,
    r._timestamp AS known_at
FROM {database}.evolution_metrics_rows AS r FINAL
PREWHERE r._timestamp <= {at:DateTime64(3, 'UTC')}
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'evolution_metrics as it was known at a time: evolution_metrics_as_of(at = \'2026-11-28 18:00:00\'), UTC. A row that was corrected since may be missing.';

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
    mean_improvement Nullable(Float64) COMMENT 'Mean of how much better the performance got; null where it is known of none.',
    total_improvement Float64 COMMENT 'Sum of it, where it is known.',
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null where it is known of none.',
    duration_minutes Nullable(Float64) COMMENT 'Minutes that the attempts took, together, where known; null where it is known of none.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt (its process and children), MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that hosts sent and received over the lives of the attempts, together, where known, loopback excluded; null where it is known of none.',
    errors Int64 COMMENT 'Errors during them, together.',
    warnings Int64 COMMENT 'Warnings during them, together.',
    pruned UInt64 COMMENT 'Of the attempts, how many were pruned: their evaluation was stopped early.',
    rejected UInt64 COMMENT 'Of the attempts, how many were rejected: refused before a full evaluation.'
)
SQL SECURITY DEFINER
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
    coalesce(sum(warning_count), 0) AS warnings,
    countIf(status = 'pruned') AS pruned,
    countIf(status = 'rejected') AS rejected
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
    mean_improvement Nullable(Float64) COMMENT 'Mean of how much better the performance got; null where it is known of none.',
    total_improvement Float64 COMMENT 'Sum of it, where it is known.',
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null where it is known of none.',
    duration_minutes Nullable(Float64) COMMENT 'Minutes that the attempts took, together, where known; null where it is known of none.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt (its process and children), MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Nullable(Int64) COMMENT 'Bytes that hosts sent and received over the lives of the attempts, together, where known, loopback excluded; null where it is known of none.',
    errors Int64 COMMENT 'Errors during them, together.',
    warnings Int64 COMMENT 'Warnings during them, together.',
    pruned UInt64 COMMENT 'Of the attempts, how many were pruned: their evaluation was stopped early.',
    rejected UInt64 COMMENT 'Of the attempts, how many were rejected: refused before a full evaluation.'
)
SQL SECURITY DEFINER
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
    coalesce(sum(warning_count), 0) AS warnings,
    countIf(status = 'pruned') AS pruned,
    countIf(status = 'rejected') AS rejected
FROM {database}.evolution_metrics
GROUP BY day, agent_id, evolution_type, strategy_used
COMMENT 'Evolutions by day, agent, type and strategy; from evolution_metrics, each evolution once.';
