-- A map's keys as plain text: reading an event's KPIs into LowCardinality keys was more than half of what an
-- insert of evolution_completed cost (34 against 15 microseconds a row), for 5 % less on disk.

ALTER TABLE {database}.evolution_started_rows
    MODIFY COLUMN pre_kpis Map(String, Float64),
    MODIFY COLUMN metadata Map(String, String);
ALTER TABLE {database}.evolution_completed_rows
    MODIFY COLUMN pre_kpis Map(String, Float64),
    MODIFY COLUMN post_kpis Map(String, Float64),
    MODIFY COLUMN metadata Map(String, String);
ALTER TABLE {database}.kpi_snapshots_rows MODIFY COLUMN extra Map(String, Float64);
ALTER TABLE {database}.evolution_metrics_rows
    MODIFY COLUMN kpi_deltas Map(String, Float64),
    MODIFY COLUMN metadata Map(String, String);
ALTER TABLE {database}.kpi_deltas_rows MODIFY COLUMN deltas Map(String, Float64);
