-- Which instances never reached a login prompt?
SELECT instance_id, max(captured_at) AS last_capture, count(*) AS captures
FROM records
WHERE outcome = 'stored'
GROUP BY instance_id
HAVING NOT bool_or(reached_login)
ORDER BY last_capture DESC
