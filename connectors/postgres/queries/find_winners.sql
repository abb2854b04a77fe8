-- Returns the records that are the stored outcome of their run.
SELECT c.n
FROM @c(n integer, job_id uuid, run integer, topic_id uuid, partition integer, "offset" bigint)
JOIN outcomes ON outcomes.job_id = c.job_id AND outcomes.run = c.run
WHERE outcomes.topic_id = c.topic_id AND outcomes.partition = c.partition AND outcomes."offset" = c."offset"
