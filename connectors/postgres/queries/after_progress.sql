-- After the tries of progress callbacks are recorded: keeps the last try of each, and makes deliveries of outcomes due that waited
-- for them. A statement of its own, so that it sees every end that was stored before the record.
WITH t AS MATERIALIZED (
    SELECT * FROM @t(
        delivery_id uuid, notifier uuid, sequence integer, state text, due_in_ms bigint, counts boolean, status integer, ms real,
        error text
    )
),
due AS (
    UPDATE deliveries AS o SET due_at = now()
    FROM t JOIN deliveries AS d ON d.delivery_id = t.delivery_id
    WHERE d.held_until IS NULL AND o.job_id = d.job_id AND o.run = d.run AND o.kind = 'outcome' AND o.state = 'pending'
      AND o.notifier IS NULL AND o.tries = 0 AND o.due_at > now()
)
INSERT INTO delivery_tries AS l (delivery_id, n, status, ms, error)
SELECT delivery_id, 1, status, ms, error FROM t WHERE counts
ON CONFLICT (delivery_id, n) DO UPDATE SET at = now(), status = excluded.status, ms = excluded.ms, error = excluded.error
