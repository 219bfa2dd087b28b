-- Which instances have no console, and why?
SELECT instance_id, reason, max(captured_at) AS last_asked
FROM records
WHERE outcome IN ('no_console', 'screenshot') AND reason IS NOT NULL
GROUP BY instance_id, reason
ORDER BY instance_id
