-- Work that outlives a request. `fence` rises with every lease, so whoever has lost its lease cannot write any
-- more. A job that comes again and again is one row that goes back to `queued`.
CREATE TABLE jobs (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    input TEXT NOT NULL,
    asset_id TEXT,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    is_cancelled BOOLEAN NOT NULL DEFAULT FALSE,
    attempts BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    lease_until BIGINT,
    done BIGINT NOT NULL DEFAULT 0,
    total BIGINT,
    error TEXT,
    detail TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((lease_until IS NOT NULL) = (state = 'running'))
);

CREATE INDEX jobs_due ON jobs (due_at, seq) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_updated_at ON jobs (updated_at);
