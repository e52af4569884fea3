-- Where the one rising sequence of purges stands. A stamp is taken from it in the transaction that
-- records the purge, which holds the row until it is committed: so stamps rise in the order of the
-- commits, and rows that are folded or deleted never bring one back. It is at least the time in
-- microseconds: a catalogue that was lost and made anew goes on above the old one.
CREATE TABLE purge_sequence (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    newest BIGINT NOT NULL
);

-- The newest purge of each thing in each way.
CREATE TABLE purges (
    scope TEXT COLLATE "C" NOT NULL CHECK (scope IN ('everything', 'key', 'prefix', 'asset', 'tag')),
    text TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL CHECK (mode IN ('gone', 'stale')),
    stamp BIGINT NOT NULL,
    purged_at BIGINT NOT NULL,
    PRIMARY KEY (scope, text, mode),
    CHECK ((text = '') = (scope = 'everything'))
);

CREATE INDEX purges_stamp ON purges (stamp);

-- What was stored under an earlier catalogue may have been purged there.
INSERT INTO purge_sequence (id, newest) VALUES (1, extract(epoch FROM now())::bigint * 1000000);
INSERT INTO purges (scope, text, mode, stamp, purged_at)
    SELECT 'everything', '', 'gone', newest, newest / 1000000 FROM purge_sequence;
