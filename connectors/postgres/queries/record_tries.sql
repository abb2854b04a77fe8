-- Results of delivery tries. Tries are numbered here, so that two notifiers never write the same number.
WITH updated AS (
    UPDATE deliveries AS d SET
        state = CASE d.state WHEN 'delivered' THEN d.state ELSE t.state END,
        tries = d.tries + t.counts::integer,
        due_at = now() + t.due_in_ms * interval '1 millisecond',
        notifier = NULL,
        ended_at = CASE t.state WHEN 'pending' THEN NULL ELSE now() END
    FROM @t(delivery_id uuid, state text, due_in_ms bigint, counts boolean, status integer, ms real, error text)
    WHERE d.delivery_id = t.delivery_id
    RETURNING d.delivery_id, d.tries, t.counts, t.status, t.ms, t.error
)
INSERT INTO delivery_tries (delivery_id, n, status, ms, error)
SELECT updated.delivery_id, updated.tries, updated.status, updated.ms, updated.error
FROM updated WHERE updated.counts
