-- Which boots panicked in the last week, and where is the console?
SELECT captured_at, instance_id, kernel, key
FROM records
WHERE ending = 'panic' AND captured_at > CAST(current_timestamp AS timestamp) - INTERVAL '7' DAY
ORDER BY captured_at DESC
