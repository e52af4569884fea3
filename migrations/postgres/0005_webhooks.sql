-- Who is told what happens. Secrets must stay readable, since every delivery is signed with them: a JSON list,
-- the newest first, of {"secret", "until"}.
CREATE TABLE hooks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    secrets TEXT NOT NULL CHECK (secrets::json IS NOT NULL),
    events TEXT NOT NULL DEFAULT '[]' CHECK (events::json IS NOT NULL),
    enabled BOOLEAN NOT NULL DEFAULT true,
    disabled_reason TEXT,
    first_failure_at BIGINT,
    created_at BIGINT NOT NULL
);

-- What has happened, written in the transaction that made it happen. The body is what every delivery sends,
-- byte for byte.
CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    asset_id TEXT COLLATE "C" NOT NULL,
    asset_version BIGINT NOT NULL,
    body BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX events_asset ON events (asset_id, asset_version);
CREATE INDEX events_created_at ON events (created_at);

-- One event on its way to one hook.
CREATE TABLE deliveries (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_seq BIGINT NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    hook_id TEXT COLLATE "C" NOT NULL REFERENCES hooks (id) ON DELETE CASCADE,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'leased', 'done', 'dead')),
    attempts BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL,
    lease_until BIGINT,
    last_status BIGINT,
    last_error TEXT,
    UNIQUE (event_seq, hook_id)
);

CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('pending', 'leased');
CREATE INDEX deliveries_hook ON deliveries (hook_id, state);

CREATE TABLE delivery_attempts (
    delivery_id BIGINT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    attempt BIGINT NOT NULL,
    at BIGINT NOT NULL,
    status BIGINT,
    milliseconds BIGINT NOT NULL,
    error TEXT,
    response BYTEA CHECK (response IS NULL OR length(response) <= 1024),
    PRIMARY KEY (delivery_id, attempt)
);
