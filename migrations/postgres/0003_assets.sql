-- Files that were handed over. `seq` is the order in which they came; lists are read along it. What is JSON is
-- read and written whole, so it is text. `name_lower` is what names are looked for in.
CREATE TABLE assets (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(id) = 32),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('NOT_READY', 'OK', 'ERROR', 'ARCHIVED')),
    name TEXT NOT NULL,
    name_lower TEXT COLLATE "C" NOT NULL,
    size BIGINT NOT NULL CHECK (size >= 0),
    md5 TEXT,
    sha256 TEXT,
    content_type TEXT COLLATE "C" NOT NULL,
    declared_type TEXT,
    provider TEXT NOT NULL,
    storage_type TEXT NOT NULL,
    bucket TEXT NOT NULL,
    object_key TEXT COLLATE "C",
    public BOOLEAN NOT NULL,
    creator_id TEXT COLLATE "C",
    upload_source TEXT,
    upload_time BIGINT NOT NULL,
    update_user_id TEXT COLLATE "C",
    update_time BIGINT NOT NULL,
    data_schema_id BIGINT NOT NULL,
    metadata TEXT NOT NULL CHECK (metadata::json IS NOT NULL),
    data TEXT NOT NULL CHECK (data::json IS NOT NULL),
    conversions TEXT NOT NULL CHECK (conversions::json IS NOT NULL),
    version BIGINT NOT NULL CHECK (version >= 1),
    content BIGINT NOT NULL CHECK (content >= 1),
    deleted_at BIGINT
);

-- Nearly every search is for what is not in the trash.
CREATE INDEX assets_deleted_at ON assets (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX assets_name ON assets (name_lower, seq) WHERE deleted_at IS NULL;
CREATE INDEX assets_content_type ON assets (content_type, seq) WHERE deleted_at IS NULL;
CREATE INDEX assets_creator ON assets (creator_id, seq) WHERE deleted_at IS NULL;
CREATE INDEX assets_upload_time ON assets (upload_time, seq) WHERE deleted_at IS NULL;
CREATE INDEX assets_size ON assets (size, seq) WHERE deleted_at IS NULL;

-- What has changed is asked for wherever it lies.
CREATE INDEX assets_update_time ON assets (update_time, seq);

-- The words that an asset is found by; `rowid` is its `seq`.
CREATE TABLE asset_words (
    rowid BIGINT PRIMARY KEY,
    words TSVECTOR NOT NULL
);

CREATE INDEX asset_words_words ON asset_words USING gin (words);

-- What stands in those fields of `data` that its schema makes searchable, one row for each value.
CREATE TABLE asset_fields (
    schema_id BIGINT NOT NULL,
    field TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    asset_seq BIGINT NOT NULL REFERENCES assets (seq) ON DELETE CASCADE,
    PRIMARY KEY (schema_id, field, value, asset_seq)
);

CREATE INDEX asset_fields_asset ON asset_fields (asset_seq);

-- JSON Schemas of `data`, from 1 on: 0 is none.
CREATE TABLE asset_schemas (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL CHECK (name::json IS NOT NULL),
    status TEXT COLLATE "C" NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE')),
    schema TEXT NOT NULL CHECK (schema::json IS NOT NULL),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- What a search found, so that its pages stay as they are: the `seq` of each asset, in order, with commas.
CREATE TABLE search_results (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    found TEXT NOT NULL,
    per_page BIGINT NOT NULL CHECK (per_page >= 1),
    created_at BIGINT NOT NULL
);
