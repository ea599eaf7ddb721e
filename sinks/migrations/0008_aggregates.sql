-- What evolutions came to by hour and by day. They are computed from evolution_metrics when they are asked for,
-- so that late events, replays and rows that are stored twice can't make them wrong, and reach back as far as that
-- table does: two years by default, long after the events themselves are gone.

CREATE VIEW IF NOT EXISTS {database}.evolution_hourly
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
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null without attempts.',
    duration_minutes Float64 COMMENT 'Minutes that the attempts took, together.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt, MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Int64 COMMENT 'Bytes sent and received by hosts over their lives, together.',
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
    sumIf(duration_minutes, status != 'abandoned') AS duration_minutes,
    max(memory_used_mb) AS memory_used_mb,
    sum(network_bytes_transferred) AS network_bytes_transferred,
    sum(error_count) AS errors,
    sum(warning_count) AS warnings
FROM {database}.evolution_metrics_rows FINAL
GROUP BY hour, agent_id, evolution_type, strategy_used
COMMENT 'Evolutions by hour, agent, type and strategy; from evolution_metrics, each evolution once.';

CREATE VIEW IF NOT EXISTS {database}.evolution_daily
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
    mean_efficiency Nullable(Float64) COMMENT 'Mean efficiency of the attempts; null without attempts.',
    duration_minutes Float64 COMMENT 'Minutes that the attempts took, together.',
    memory_used_mb Nullable(Float64) COMMENT 'Highest peak memory of an attempt, MB (10^6 bytes); null where unknown.',
    network_bytes_transferred Int64 COMMENT 'Bytes sent and received by hosts over their lives, together.',
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
    sumIf(duration_minutes, status != 'abandoned') AS duration_minutes,
    max(memory_used_mb) AS memory_used_mb,
    sum(network_bytes_transferred) AS network_bytes_transferred,
    sum(error_count) AS errors,
    sum(warning_count) AS warnings
FROM {database}.evolution_metrics_rows FINAL
GROUP BY day, agent_id, evolution_type, strategy_used
COMMENT 'Evolutions by day, agent, type and strategy; from evolution_metrics, each evolution once.';
