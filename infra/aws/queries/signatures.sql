-- Which faults did how many instances have?
SELECT signature, count(DISTINCT instance_id) AS instances, min(captured_at) AS first_seen
FROM records CROSS JOIN UNNEST(transform(findings, finding -> finding.signature)) AS faults (signature)
WHERE outcome = 'stored'
GROUP BY signature
ORDER BY instances DESC, signature
