-- Names and texts that a backend gives an upload. A gateway of an older version adds rows without any.
ALTER TABLE uploads ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
ALTER TABLE partial_uploads ADD COLUMN labels jsonb NOT NULL DEFAULT '{}';
