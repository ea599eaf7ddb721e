-- What a row must be, so that the sink stores what the stream can compute with and nothing else: the same that
-- schemas/reading.py says of a message, in SQL, because ClickHouse is the sink's only decoder. `_topic` is the
-- last thing in a row's bytes, after the event: a datum that is longer or shorter than its message spoils it.
-- tests/sinks/test_constraints.py compares the two on damaged events of every record.

ALTER TABLE {database}.evolution_started_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.evolution.started',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(evolution_id)
        AND isValidUTF8(evolution_type)
        AND isValidUTF8(strategy)
        AND isValidUTF8(risk_level)
        AND isValidUTF8(trigger_reason)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(pre_kpis))
        AND arrayAll(x -> isValidUTF8(x), mapKeys(metadata))
        AND arrayAll(x -> isValidUTF8(x), mapValues(metadata)),
    ADD CONSTRAINT IF NOT EXISTS valid CHECK
        notEmpty(agent_id)
        AND notEmpty(node_id)
        AND toUnixTimestamp64Micro(occurred_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND isFinite(ifNull(target_gain, 0))
        AND arrayAll(x -> isFinite(x), mapValues(pre_kpis))
        AND isFinite(cpu_percent)
        AND isFinite(memory_mb)
        AND lengthUTF8(agent_id) <= 1000
        AND lengthUTF8(node_id) <= 1000
        AND lengthUTF8(evolution_id) <= 1000
        AND lengthUTF8(evolution_type) <= 1000
        AND lengthUTF8(strategy) <= 1000
        AND lengthUTF8(risk_level) <= 1000
        AND notEmpty(evolution_id);

ALTER TABLE {database}.evolution_progressed_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.evolution.progressed',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(evolution_id),
    ADD CONSTRAINT IF NOT EXISTS valid CHECK
        notEmpty(agent_id)
        AND notEmpty(node_id)
        AND toUnixTimestamp64Micro(occurred_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND isFinite(fitness)
        AND isFinite(cpu_percent)
        AND isFinite(memory_mb)
        AND lengthUTF8(agent_id) <= 1000
        AND lengthUTF8(node_id) <= 1000
        AND lengthUTF8(evolution_id) <= 1000
        AND notEmpty(evolution_id);

ALTER TABLE {database}.evolution_completed_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.evolution.completed',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(evolution_id)
        AND isValidUTF8(evolution_type)
        AND isValidUTF8(strategy_used)
        AND isValidUTF8(risk_level)
        AND isValidUTF8(trigger_reason)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(pre_kpis))
        AND arrayAll(x -> isValidUTF8(x), mapKeys(post_kpis))
        AND isValidUTF8(status)
        AND arrayAll(x -> isValidUTF8(x), insights)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(metadata))
        AND arrayAll(x -> isValidUTF8(x), mapValues(metadata)),
    ADD CONSTRAINT IF NOT EXISTS valid CHECK
        notEmpty(agent_id)
        AND notEmpty(node_id)
        AND toUnixTimestamp64Micro(occurred_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND toUnixTimestamp64Micro(started_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND isFinite(ifNull(target_gain, 0))
        AND arrayAll(x -> isFinite(x), mapValues(pre_kpis))
        AND arrayAll(x -> isFinite(x), mapValues(post_kpis))
        AND isFinite(duration_seconds)
        AND isFinite(memory_used_mb)
        AND isFinite(cpu_percent_avg)
        AND isFinite(ifNull(gpu_memory_mb, 0))
        AND arrayAll(x -> isFinite(x), fitness_trajectory)
        AND lengthUTF8(agent_id) <= 1000
        AND lengthUTF8(node_id) <= 1000
        AND lengthUTF8(evolution_id) <= 1000
        AND lengthUTF8(evolution_type) <= 1000
        AND lengthUTF8(strategy_used) <= 1000
        AND lengthUTF8(risk_level) <= 1000
        AND notEmpty(evolution_id)
        AND status IN ('failed', 'rolled_back', 'succeeded')
        AND duration_seconds >= 0
        AND error_count >= 0
        AND warning_count >= 0
        AND convergence_iterations >= 0
        AND network_bytes_transferred >= 0;

ALTER TABLE {database}.kpi_snapshots_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.kpi.snapshots',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(ifNull(evolution_id, ''))
        AND isValidUTF8(phase)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(extra)),
    ADD CONSTRAINT IF NOT EXISTS valid CHECK
        notEmpty(agent_id)
        AND notEmpty(node_id)
        AND toUnixTimestamp64Micro(occurred_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND isFinite(ifNull(accuracy, 0))
        AND isFinite(ifNull(response_time_ms, 0))
        AND isFinite(ifNull(throughput_tps, 0))
        AND isFinite(ifNull(success_rate, 0))
        AND isFinite(ifNull(memory_usage_mb, 0))
        AND isFinite(ifNull(cpu_utilization, 0))
        AND isFinite(ifNull(energy_efficiency, 0))
        AND isFinite(ifNull(adaptation_rate, 0))
        AND isFinite(ifNull(knowledge_retention, 0))
        AND isFinite(ifNull(generalization_ability, 0))
        AND isFinite(ifNull(output_quality, 0))
        AND isFinite(ifNull(consistency, 0))
        AND isFinite(ifNull(reliability, 0))
        AND isFinite(ifNull(security_score, 0))
        AND isFinite(ifNull(bias_score, 0))
        AND isFinite(ifNull(interpretability, 0))
        AND isFinite(ifNull(overall_performance, 0))
        AND isFinite(ifNull(confidence_interval, 0))
        AND arrayAll(x -> isFinite(x), mapValues(extra))
        AND lengthUTF8(agent_id) <= 1000
        AND lengthUTF8(node_id) <= 1000
        AND lengthUTF8(ifNull(evolution_id, '')) <= 1000
        AND phase IN ('baseline', 'continuous', 'post_evolution', 'pre_evolution');

ALTER TABLE {database}.system_events_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.system.events',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(event_type)
        AND isValidUTF8(data),
    ADD CONSTRAINT IF NOT EXISTS valid CHECK
        notEmpty(node_id)
        AND toUnixTimestamp64Micro(occurred_at) BETWEEN 0 AND toUnixTimestamp64Milli(_timestamp) * 1000 + 86400000000
        AND lengthUTF8(agent_id) <= 1000
        AND lengthUTF8(node_id) <= 1000
        AND lengthUTF8(event_type) <= 1000
        AND notEmpty(event_type);

ALTER TABLE {database}.evolution_metrics_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.evolution.metrics',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(evolution_id)
        AND isValidUTF8(evolution_type)
        AND isValidUTF8(strategy_used)
        AND isValidUTF8(risk_level)
        AND isValidUTF8(trigger_reason)
        AND isValidUTF8(status)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(kpi_deltas))
        AND arrayAll(x -> isValidUTF8(x), mapKeys(metadata))
        AND arrayAll(x -> isValidUTF8(x), mapValues(metadata));

ALTER TABLE {database}.kpi_deltas_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.kpi.deltas',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(phase)
        AND arrayAll(x -> isValidUTF8(x), mapKeys(deltas))
        AND isValidUTF8(recommendation);

ALTER TABLE {database}.success_rates_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.success.rates',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(scope)
        AND isValidUTF8(scope_value);

ALTER TABLE {database}.dead_letters_rows
    ADD CONSTRAINT IF NOT EXISTS whole CHECK _topic = 'evometrics.dead-letters',
    ADD CONSTRAINT IF NOT EXISTS text CHECK
        isValidUTF8(agent_id)
        AND isValidUTF8(node_id)
        AND isValidUTF8(source_topic)
        AND isValidUTF8(stage)
        AND isValidUTF8(reason);
