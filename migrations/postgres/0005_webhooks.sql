-- Where events are posted to. `secrets` and `events` are JSON: the secrets with the time until which each
-- counts, newest first, and the kinds of event that are wanted.
CREATE TABLE hooks (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    name TEXT NOT NULL,
    events TEXT NOT NULL,
    secrets TEXT NOT NULL,
    is_from_settings BOOLEAN NOT NULL,
    enabled BOOLEAN NOT NULL,
    disabled_because TEXT CHECK (disabled_because IN ('gone', 'failing')),
    -- Nothing but failures since then, and nothing is sent before.
    failing_since BIGINT,
    paused_until BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    CHECK (disabled_because IS NULL OR NOT enabled)
);

-- What has happened, with the body as it was then. Committed with the change itself.
CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    asset_id TEXT,
    asset_version BIGINT NOT NULL,
    body BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX events_created_at ON events (created_at);
CREATE INDEX events_asset ON events (asset_id, seq);

-- One for each hook that wanted the event. `fence` rises with every lease and never falls: whoever has lost
-- its lease cannot write any more, and it numbers the attempts.
CREATE TABLE deliveries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_seq BIGINT NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    hook_id TEXT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'leased', 'done', 'dead')),
    attempts BIGINT NOT NULL DEFAULT 0,
    fence BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    lease_until BIGINT,
    last_status BIGINT,
    last_error TEXT,
    UNIQUE (event_seq, hook_id),
    CHECK ((lease_until IS NOT NULL) = (state = 'leased'))
);

CREATE INDEX deliveries_pending ON deliveries (hook_id, due_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_leased ON deliveries (hook_id, lease_until) WHERE state = 'leased';
CREATE INDEX deliveries_state ON deliveries (state, id);
CREATE INDEX deliveries_hook ON deliveries (hook_id, id);

CREATE TABLE delivery_attempts (
    delivery_id BIGINT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    fence BIGINT NOT NULL,
    attempted_at BIGINT NOT NULL,
    ms BIGINT NOT NULL,
    status BIGINT,
    error TEXT,
    -- The whole truth, for whoever has the database.
    detail TEXT,
    response BYTEA NOT NULL,
    PRIMARY KEY (delivery_id, fence)
);
