-- Creates the view records, which the other queries need: run it once
CREATE OR REPLACE VIEW records AS
SELECT
    key, instance_id, region_id, account_id, captured_at, outcome, reason, event_cause, event_id, event_time,
    last_update_time, freshness, freshness_at, freshness_is_final, ending, boots, reached_login, kernel, sha256,
    console_bytes, gzip_bytes, findings, last_captured_at, pruned_at, schema, dt
FROM (
    SELECT
        key, instance_id, region_id, account_id, outcome, reason, event_cause, event_id, last_update_time, freshness,
        freshness_is_final, ending, boots, reached_login, kernel, sha256, console_bytes, gzip_bytes, findings, schema, dt,
        CAST(from_iso8601_timestamp(captured_at) AS timestamp) AS captured_at,
        CAST(from_iso8601_timestamp(event_time) AS timestamp) AS event_time,
        CAST(from_iso8601_timestamp(freshness_at) AS timestamp) AS freshness_at,
        CAST(from_iso8601_timestamp(last_captured_at) AS timestamp) AS last_captured_at,
        CAST(from_iso8601_timestamp(pruned_at) AS timestamp) AS pruned_at,
        row_number() OVER (PARTITION BY key ORDER BY from_iso8601_timestamp(captured_at), dt) AS nth,
        max(from_iso8601_timestamp(pruned_at)) OVER (PARTITION BY key) AS pruned_last,
        max(from_iso8601_timestamp(last_captured_at)) OVER (PARTITION BY key) AS captured_last
    FROM catalog_rows
)
WHERE nth = 1 AND (pruned_last IS NULL OR pruned_last < captured_last)
