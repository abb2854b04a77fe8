-- What a running job last said of itself, beside its stage and its percent.
ALTER TABLE runs ADD COLUMN message text;
