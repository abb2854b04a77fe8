-- Ends batches whose jobs have all ended, each with one delivery if it has a callback URL; looks at the others again later.
-- The delivery has the batch's id.
WITH b AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(wait_s)s::double precision[], %(bodies)s::jsonb[]) AS b (batch_id, wait_s, body)
),
ended AS (
    UPDATE batches SET
        ended_at = CASE WHEN b.wait_s IS NULL THEN now() END,
        check_at = now() + coalesce(b.wait_s, 0) * interval '1 second'
    FROM b WHERE batches.batch_id = b.batch_id AND batches.ended_at IS NULL
    RETURNING batches.*, b.body
)
INSERT INTO deliveries (
    delivery_id, job_id, run, kind, sequence, destination, profile, state, tries, due_at, tenant, bytes, body
)
SELECT batch_id, batch_id, 0, 'batch', 0, callback_url, callback_profile, 'pending', 0, now(), left(tenant, 128), 0, body
FROM ended WHERE ended_at IS NOT NULL AND callback_url <> ''
ON CONFLICT DO NOTHING
