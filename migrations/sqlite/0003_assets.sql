-- Files that were handed over. `seq` is the order in which they came; lists are read along it. What is JSON is
-- read and written whole, so it is text. `name_lower` is what names are looked for in.
CREATE TABLE assets (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE CHECK (length(id) = 32),
    status TEXT NOT NULL CHECK (status IN ('NOT_READY', 'OK', 'ERROR', 'ARCHIVED')),
    name TEXT NOT NULL,
    name_lower TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    md5 TEXT,
    sha256 TEXT,
    content_type TEXT NOT NULL,
    declared_type TEXT,
    provider TEXT NOT NULL,
    storage_type TEXT NOT NULL,
    bucket TEXT NOT NULL,
    object_key TEXT,
    public INTEGER NOT NULL CHECK (public IN (0, 1)),
    creator_id TEXT,
    upload_source TEXT,
    upload_time INTEGER NOT NULL,
    update_user_id TEXT,
    update_time INTEGER NOT NULL,
    data_schema_id INTEGER NOT NULL,
    metadata TEXT NOT NULL CHECK (json_valid(metadata)),
    data TEXT NOT NULL CHECK (json_valid(data)),
    conversions TEXT NOT NULL CHECK (json_valid(conversions)),
    version INTEGER NOT NULL CHECK (version >= 1),
    content INTEGER NOT NULL CHECK (content >= 1),
    deleted_at INTEGER
) STRICT;

-- Every search asks first whether an asset is in the trash; the rows themselves need not be read for it.
CREATE INDEX assets_deleted_at ON assets (deleted_at);
CREATE INDEX assets_name ON assets (deleted_at, name_lower);
CREATE INDEX assets_content_type ON assets (deleted_at, content_type);
CREATE INDEX assets_creator ON assets (deleted_at, creator_id);
CREATE INDEX assets_upload_time ON assets (deleted_at, upload_time);
CREATE INDEX assets_size ON assets (deleted_at, size);

-- What has changed is asked for wherever it lies.
CREATE INDEX assets_update_time ON assets (update_time, deleted_at);

-- The words that an asset is found by; `rowid` is its `seq`.
CREATE VIRTUAL TABLE asset_words USING fts5 (
    words, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);

-- What stands in those fields of `data` that its schema makes searchable, one row for each value.
CREATE TABLE asset_fields (
    schema_id INTEGER NOT NULL,
    field TEXT NOT NULL,
    value TEXT NOT NULL,
    asset_seq INTEGER NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    PRIMARY KEY (schema_id, field, value, asset_seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX asset_fields_asset ON asset_fields (asset_seq);

-- JSON Schemas of `data`, from 1 on: 0 is none.
CREATE TABLE asset_schemas (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CHECK (json_valid(name)),
    status TEXT NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    schema TEXT NOT NULL CHECK (json_valid(schema)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- What a search found, so that its pages stay as they are: the `seq` of each asset, in order, with commas.
CREATE TABLE search_results (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    found TEXT NOT NULL,
    per_page INTEGER NOT NULL CHECK (per_page >= 1),
    created_at INTEGER NOT NULL
) STRICT;
