-- Version 2 of EvolutionCompleted: which agent an evolution's agent descends from, and what the evolution cost.

ALTER TABLE {database}.evolution_completed_rows
    ADD COLUMN IF NOT EXISTS parent_agent_id Nullable(String) COMMENT 'The agent whose state this one\'s was made from (a copy, a mutation, the first parent of a crossover); null where it evolved from its own.' AFTER metadata,
    ADD COLUMN IF NOT EXISTS cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.' AFTER parent_agent_id,
    ADD CONSTRAINT IF NOT EXISTS readable_v2 CHECK
        isValidUTF8(ifNull(parent_agent_id, ''))
        AND lengthUTF8(ifNull(parent_agent_id, '')) <= 1000
        AND isFinite(ifNull(cost_usd, 0))
        AND ifNull(cost_usd, 0) >= 0;

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
    duration_seconds Float64 COMMENT 'How long the evolution took, seconds.',
    error_count Int64 COMMENT 'Errors during the evolution.',
    warning_count Int64 COMMENT 'Warnings during the evolution.',
    memory_used_mb Float64 COMMENT 'Peak resident memory over the evolution\'s life, MB (10^6 bytes).',
    cpu_percent_avg Float64 COMMENT 'Mean CPU use over the evolution\'s life, percent of one core.',
    gpu_memory_mb Nullable(Float64) COMMENT 'Peak GPU memory in use, MB; null where there is no GPU to read.',
    network_bytes_transferred Int64 COMMENT 'Bytes sent and received by the host over the evolution\'s life.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Int64 COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) COMMENT 'Fitness by iteration.',
    insights Array(String) COMMENT 'What was learned, one text each.',
    metadata Map(LowCardinality(String), String) COMMENT 'Free text by name.',
    parent_agent_id Nullable(String) COMMENT 'The agent whose state this one\'s was made from (a copy, a mutation, the first parent of a crossover); null where it evolved from its own.',
    cost_usd Nullable(Float64) COMMENT 'What the evolution cost, US dollars (model calls, rented machines); null where unknown.'
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
    duration_seconds,
    error_count,
    warning_count,
    memory_used_mb,
    cpu_percent_avg,
    gpu_memory_mb,
    network_bytes_transferred,
    rollback_performed,
    convergence_iterations,
    fitness_trajectory,
    insights,
    metadata,
    parent_agent_id,
    cost_usd
FROM {database}.evolution_completed_rows FINAL
COMMENT 'An evolution has ended. Stands alone: everything a delta needs is in it. Each event once.';
