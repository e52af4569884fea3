-- Where events are posted to. `secrets` and `events` are JSON: the secrets with the time until which each
-- counts, newest first, and the kinds of event that are wanted.
CREATE TABLE hooks (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    name TEXT NOT NULL,
    events TEXT NOT NULL CHECK (json_valid(events)),
    secrets TEXT NOT NULL CHECK (json_valid(secrets)),
    is_from_settings INTEGER NOT NULL CHECK (is_from_settings IN (0, 1)),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    disabled_because TEXT CHECK (disabled_because IN ('gone', 'failing')),
    -- Nothing but failures since then, and nothing is sent before.
    failing_since INTEGER,
    paused_until INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    CHECK (disabled_because IS NULL OR NOT enabled)
) STRICT;

-- What has happened, with the body as it was then. Committed with the change itself.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    asset_id TEXT,
    asset_version INTEGER NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_created_at ON events (created_at);
CREATE INDEX events_asset ON events (asset_id, seq);

-- One for each hook that wanted the event. `fence` rises with every lease and never falls: whoever has lost
-- its lease cannot write any more, and it numbers the attempts.
CREATE TABLE deliveries (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    event_seq INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    hook_id TEXT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('pending', 'leased', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    lease_until INTEGER,
    last_status INTEGER,
    last_error TEXT,
    UNIQUE (event_seq, hook_id),
    CHECK ((lease_until IS NOT NULL) = (state = 'leased'))
) STRICT;

CREATE INDEX deliveries_pending ON deliveries (hook_id, due_at, id) WHERE state = 'pending';
CREATE INDEX deliveries_leased ON deliveries (hook_id, lease_until) WHERE state = 'leased';
CREATE INDEX deliveries_state ON deliveries (state, id);
CREATE INDEX deliveries_hook ON deliveries (hook_id, id);

CREATE TABLE delivery_attempts (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    fence INTEGER NOT NULL,
    attempted_at INTEGER NOT NULL,
    ms INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    -- The whole truth, for whoever has the database.
    detail TEXT,
    response BLOB NOT NULL,
    PRIMARY KEY (delivery_id, fence)
) STRICT, WITHOUT ROWID;
