-- The catalog of an archive as a table, for Spark 4: `records`, one row for each record and marker that is there.
-- The archive is a folder, or an address such as s3a://my-consoles/console.
--
--   spark-sql --conf spark.archive=/var/lib/consoles -i infra/sql/spark.sql
CREATE OR REPLACE TEMPORARY VIEW catalog_rows (
    key STRING,
    instance_id STRING,
    region_id STRING,
    account_id STRING,
    captured_at TIMESTAMP,
    outcome STRING,
    reason STRING,
    event_cause STRING,
    event_id STRING,
    event_time TIMESTAMP,
    last_update_time STRING,
    freshness STRING,
    freshness_at TIMESTAMP,
    freshness_is_final BOOLEAN,
    ending STRING,
    boots BIGINT,
    reached_login BOOLEAN,
    kernel STRING,
    sha256 STRING,
    console_bytes BIGINT,
    gzip_bytes BIGINT,
    findings ARRAY<STRUCT<id: STRING, family: STRING, severity: STRING, title: STRING, signature: STRING, count: BIGINT, line: BIGINT, bytes: ARRAY<BIGINT>>>,
    last_captured_at TIMESTAMP,
    pruned_at TIMESTAMP,
    schema INT
)
USING json
OPTIONS (
    path '${spark.archive}/catalog/days/dt=*',
    basePath '${spark.archive}/catalog/days',
    -- A folder has metadata beside each file.
    pathGlobFilter '*.jsonl.gz',
    mode 'FAILFAST'
);

-- A day may have several objects until the next `compact`, and a record may have a row on two days: the first
-- capture counts. What was pruned, and not captured again since, is left out.
CREATE OR REPLACE TEMPORARY VIEW records AS
SELECT * EXCEPT (nth, pruned_last, captured_last)
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY key ORDER BY captured_at, dt) AS nth,
        max(pruned_at) OVER (PARTITION BY key) AS pruned_last,
        max(last_captured_at) OVER (PARTITION BY key) AS captured_last
    FROM catalog_rows
)
WHERE nth = 1 AND (pruned_last IS NULL OR pruned_last < captured_last);
