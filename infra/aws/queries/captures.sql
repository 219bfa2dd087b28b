-- How many captures were there, by day and region?
SELECT dt, region_id, count(*) AS captures, count(DISTINCT instance_id) AS instances
FROM records
WHERE outcome = 'stored'
GROUP BY dt, region_id
ORDER BY dt, region_id
