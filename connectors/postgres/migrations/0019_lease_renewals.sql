-- When a lease was granted or last renewed: a worker that is silent shows before its lease expires. Null: granted by an older version.
ALTER TABLE leases ADD COLUMN renewed_at timestamptz;
