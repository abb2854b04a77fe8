-- Accepts an upload and ends its upload in pieces; returns a row if it was not accepted before, and its pieces are not discarded.
-- Of two statements that delete the row of the upload in pieces, the second waits for the first and finds none.
WITH partial_gone AS (
    DELETE FROM partial_uploads WHERE %(in_pieces)s AND upload_id = %(upload_id)s RETURNING true
),
parts_gone AS (
    DELETE FROM upload_parts WHERE %(in_pieces)s AND upload_id = %(upload_id)s
),
added AS (
    INSERT INTO uploads (
        upload_id, tenant, uri, sha256, size, content_type, filename, kind, case_id, source, labels, created_at, check_at
    )
    SELECT
        %(upload_id)s, %(tenant)s, %(uri)s, %(sha256)s, %(size)s, %(content_type)s, %(filename)s, %(kind)s, %(case_id)s,
        %(source)s, %(labels)s, %(created_at)s, now() + %(check_in)s
    WHERE NOT %(in_pieces)s OR EXISTS (SELECT FROM partial_gone)
    ON CONFLICT (upload_id) DO NOTHING
    RETURNING true
)
SELECT * FROM added
