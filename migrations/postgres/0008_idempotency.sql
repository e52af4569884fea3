-- Answers to requests that create something, for whoever sends one again under the same `Idempotency-Key`.
-- Without a status, the first one is still under way.
CREATE TABLE idempotency (
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL CHECK (length(request_sha256) = 32),
    status BIGINT,
    content_type TEXT,
    body BYTEA,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, name)
);

CREATE INDEX idempotency_expires_at ON idempotency (expires_at);
