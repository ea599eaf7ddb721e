-- Storage of derived events and dead letters, as the sink inserts them. Rows are replaced by the newest (of kpi_deltas and success_rates: the one with the highest version) with the same sorting key
-- when parts merge, and event_id ends each sorting key; analysts read the views, which show each event once.
-- Kept for two years (dead letters: 90 days) after the event or its arrival in Kafka, whichever is later.

CREATE TABLE IF NOT EXISTS {database}.evolution_metrics_rows
(
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node of the input event.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Event time, UTC, microseconds since the Unix epoch.',
    source_event_id UUID COMMENT 'The raw event it was computed from.',
    evolution_id String CODEC(ZSTD(1)) COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    started_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the evolution began, UTC, microseconds since the Unix epoch.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 CODEC(ZSTD(1)) COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String CODEC(ZSTD(1)) COMMENT 'Why the evolution was started.',
    status LowCardinality(String) COMMENT 'succeeded, failed, rolled_back or abandoned.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    duration_minutes Float64 CODEC(ZSTD(1)) COMMENT 'How long it took, minutes; for an abandoned one, how long it was waited for.',
    performance_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance after (0-1 for the standard formula); null where unknown.',
    baseline_performance Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance before; null where unknown.',
    improvement_delta Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance after minus before; null where either is unknown.',
    relative_improvement Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'improvement_delta / baseline_performance; null where the baseline is 0 or unknown.',
    quality_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'The KPI output_quality after the evolution; null where not measured.',
    efficiency Float64 CODEC(ZSTD(1)) COMMENT 'improvement_delta / (duration_minutes * memory_used_mb / 1000) where all are > 0, else 0.',
    kpi_deltas Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'After minus before, for KPIs measured both times.',
    memory_used_mb Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Peak resident memory over the evolution\'s life, MB (10^6 bytes); null for an abandoned evolution.',
    cpu_percent_avg Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Mean CPU use over the evolution\'s life, percent of one core; null for an abandoned evolution.',
    gpu_memory_mb Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Peak GPU memory in use, MB; null where there is no GPU to read.',
    network_bytes_transferred Int64 CODEC(ZSTD(1)) COMMENT 'Bytes sent and received by the host over the evolution\'s life.',
    error_count Int64 CODEC(ZSTD(1)) COMMENT 'Errors during the evolution.',
    warning_count Int64 CODEC(ZSTD(1)) COMMENT 'Warnings during the evolution.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Int64 CODEC(ZSTD(1)) COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) CODEC(ZSTD(1)) COMMENT 'Fitness by iteration.',
    metadata Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Free text by name.',
    _topic LowCardinality(String) DEFAULT 'evometrics.evolution.metrics' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX evolutions evolution_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agent_id, occurred_at, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 730 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of evolution_metrics: an event may be in it more than once. Read evolution_metrics instead.';

CREATE TABLE IF NOT EXISTS {database}.kpi_deltas_rows
(
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node of the input event.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'Event time, UTC, microseconds since the Unix epoch.',
    snapshot_event_id UUID COMMENT 'The snapshot it was computed from.',
    phase LowCardinality(String) COMMENT 'The snapshot\'s phase.',
    previous_event_id Nullable(UUID) COMMENT 'The snapshot before it; null for the agent\'s first, and where a late snapshot\'s predecessor is no longer known.',
    previous_at Nullable(DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)) COMMENT 'Event time of the snapshot before it; null where that is.',
    overall_performance Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance in the snapshot; null where nothing was measured.',
    overall_delta Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance minus that of the snapshot before; null where either is unknown.',
    deltas Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'KPI minus the KPI before, for KPIs measured both times.',
    recommendation LowCardinality(String) COMMENT 'retain, evolve or retire.',
    version Int64 CODEC(ZSTD(1)) COMMENT 'Event time of the previous snapshot in microseconds, 0 for the first: the row with the highest is right.',
    _topic LowCardinality(String) DEFAULT 'evometrics.kpi.deltas' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agent_id, occurred_at, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 730 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of kpi_deltas: an event may be in it more than once. Read kpi_deltas instead.';

CREATE TABLE IF NOT EXISTS {database}.success_rates_rows
(
    event_id UUID COMMENT 'UUIDv5 computed from the input\'s identity: computing an event twice gives the same id.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent, for the scope agent; else empty.',
    node_id LowCardinality(String) COMMENT 'The node, for the scope node; else empty.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The window\'s end, UTC, microseconds since the Unix epoch.',
    scope LowCardinality(String) COMMENT 'agent, evolution_type, strategy, node or fleet.',
    scope_value String CODEC(ZSTD(1)) COMMENT 'Which agent, type, strategy or node; `all` for the fleet.',
    window_seconds Int64 CODEC(ZSTD(1)) COMMENT 'Length of the window: 3600, 86400 or 604800 seconds by default.',
    window_start DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The window\'s start, inclusive.',
    window_end DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The window\'s end, exclusive.',
    attempts Int64 CODEC(ZSTD(1)) COMMENT 'Completed evolutions in the window.',
    successes Int64 CODEC(ZSTD(1)) COMMENT 'Those of them that succeeded.',
    success_rate Float64 CODEC(ZSTD(1)) COMMENT 'successes / attempts (0-1).',
    wilson_low Float64 CODEC(ZSTD(1)) COMMENT 'Lower end of the Wilson 95 % interval.',
    wilson_high Float64 CODEC(ZSTD(1)) COMMENT 'Upper end of the Wilson 95 % interval.',
    version Int64 CODEC(ZSTD(1)) COMMENT 'Attempts known when it was computed: the row with the highest is right.',
    _topic LowCardinality(String) DEFAULT 'evometrics.success.rates' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (scope, scope_value, window_seconds, window_end, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 730 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of success_rates: an event may be in it more than once. Read success_rates instead.';

CREATE TABLE IF NOT EXISTS {database}.dead_letters_rows
(
    event_id UUID COMMENT 'UUIDv5 of source topic, partition, offset and stage: reporting a message twice gives the same id.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The bad message\'s key as text where it is readable, else empty.',
    node_id LowCardinality(String) COMMENT 'The worker that could not read or insert it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The bad message\'s broker timestamp, UTC, microseconds since the Unix epoch.',
    source_topic LowCardinality(String) COMMENT 'Topic it was read from.',
    source_partition Int32 COMMENT 'Partition it was read from.',
    source_offset Int64 CODEC(ZSTD(1)) COMMENT 'Offset it was read at.',
    stage LowCardinality(String) COMMENT 'stream or sink: the part that gave up on it.',
    reason String CODEC(ZSTD(1)) COMMENT 'Why, in words.',
    message_key Nullable(String) CODEC(ZSTD(1)) COMMENT 'The message\'s key, byte for byte.',
    message_value Nullable(String) CODEC(ZSTD(1)) COMMENT 'The message\'s value, byte for byte; null where it had none.',
    _topic LowCardinality(String) DEFAULT 'evometrics.dead-letters' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (source_topic, source_partition, source_offset, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of dead_letters: an event may be in it more than once. Read dead_letters instead.';
