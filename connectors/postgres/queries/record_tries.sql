-- Results of delivery tries. Tries are numbered here, so that two notifiers never write the same number.
WITH updated AS (
    UPDATE deliveries AS d SET
        -- A late try of a notifier whose lease ran out starts no ended delivery again.
        state = CASE WHEN d.state = 'pending' OR t.state = 'delivered' THEN t.state ELSE d.state END,
        tries = d.tries + t.counts::integer,
        due_at = now() + t.due_in_ms * interval '1 millisecond',
        notifier = NULL,
        ended_at = CASE WHEN d.state <> 'pending' AND t.state <> 'delivered' THEN d.ended_at WHEN t.state <> 'pending' THEN now() END
    FROM @t(delivery_id uuid, state text, due_in_ms bigint, counts boolean, status integer, ms real, error text)
    WHERE d.delivery_id = t.delivery_id
    RETURNING d.delivery_id, d.tries, t.counts, t.status, t.ms, t.error
)
INSERT INTO delivery_tries (delivery_id, n, status, ms, error)
SELECT updated.delivery_id, updated.tries, updated.status, updated.ms, updated.error
FROM updated WHERE updated.counts
