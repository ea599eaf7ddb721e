-- How many inserts a table remembers by their tokens: a paused sink may send its insert after its successors
-- have made as many of their own. At four inserts a second 10,000 are 40 minutes, and as many as ClickHouse's
-- replicated tables remember by themselves.

ALTER TABLE {database}.evolution_started_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.evolution_progressed_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.evolution_completed_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.kpi_snapshots_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.system_events_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.evolution_metrics_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.kpi_deltas_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.success_rates_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE {database}.dead_letters_rows MODIFY SETTING non_replicated_deduplication_window = 10000;
