-- Where the one rising sequence of purges stands. A stamp is taken from it in the transaction that
-- records the purge, so stamps rise in the order of the commits, and rows that are folded or deleted
-- never bring one back. It is at least the time in microseconds: a catalogue that was lost and made
-- anew goes on above the old one.
CREATE TABLE purge_sequence (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    newest INTEGER NOT NULL
) STRICT;

-- The newest purge of each thing in each way.
CREATE TABLE purges (
    scope TEXT NOT NULL CHECK (scope IN ('everything', 'key', 'prefix', 'asset', 'tag')),
    text TEXT NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('gone', 'stale')),
    stamp INTEGER NOT NULL,
    purged_at INTEGER NOT NULL,
    PRIMARY KEY (scope, text, mode),
    CHECK ((text = '') = (scope = 'everything'))
) STRICT, WITHOUT ROWID;

CREATE INDEX purges_stamp ON purges (stamp);

-- What was stored under an earlier catalogue may have been purged there.
INSERT INTO purge_sequence (id, newest) VALUES (1, unixepoch() * 1000000);
INSERT INTO purges (scope, text, mode, stamp, purged_at)
    SELECT 'everything', '', 'gone', newest, unixepoch() FROM purge_sequence;
