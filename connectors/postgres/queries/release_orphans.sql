-- Deliveries of notifiers that are dead or unknown become anyone's. The index on (notifier, due_at) is read once per notifier.
WITH RECURSIVE holder AS (
    (SELECT d.notifier FROM deliveries AS d
     WHERE d.state = 'pending' AND d.notifier IS NOT NULL ORDER BY d.notifier LIMIT 1)
    UNION ALL
    SELECT (SELECT d.notifier FROM deliveries AS d
            WHERE d.state = 'pending' AND d.notifier > holder.notifier ORDER BY d.notifier LIMIT 1)
    FROM holder WHERE holder.notifier IS NOT NULL
),
orphaned AS (
    SELECT d.delivery_id
    FROM holder CROSS JOIN LATERAL (
        SELECT o.delivery_id FROM deliveries AS o
        WHERE o.state = 'pending' AND o.notifier = holder.notifier
        LIMIT %(limit)s
        FOR UPDATE SKIP LOCKED
    ) AS d
    WHERE NOT EXISTS (SELECT FROM notifiers AS n WHERE n.notifier = holder.notifier AND n.alive_until >= now())
)
UPDATE deliveries SET notifier = NULL WHERE delivery_id = ANY (ARRAY(SELECT delivery_id FROM orphaned))
