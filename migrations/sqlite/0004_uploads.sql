-- What is on its way into the bucket: its bytes are there, no asset names them yet. Whoever works on it holds it
-- until a time, and proves that with a fence which nobody else has; a sweep goes on with what nobody holds.
CREATE TABLE uploads (
    id TEXT NOT NULL PRIMARY KEY,
    -- 'form': one request, swept away when that ends. 'tus': goes on until it expires. 'partial': a tus upload
    -- that becomes a piece of another.
    kind TEXT NOT NULL CHECK (kind IN ('form', 'tus', 'partial')),
    -- 'sealing': all bytes are durable, the asset is being made. 'done': it is, or the piece is whole.
    state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sealing', 'done')),
    fence TEXT NOT NULL DEFAULT '',
    held_until INTEGER NOT NULL DEFAULT 0,
    -- Somebody waits for whoever holds it.
    wanted INTEGER NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),
    length INTEGER,
    durable INTEGER NOT NULL DEFAULT 0,
    draft TEXT NOT NULL CHECK (json_valid(draft)),
    digests TEXT NOT NULL,
    about TEXT NOT NULL CHECK (json_valid(about)),
    asset_id TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK (length IS NULL OR durable <= length)
) STRICT;

CREATE INDEX uploads_fence ON uploads (fence);
CREATE INDEX uploads_expires_at ON uploads (expires_at);
