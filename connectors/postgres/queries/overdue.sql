-- Due runs that no timekeeper has handled in time, by kind. Reads the partial index of due runs only.
SELECT due_kind AS kind, count(*) AS jobs, extract(epoch FROM now() - min(due_at))::float AS oldest_s
FROM runs
WHERE due_at IS NOT NULL AND due_at < now() - %(age)s
GROUP BY due_kind ORDER BY due_kind
