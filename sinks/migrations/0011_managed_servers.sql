-- What servers with users, and with replicated tables, need.

-- Views read with the rights of the user who migrates (ClickHouse 24.3 or newer), so that an analyst needs SELECT on
-- the views alone. `evometrics migrate --grants` prints what that user, and every other, needs.

ALTER TABLE {database}.evolution_started MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_progressed MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_completed MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.kpi_snapshots MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.system_events MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_metrics MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.kpi_deltas MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.success_rates MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.dead_letters MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_strategies MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_hourly MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.evolution_daily MODIFY SQL SECURITY DEFINER;
ALTER TABLE {database}.custom_metrics MODIFY SQL SECURITY DEFINER;

-- Tables that are replicated, on a cluster or in ClickHouse Cloud, remember the tokens of inserts for a week, as they did by
-- themselves until 25.10 made it an hour. These settings have no effect on one server's tables.

ALTER TABLE {database}.evolution_started_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.evolution_progressed_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.evolution_completed_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.kpi_snapshots_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.system_events_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.evolution_metrics_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.kpi_deltas_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.success_rates_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.dead_letters_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
ALTER TABLE {database}.custom_metrics_rows MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;
