-- The newest progress of claimed deliveries. Read after the claim, so that it is at least as new as what they were claimed for.
SELECT d.delivery_id, r.attempt, r.execution, r.sequence, r.stage, r.percent, r.message, r.updated_at
FROM unnest(%(ids)s::uuid[]) AS claimed (id)
JOIN deliveries AS d ON d.delivery_id = claimed.id
JOIN runs AS r ON r.job_id = d.job_id AND r.run = d.run
