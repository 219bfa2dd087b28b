-- The catalog of an archive as a table, for DuckDB: `records(archive)`, or `records(archive, days)` with a glob
-- of days such as '2026-11-*', which opens only those. One row for each record and marker that is there.
--
--   duckdb -init infra/sql/duckdb.sql -c "SELECT count(*) FROM records('s3://my-consoles/console')"
CREATE OR REPLACE MACRO catalog_rows(archive, days := '*') AS TABLE
SELECT *
FROM read_json(
    archive || '/catalog/days/dt=' || days || '/*.jsonl.gz',
    format = 'newline_delimited',
    hive_partitioning = true,
    columns = {
        key: 'VARCHAR',
        instance_id: 'VARCHAR',
        region_id: 'VARCHAR',
        account_id: 'VARCHAR',
        captured_at: 'TIMESTAMPTZ',
        outcome: 'VARCHAR',
        reason: 'VARCHAR',
        event_cause: 'VARCHAR',
        event_id: 'VARCHAR',
        event_time: 'TIMESTAMPTZ',
        last_update_time: 'VARCHAR',
        freshness: 'VARCHAR',
        freshness_at: 'TIMESTAMPTZ',
        freshness_is_final: 'BOOLEAN',
        ending: 'VARCHAR',
        boots: 'BIGINT',
        reached_login: 'BOOLEAN',
        kernel: 'VARCHAR',
        sha256: 'VARCHAR',
        console_bytes: 'BIGINT',
        gzip_bytes: 'BIGINT',
        findings: 'STRUCT(id VARCHAR, family VARCHAR, severity VARCHAR, title VARCHAR, signature VARCHAR, count BIGINT, line BIGINT, bytes BIGINT[])[]',
        last_captured_at: 'TIMESTAMPTZ',
        pruned_at: 'TIMESTAMPTZ',
        schema: 'INTEGER'
    }
);

-- A day may have several objects until the next `compact`, and a record may have a row on two days: the first
-- capture counts. What was pruned, and not captured again since, is left out.
CREATE OR REPLACE MACRO records(archive, days := '*') AS TABLE
SELECT * EXCLUDE (nth, pruned_last, captured_last)
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY key ORDER BY captured_at, dt) AS nth,
        max(pruned_at) OVER (PARTITION BY key) AS pruned_last,
        max(last_captured_at) OVER (PARTITION BY key) AS captured_last
    FROM catalog_rows(archive, days := days)
)
WHERE nth = 1 AND (pruned_last IS NULL OR pruned_last < captured_last);
