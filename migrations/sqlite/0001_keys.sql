-- API and upload keys are kept as SHA-256 alone. A signing key's secret must stay readable, since
-- every HMAC is computed with it; it is wiped when the key is revoked.
CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('api', 'upload', 'signing')),
    name TEXT NOT NULL DEFAULT '',
    secret_sha256 BLOB CHECK (secret_sha256 IS NULL OR length(secret_sha256) = 32),
    secret TEXT,
    scopes TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(scopes)),
    origins TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(origins)),
    any_origin INTEGER NOT NULL DEFAULT 0 CHECK (any_origin IN (0, 1)),
    sha1 INTEGER NOT NULL DEFAULT 0 CHECK (sha1 IN (0, 1)),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    CHECK ((secret IS NOT NULL) = (kind = 'signing' AND revoked_at IS NULL)),
    CHECK ((secret_sha256 IS NOT NULL) = (kind <> 'signing'))
) STRICT;

CREATE UNIQUE INDEX keys_secret_sha256 ON keys (secret_sha256) WHERE secret_sha256 IS NOT NULL;
