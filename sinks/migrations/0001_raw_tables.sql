-- Storage of raw events, as the sink inserts them. Rows are replaced by the newest with the same sorting key
-- when parts merge, and event_id ends each sorting key; analysts read the views, which show each event once.
-- Kept for 90 days after the event or its arrival in Kafka, whichever is later.

CREATE TABLE IF NOT EXISTS {database}.evolution_started_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String CODEC(ZSTD(1)) COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 CODEC(ZSTD(1)) COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy LowCardinality(String) COMMENT 'Evolution strategy chosen.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String CODEC(ZSTD(1)) COMMENT 'Why the evolution was started.',
    pre_kpis Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'KPIs measured before the evolution, by name.',
    cpu_percent Float64 CODEC(ZSTD(1)) COMMENT 'CPU use of the process at this moment, percent of one core.',
    memory_mb Float64 CODEC(ZSTD(1)) COMMENT 'Resident memory of the process at this moment, MB (10^6 bytes).',
    metadata Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Free text by name.',
    _topic LowCardinality(String) DEFAULT 'evometrics.evolution.started' COMMENT 'Kafka topic the row came from.',
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
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of evolution_started: an event may be in it more than once. Read evolution_started instead.';

CREATE TABLE IF NOT EXISTS {database}.evolution_progressed_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String CODEC(ZSTD(1)) COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    iteration Int64 CODEC(ZSTD(1)) COMMENT 'Iteration within the evolution, counted from 0.',
    fitness Float64 CODEC(ZSTD(1)) COMMENT 'Fitness reached in this iteration, in the evolution\'s own unit.',
    cpu_percent Float64 CODEC(ZSTD(1)) COMMENT 'CPU use of the process at this moment, percent of one core.',
    memory_mb Float64 CODEC(ZSTD(1)) COMMENT 'Resident memory of the process at this moment, MB (10^6 bytes).',
    _topic LowCardinality(String) DEFAULT 'evometrics.evolution.progressed' COMMENT 'Kafka topic the row came from.',
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
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of evolution_progressed: an event may be in it more than once. Read evolution_progressed instead.';

CREATE TABLE IF NOT EXISTS {database}.evolution_completed_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id String CODEC(ZSTD(1)) COMMENT 'The evolution: given by the recorder, else `<agent_id>-<start as whole Unix seconds>`.',
    started_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When the evolution began, UTC, microseconds since the Unix epoch.',
    evolution_type LowCardinality(String) COMMENT 'Kind of evolution, e.g. nightly, triggered, emergency.',
    generation Int64 CODEC(ZSTD(1)) COMMENT 'The agent\'s generation that this evolution produces (0 where unknown).',
    strategy_used LowCardinality(String) COMMENT 'Evolution strategy applied.',
    risk_level LowCardinality(String) COMMENT 'Risk the strategy takes: low, medium or high; empty where unknown.',
    target_gain Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Improvement of performance aimed at (0-1), null where none was set.',
    trigger_reason String CODEC(ZSTD(1)) COMMENT 'Why the evolution was started.',
    pre_kpis Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'KPIs measured before the evolution, by name.',
    post_kpis Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'KPIs measured after the evolution, by name; empty where it failed before they could be.',
    success Bool COMMENT 'Whether the evolution\'s result was kept.',
    status LowCardinality(String) COMMENT 'succeeded, failed or rolled_back.',
    duration_seconds Float64 CODEC(ZSTD(1)) COMMENT 'How long the evolution took, seconds.',
    error_count Int64 CODEC(ZSTD(1)) COMMENT 'Errors during the evolution.',
    warning_count Int64 CODEC(ZSTD(1)) COMMENT 'Warnings during the evolution.',
    memory_used_mb Float64 CODEC(ZSTD(1)) COMMENT 'Peak resident memory over the evolution\'s life, MB (10^6 bytes).',
    cpu_percent_avg Float64 CODEC(ZSTD(1)) COMMENT 'Mean CPU use over the evolution\'s life, percent of one core.',
    gpu_memory_mb Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Peak GPU memory in use, MB; null where there is no GPU to read.',
    network_bytes_transferred Int64 CODEC(ZSTD(1)) COMMENT 'Bytes sent and received by the host over the evolution\'s life.',
    rollback_performed Bool COMMENT 'Whether the agent was set back to its state before.',
    convergence_iterations Int64 CODEC(ZSTD(1)) COMMENT 'Iterations until the fitness stopped improving.',
    fitness_trajectory Array(Float64) CODEC(ZSTD(1)) COMMENT 'Fitness by iteration.',
    insights Array(String) CODEC(ZSTD(1)) COMMENT 'What was learned, one text each.',
    metadata Map(LowCardinality(String), String) CODEC(ZSTD(1)) COMMENT 'Free text by name.',
    _topic LowCardinality(String) DEFAULT 'evometrics.evolution.completed' COMMENT 'Kafka topic the row came from.',
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
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of evolution_completed: an event may be in it more than once. Read evolution_completed instead.';

CREATE TABLE IF NOT EXISTS {database}.kpi_snapshots_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about; also the message key.',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    evolution_id Nullable(String) CODEC(ZSTD(1)) COMMENT 'The evolution it was measured for; null outside one.',
    phase LowCardinality(String) COMMENT 'baseline, pre_evolution, post_evolution or continuous.',
    accuracy Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Share of right answers on held-out data (0-1); null where not measured.',
    response_time_ms Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Time per answer, milliseconds; null where not measured.',
    throughput_tps Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Answers per second; null where not measured.',
    success_rate Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Share of requests answered without error (0-1); null where not measured.',
    memory_usage_mb Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Memory in use, MB; null where not measured.',
    cpu_utilization Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Share of the CPU in use (0-1); null where not measured.',
    energy_efficiency Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Useful work per energy (0-1); null where not measured.',
    adaptation_rate Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'How fast it learns from new data (0-1); null where not measured.',
    knowledge_retention Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Share of earlier ability kept (0-1); null where not measured.',
    generalization_ability Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Performance on unseen data relative to seen data (0-1); null where not measured.',
    output_quality Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Quality of its output (0-1); null where not measured.',
    consistency Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Agreement of its answers over resamples (0-1); null where not measured.',
    reliability Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Share of its ability kept under disturbance (0-1); null where not measured.',
    security_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Resistance to hostile input (0-1); null where not measured.',
    bias_score Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Difference in quality between groups (0-1, lower is better); null where not measured.',
    interpretability Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'How well its decisions can be explained (0-1); null where not measured.',
    overall_performance Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Weighted performance (0-1); null where nothing was measured.',
    evaluation_count Nullable(Int64) CODEC(ZSTD(1)) COMMENT 'Evaluations behind the figures.',
    confidence_interval Nullable(Float64) CODEC(ZSTD(1)) COMMENT 'Half width of the 95 % interval of accuracy.',
    extra Map(LowCardinality(String), Float64) CODEC(ZSTD(1)) COMMENT 'KPIs beyond the standard ones, by name.',
    _topic LowCardinality(String) DEFAULT 'evometrics.kpi.snapshots' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX evolutions ifNull(evolution_id, '') TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agent_id, occurred_at, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of kpi_snapshots: an event may be in it more than once. Read kpi_snapshots instead.';

CREATE TABLE IF NOT EXISTS {database}.system_events_rows
(
    event_id UUID COMMENT 'UUIDv7 given before the event is stored anywhere; the deduplication key of the whole system.',
    agent_id String CODEC(ZSTD(1)) COMMENT 'The agent this is about, empty where it is about none (then node_id is the message key).',
    node_id LowCardinality(String) COMMENT 'The orchestrator node that recorded it.',
    occurred_at DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'When it happened (event time), UTC, microseconds since the Unix epoch.',
    event_type LowCardinality(String) COMMENT 'Kind of event.',
    data String CODEC(ZSTD(1)) COMMENT 'Details as JSON text.',
    _topic LowCardinality(String) DEFAULT 'evometrics.system.events' COMMENT 'Kafka topic the row came from.',
    _partition Int32 COMMENT 'Partition of the topic.',
    _offset Int64 CODEC(Delta(8), ZSTD(1)) COMMENT 'Offset in the partition.',
    _timestamp DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)) COMMENT 'The message\'s timestamp in Kafka.',
    _inserted_at DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta(8), ZSTD(1)) COMMENT 'When the row was inserted, by ClickHouse\'s clock.',
    INDEX offsets _offset TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (agent_id, occurred_at, event_id)
TTL toDateTime(greatest(occurred_at, _timestamp)) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Storage of system_events: an event may be in it more than once. Read system_events instead.';
