-- Who is told what happens. Secrets must stay readable, since every delivery is signed with them: a JSON list,
-- the newest first, of {"secret", "until"}.
CREATE TABLE hooks (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    secrets TEXT NOT NULL CHECK (json_valid(secrets)),
    events TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(events)),
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    disabled_reason TEXT,
    first_failure_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

-- What has happened, written in the transaction that made it happen. The body is what every delivery sends,
-- byte for byte.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    asset_id TEXT NOT NULL,
    asset_version INTEGER NOT NULL,
    body BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX events_asset ON events (asset_id, asset_version);
CREATE INDEX events_created_at ON events (created_at);

-- One event on its way to one hook.
CREATE TABLE deliveries (
    id INTEGER NOT NULL PRIMARY KEY,
    event_seq INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    hook_id TEXT NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'leased', 'done', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    lease_until INTEGER,
    last_status INTEGER,
    last_error TEXT,
    UNIQUE (event_seq, hook_id)
) STRICT;

CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('pending', 'leased');
CREATE INDEX deliveries_hook ON deliveries (hook_id, state);

CREATE TABLE delivery_attempts (
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER,
    milliseconds INTEGER NOT NULL,
    error TEXT,
    response BLOB CHECK (response IS NULL OR length(response) <= 1024),
    PRIMARY KEY (delivery_id, attempt)
) STRICT, WITHOUT ROWID;
