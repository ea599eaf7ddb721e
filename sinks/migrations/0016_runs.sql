-- Indexes for what the sorting keys, which begin with the agent, do not find.
--
-- A run's evolutions: without an index the run_id of every row is read. Events of nodes by their kind: most are a
-- node's health each minute, among which retries of dead letters are few.

ALTER TABLE {database}.evolution_metrics_rows ADD INDEX IF NOT EXISTS runs run_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.evolution_completed_rows ADD INDEX IF NOT EXISTS runs run_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE {database}.system_events_rows ADD INDEX IF NOT EXISTS kinds event_type TYPE set(100) GRANULARITY 1;

-- Rows that are stored already get the index in the background, without holding up inserts.

ALTER TABLE {database}.evolution_metrics_rows MATERIALIZE INDEX runs;
ALTER TABLE {database}.evolution_completed_rows MATERIALIZE INDEX runs;
ALTER TABLE {database}.system_events_rows MATERIALIZE INDEX kinds;

-- FINAL does not stop at what an index finds: a newer copy of a row might have another run, so newer servers read all
-- granules, of all months, whose keys could hold one. Within the times of the run that is little. First and last of a
-- run are the same however often an event is stored, so this view needs no FINAL.

CREATE VIEW IF NOT EXISTS {database}.evolution_runs
(
    run_id Nullable(String) COMMENT 'The run: a night, a study, one run of a framework.',
    first_at DateTime64(6, 'UTC') COMMENT 'When the first of its evolutions ended, UTC, microseconds since the Unix epoch.',
    last_at DateTime64(6, 'UTC') COMMENT 'When the last of them ended so far.'
)
SQL SECURITY DEFINER
AS SELECT
    run_id,
    min(occurred_at) AS first_at,
    max(occurred_at) AS last_at
FROM
(
    SELECT run_id, occurred_at FROM {database}.evolution_metrics_rows
    UNION ALL
    SELECT run_id, occurred_at FROM {database}.evolution_completed_rows
)
WHERE run_id IS NOT NULL
GROUP BY run_id
COMMENT 'Runs, and between when and when their evolutions ended: ask for a run\'s evolutions within that.';
