-- That a dead letter was redriven is read from the replays, so that it is in one place only.
ALTER TABLE dead_letters DROP COLUMN replay_id;

CREATE INDEX replay_jobs_of_dead_letters ON replay_jobs (topic_id, partition, "offset") WHERE source = 'dead-letter';
