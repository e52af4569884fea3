-- Work that outlives a request. `fence` rises with every lease, so whoever has lost its lease cannot write any
-- more. A job that comes again and again is one row that goes back to `queued`.
CREATE TABLE jobs (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    input TEXT NOT NULL CHECK (json_valid(input)),
    asset_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    is_cancelled INTEGER NOT NULL DEFAULT 0 CHECK (is_cancelled IN (0, 1)),
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    lease_until INTEGER,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER,
    error TEXT,
    detail TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((lease_until IS NOT NULL) = (state = 'running'))
) STRICT;

CREATE INDEX jobs_due ON jobs (due_at, seq) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_updated_at ON jobs (updated_at);
