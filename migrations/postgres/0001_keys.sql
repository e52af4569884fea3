-- API and upload keys are kept as SHA-256 alone. A signing key's secret must stay readable, since
-- every HMAC is computed with it; it is wiped when the key is revoked.
CREATE TABLE keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    rowid BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL CHECK (kind IN ('api', 'upload', 'signing')),
    name TEXT NOT NULL DEFAULT '',
    secret_sha256 BYTEA UNIQUE CHECK (secret_sha256 IS NULL OR length(secret_sha256) = 32),
    secret TEXT,
    scopes TEXT NOT NULL DEFAULT '[]' CHECK (scopes::json IS NOT NULL),
    origins TEXT NOT NULL DEFAULT '[]' CHECK (origins::json IS NOT NULL),
    any_origin BOOLEAN NOT NULL DEFAULT false,
    sha1 BOOLEAN NOT NULL DEFAULT false,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CHECK ((secret IS NOT NULL) = (kind = 'signing' AND revoked_at IS NULL)),
    CHECK ((secret_sha256 IS NOT NULL) = (kind <> 'signing'))
);
