//! The table of operations: every path of the control plane, and those of assets on the edge.

use serde_json::{Value, json};

use crate::api::openapi::Operation;
use crate::signature::Scope::{Keys, Purge, Read, Write};

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    [uploads(), tus(), data(), search(), schemas(), delivery(), hooks(), events(), jobs(), keys(), cache()]
        .into_iter()
        .flatten()
        .collect()
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn whole() -> Value {
    json!({ "type": "integer" })
}

fn object() -> Value {
    json!({ "type": "object" })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn uploads() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Uploads", summary).needs(Write);
    vec![
        new("post", "/api/v1/assets/new/content/original/upload", "Upload files; each becomes an asset")
            .takes_files(),
        new("post", "/api/v1/assets/new/content/original/external", "Import a file by its URL, as a job")
            .takes(
                &["key"],
                json!({ "key": text(), "name": text(), "custom_metadata": object() }),
                json!({ "key": "https://example.org/cat.jpg", "name": "cat.jpg" }),
            )
            .answers(202),
        new("post", "/api/v1/assets/{id}/content/original/upload", "Replace the original; the id stays")
            .takes_files(),
        new("post", "/api/v1/assets/{id}/content/{name}", "Add a conversion of one's own").takes_files(),
        new("post", "/api/v1/assets/{id}/content/remove_public_access", "Make an asset's contents private")
            .takes(&[], json!({ "keys": texts() }), json!({ "keys": ["original"] })),
    ]
}

/// Said by the protocol, tus 1.0.0: what is needed stands in headers.
fn tus() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Resumable uploads (tus)", summary);
    vec![
        new("options", "/api/v1/uploads", "What is spoken here: versions, extensions, limits").answers(204),
        new("post", "/api/v1/uploads", "Begin an upload").answers(201),
        new("options", "/api/v1/uploads/{id}", "The same as of all uploads").answers(204),
        new("head", "/api/v1/uploads/{id}", "How far an upload is").gives("*/*"),
        new("patch", "/api/v1/uploads/{id}", "Go on with an upload").answers(204),
        new("delete", "/api/v1/uploads/{id}", "Give an upload up").answers(204),
    ]
}

fn data() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Assets", summary);
    vec![
        new("get", "/api/v1/assets", "List assets, the newest first").needs(Read).paged(),
        new("get", "/api/v1/assets/{id}/data", "Read an asset").needs(Read),
        new("post", "/api/v1/assets/{id}/data/update", "Change what its owner says about an asset")
            .needs(Write)
            .query("async", whole(), "1: taken even if it does not fit its schema.")
            .takes(
                &["data"],
                json!({ "data": object(), "mode": one_of(&["APPEND", "REPLACE"]), "data_schema_id": whole() }),
                json!({ "data": { "title": "Sunset" }, "mode": "APPEND" }),
            ),
        new("delete", "/api/v1/assets/{id}", "Put an asset into the trash, or take conversions away")
            .needs(Write)
            .takes(&[], json!({ "keys": texts() }), json!({ "keys": ["original"] })),
        new("post", "/api/v1/assets/{id}/undelete", "Take an asset out of the trash").needs(Write),
        new("post", "/api/v1/assets/{id}/purge", "Remove an asset for good").needs(Write),
    ]
}

fn search() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Search", summary).needs(Read);
    vec![
        new("post", "/api/v1/search", "Find assets by words, names, types, times, sizes and values").takes(
            &[],
            json!({
                "keyword": text(),
                "file_name": text(),
                "content_type": text(),
                "creator_id": text(),
                "upload_time_range": object(),
                "file_size_range": object(),
                "schema_criteria": object(),
                "trashed": { "type": "boolean" },
                "sort_by": text(),
                "limit_per_page": { "type": "integer", "minimum": 1, "maximum": 500 },
            }),
            json!({ "keyword": "sunset", "content_type": "image*", "limit_per_page": 20 }),
        ),
        new("get", "/api/v1/search/{id}/{page}", "Another page of what a search found"),
    ]
}

fn schemas() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Schemas", summary);
    let members =
        || json!({ "name": object(), "status": one_of(&["ACTIVE", "INACTIVE"]), "schema": object() });
    vec![
        new("get", "/api/v1/assetschemas", "List schemas of data").needs(Read).paged(),
        new("post", "/api/v1/assetschemas", "Make a schema: JSON Schema 2020-12")
            .needs(Write)
            .takes(
                &["name", "schema"],
                members(),
                json!({
                    "name": { "en": "Photo" },
                    "schema": { "type": "object", "properties": { "title": { "type": "string" } } },
                }),
            )
            .answers(201),
        new("get", "/api/v1/assetschemas/{id}", "Read a schema").needs(Read),
        new("patch", "/api/v1/assetschemas/{id}", "Change a schema").needs(Write).takes(
            &[],
            members(),
            json!({ "status": "INACTIVE" }),
        ),
    ]
}

fn delivery() -> Vec<Operation> {
    let image = |path, summary| {
        Operation::new("get", path, "Delivery", summary)
            .query("resize", text(), "`W,H`, `W,` or `,H`; all other options are in the README.")
            .query(
                "format",
                one_of(&["auto", "jpg", "png", "webp", "avif", "gif"]),
                "auto: as the client accepts.",
            )
            .gives("image/*")
    };
    let link = |operation: Operation| {
        operation
            .query("key", text(), "`original`, a conversion or a preset.")
            .query("expiry", text(), "Seconds from now, 600 unless said otherwise, or `MAX`.")
            .query("accessId", text(), "The signing key; the newest unless said otherwise.")
            .query("delivery", one_of(&["download", "display"]), "download unless said otherwise.")
            .query("link_type", one_of(&["cdn", "object_storage"]), "cdn unless said otherwise.")
            .needs(Read)
    };
    let ids = json!({ "type": "array", "maxItems": 100, "items": { "type": "string" } });
    vec![
        image("/api/v1/assets/{id}/conversions", "A picture of an asset"),
        image("/api/v1/assets/{id}/conversions/{name}", "A picture by a preset, or a conversion"),
        Operation::new("get", "/api/v1/assets/{id}/original", "Delivery", "The file as it was uploaded")
            .query("delivery", one_of(&["download", "display"]), "display unless said otherwise.")
            .needs(Read)
            .gives("*/*"),
        link(Operation::new("get", "/api/v1/assets/{id}/get_link", "Links", "A link that needs no key")),
        link(Operation::new("post", "/api/v1/assets/get_link", "Links", "Links for at most 100 assets"))
            .takes_json(true, ids, json!(["00112233445566778899aabbccddeeff"])),
    ]
}

fn hooks() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Webhooks", summary).needs(Write);
    let rotation = || json!({ "secret": text(), "overlap_seconds": { "type": "integer", "minimum": 0 } });
    vec![
        new("get", "/api/v1/hooks", "List webhooks").needs(Read),
        new("post", "/api/v1/hooks", "Make a webhook; its secret is shown once")
            .takes(
                &["url"],
                json!({ "url": text(), "name": text(), "events": texts(), "secret": text() }),
                json!({ "url": "https://example.org/hook", "events": ["file-saved"] }),
            )
            .answers(201),
        new("get", "/api/v1/hooks/{id}", "Read a webhook").needs(Read),
        new("patch", "/api/v1/hooks/{id}", "Change a webhook").takes(
            &[],
            json!({ "url": text(), "name": text(), "events": texts(), "enabled": { "type": "boolean" } }),
            json!({ "enabled": true }),
        ),
        new("delete", "/api/v1/hooks/{id}", "Delete a webhook").answers(204),
        new("post", "/api/v1/hooks/{id}/rotate", "A new secret; the old one counts for a while").takes(
            &[],
            rotation(),
            json!({ "overlap_seconds": 3600 }),
        ),
        new("post", "/api/v1/hooks/{id}/test", "Send a test message").answers(202),
        new("post", "/api/v1/hooks/{id}/replay", "Send the events of a span of time once more")
            .takes(
                &["since"],
                json!({ "since": text(), "until": text() }),
                json!({ "since": "2026-01-31T12:00:00Z" }),
            )
            .answers(202),
        new("patch", "/api/v1/user/settings/update", "The older form: at most three URLs in one text")
            .query("update_key", one_of(&["webhook"]), "What is set.")
            .takes(
                &["key", "value"],
                json!({ "key": one_of(&["webhook"]), "value": object() }),
                json!({ "key": "webhook", "value": { "web_urls": "https://example.org/hook" } }),
            ),
    ]
}

fn events() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Events", summary);
    vec![
        new("get", "/api/v1/events", "What has happened, the newest first")
            .needs(Read)
            .query("event", text(), "Events of this kind alone.")
            .query("asset", text(), "Events of this asset alone.")
            .paged(),
        new("get", "/api/v1/events/{id}", "One event, with the body that was sent").needs(Read),
        new("get", "/api/v1/deliveries", "What became of events, the newest first")
            .needs(Read)
            .query("state", text(), "Deliveries in this state alone.")
            .query("hook", text(), "Deliveries to this webhook alone.")
            .paged(),
        new("get", "/api/v1/deliveries/{id}", "One delivery, with its attempts").needs(Read),
        new("post", "/api/v1/deliveries/{id}/replay", "Send it once more").needs(Write).answers(202),
        new("post", "/api/v1/deliveries/replay", "Send all dead letters once more")
            .needs(Write)
            .takes(&[], json!({ "hook": text() }), json!({}))
            .answers(202),
    ]
}

fn jobs() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Jobs", summary);
    vec![
        new("get", "/api/v1/jobs", "List work that outlives a request, the newest first")
            .needs(Read)
            .query(
                "state",
                one_of(&["queued", "running", "done", "failed", "cancelled"]),
                "Jobs in this state alone.",
            )
            .query("kind", text(), "Jobs of this kind alone.")
            .paged(),
        new("get", "/api/v1/jobs/{id}", "How far a job is").needs(Read),
        new("post", "/api/v1/jobs/{id}/cancel", "End a job").needs(Write),
    ]
}

fn keys() -> Vec<Operation> {
    let new = |method, path, summary| Operation::new(method, path, "Keys", summary).needs(Keys);
    vec![
        new("get", "/api/v1/keys", "List keys, without their secrets"),
        new("post", "/api/v1/keys", "Make a key; its secret is shown once")
            .takes(
                &["kind"],
                json!({
                    "kind": one_of(&["api", "upload", "signing"]),
                    "name": text(),
                    "scopes": { "type": "array", "items": one_of(&["*", "read", "write", "purge", "keys"]) },
                    "origins": texts(),
                    "any_origin": { "type": "boolean" },
                    "limits": object(),
                    "sha1": { "type": "boolean" },
                    "expires_at": { "type": "string", "format": "date-time" },
                    "id": text(),
                    "secret": text(),
                }),
                json!({ "kind": "api", "name": "shop", "scopes": ["read"] }),
            )
            .answers(201),
        new("get", "/api/v1/keys/{id}", "Read a key, without its secret"),
        new("delete", "/api/v1/keys/{id}", "Revoke a key").answers(204),
        new("post", "/api/v1/keys/{id}/rotate", "A new key like this one, which lives on for a while")
            .takes(
                &[],
                json!({ "overlap_seconds": { "type": "integer", "minimum": 0, "maximum": 2_592_000 } }),
                json!({ "overlap_seconds": 3600 }),
            )
            .answers(201),
    ]
}

fn cache() -> Vec<Operation> {
    let members = json!({
        "assets": texts(),
        "keys": texts(),
        "prefixes": texts(),
        "tags": texts(),
        "everything": { "type": "boolean" },
        "mode": one_of(&["gone", "stale"]),
    });
    vec![
        Operation::new("post", "/api/v1/purge", "Cache", "Drop what is cached, on every tier, at once")
            .needs(Purge)
            .takes(&[], members, json!({ "keys": ["photos/cat.jpg"] })),
    ]
}
