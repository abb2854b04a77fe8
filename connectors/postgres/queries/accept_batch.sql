-- A row of the batch if it is new; its payloads follow in the same transaction.
INSERT INTO batches (batch_id, tenant, processor, total, inputs_sha256, callback_url, callback_profile)
VALUES (
    %(batch_id)s, %(tenant)s, %(processor)s, %(total)s, %(inputs_sha256)s, %(callback_url)s, %(callback_profile)s
)
ON CONFLICT (batch_id) DO NOTHING
RETURNING true
