-- What made an outcome, as its result in the log says.
-- input_sha256: only of a replay, whose input may have been edited; the input of any other run is that of its job.
-- reused_from: key (job:run) of the outcome whose result was reused.
ALTER TABLE outcomes
    ADD COLUMN model_sha256 text, ADD COLUMN code_version text, ADD COLUMN input_sha256 text, ADD COLUMN reused_from text;
