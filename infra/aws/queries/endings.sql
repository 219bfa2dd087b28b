-- How did boots end, by kernel?
SELECT kernel, ending, count(*) AS boots
FROM records
WHERE outcome = 'stored' AND kernel IS NOT NULL
GROUP BY kernel, ending
ORDER BY kernel, boots DESC
