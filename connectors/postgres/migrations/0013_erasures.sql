-- Cases whose contents were erased (docs/adr/0030): one row each time, which is also the record of who did it.
-- case_sha256: of tenant, NUL and case id, because the id itself may name a patient.
-- Contents of a job of the case that was created up to `erased_at` are not stored again, whenever they come.
CREATE TABLE erasures (
    tenant      text NOT NULL,
    case_sha256 text NOT NULL,
    erased_at   timestamptz NOT NULL,
    erased_by   text NOT NULL,
    jobs        integer NOT NULL,
    uploads     integer NOT NULL,
    deliveries  integer NOT NULL,
    objects     integer NOT NULL,
    PRIMARY KEY (tenant, case_sha256, erased_at)
);

-- An erased job keeps its states and times, and the hash of its case in place of the case.
ALTER TABLE jobs ADD COLUMN erased_at timestamptz, ADD COLUMN case_sha256 text;

CREATE FUNCTION case_sha256(tenant text, case_id text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT encode(sha256(convert_to(tenant, 'UTF8') || '\x00'::bytea || convert_to(case_id, 'UTF8')), 'hex') $$;
