-- Callbacks: what is owed, to whom, and every try.

-- Who delivers at the moment. A notifier renews its row while it lives; when the row has expired or is gone, what the
-- notifier had taken belongs to whoever claims it next.
CREATE TABLE notifiers (
    notifier    uuid PRIMARY KEY,
    alive_until timestamptz NOT NULL
);

-- state: pending, delivered, parked (the schedule ended), gone (410), refused (an unusable or forbidden address).
-- notifier: who holds it now; null means that anyone may take it once it is due.
CREATE TABLE deliveries (
    delivery_id uuid PRIMARY KEY,
    job_id      uuid NOT NULL,
    run         integer NOT NULL,
    kind        text NOT NULL,
    sequence    integer NOT NULL,
    destination text NOT NULL,
    state       text NOT NULL,
    tries       integer NOT NULL,
    due_at      timestamptz NOT NULL,
    notifier    uuid,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz
);
CREATE INDEX deliveries_pending ON deliveries (notifier, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_job ON deliveries (job_id);

CREATE TABLE delivery_tries (
    delivery_id uuid NOT NULL,
    n           integer NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    status      integer,
    ms          real NOT NULL,
    error       text,
    PRIMARY KEY (delivery_id, n)
);
