-- Makes ended deliveries pending again: a new series of tries, under the same id. Those of a run that was deleted stay as they are.
WITH chosen AS (
    SELECT d.delivery_id FROM deliveries AS d
    WHERE {tenant} AND {job} AND {destination} AND {states} AND {since} AND {until} AND {ids} AND {before}
      AND d.kind <> 'progress' AND d.state IN ('delivered', 'parked', 'gone', 'refused', 'skipped')
    ORDER BY d.created_at LIMIT %(limit)s
    FOR UPDATE
)
UPDATE deliveries AS d SET state = 'pending', due_at = now(), ended_at = NULL, notifier = NULL, tries_before = d.tries
FROM chosen WHERE d.delivery_id = chosen.delivery_id
RETURNING d.delivery_id::text
