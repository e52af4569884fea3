-- What is on its way into the bucket: its bytes are there, no asset names them yet. Whoever works on it holds it
-- until a time, and proves that with a fence which nobody else has; a sweep goes on with what nobody holds.
CREATE TABLE uploads (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- 'form': one request, swept away when that ends. 'tus': goes on until it expires. 'partial': a tus upload
    -- that becomes a piece of another.
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('form', 'tus', 'partial')),
    -- 'sealing': all bytes are durable, the asset is being made. 'done': it is, or the piece is whole.
    state TEXT COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sealing', 'done')),
    fence TEXT COLLATE "C" NOT NULL DEFAULT '',
    held_until BIGINT NOT NULL DEFAULT 0,
    -- Somebody waits for whoever holds it.
    wanted BOOLEAN NOT NULL DEFAULT FALSE,
    length BIGINT,
    durable BIGINT NOT NULL DEFAULT 0,
    draft TEXT COLLATE "C" NOT NULL,
    digests TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL,
    asset_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK (length IS NULL OR durable <= length)
);

CREATE INDEX uploads_fence ON uploads (fence);
CREATE INDEX uploads_expires_at ON uploads (expires_at);
