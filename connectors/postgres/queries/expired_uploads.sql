-- Deletes expired uploads in pieces; returns the names of their parts' objects, which the caller deletes.
WITH gone AS (
    DELETE FROM partial_uploads WHERE upload_id IN (
        SELECT upload_id FROM partial_uploads WHERE expires_at <= now() ORDER BY expires_at LIMIT %(limit)s
    )
    RETURNING upload_id
),
parts_gone AS (
    DELETE FROM upload_parts AS p USING gone WHERE p.upload_id = gone.upload_id RETURNING p.upload_id, p.name
)
SELECT gone.upload_id::text, array_remove(array_agg(p.name), NULL) AS names
FROM gone LEFT JOIN parts_gone AS p ON p.upload_id = gone.upload_id
GROUP BY gone.upload_id
