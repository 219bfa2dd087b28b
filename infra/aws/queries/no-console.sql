-- Which instances have no console, and why?
SELECT instance_id, reason, max(captured_at) AS last_asked
FROM records
WHERE outcome = 'no_console'
GROUP BY instance_id, reason
ORDER BY instance_id
