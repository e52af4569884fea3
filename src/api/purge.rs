//! `POST /api/v1/purge`: what came from these assets, keys, prefixes and
//! tags is purged, at once.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::api::body;
use crate::api::public::{Public, only, refuse, uncached};
use crate::failure::{Code, Failure};
use crate::metadata::{PurgeMode, PurgeScope};
use crate::signature::Scope;

/// The longest request, all of its lists together.
const MAX_ITEMS: usize = 1000;

/// The body. What is left out is empty, `false`, or `gone`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wish {
    assets: Vec<String>,
    keys: Vec<String>,
    prefixes: Vec<String>,
    tags: Vec<String>,
    everything: bool,
    mode: PurgeMode,
}

/// What has become of it.
#[derive(Debug, Serialize)]
struct Done {
    /// So many different things.
    purged: usize,
    /// The stamp of the purge.
    generation: u64,
}

pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new().route("/api/v1/purge", post(purge).fallback(async || only("POST")))
}

async fn purge(State(public): State<Arc<Public>>, request: Request) -> Response {
    match answer(&public, request).await {
        Ok(done) => uncached(Json(done)),
        Err(failure) => refuse(failure),
    }
}

async fn answer(public: &Public, request: Request) -> Result<Done, Failure> {
    public.authorize(request.headers(), Scope::Purge)?;
    let (scopes, mode) = Wish::read(&body::whole(request).await?)?.scopes()?;
    let stamp = public.purger.purge(&scopes, mode).await?;
    Ok(Done { purged: scopes.len(), generation: stamp.0 })
}

impl Wish {
    fn read(body: &[u8]) -> Result<Self, Failure> {
        body::object(body)
    }

    /// Each thing once.
    fn scopes(self) -> Result<(Vec<PurgeScope>, PurgeMode), Failure> {
        let Self { assets, keys, prefixes, tags, everything, mode } = self;
        let of = |texts: Vec<String>, scope: fn(String) -> PurgeScope| texts.into_iter().map(scope);
        let all = everything.then_some(PurgeScope::Everything).into_iter();
        let all = all.chain(of(assets, PurgeScope::Asset)).chain(of(keys, PurgeScope::Key));
        let all = all.chain(of(prefixes, PurgeScope::Prefix)).chain(of(tags, PurgeScope::Tag));
        let mut scopes: Vec<PurgeScope> = all.collect();
        if scopes.is_empty() {
            let detail = "name what to purge: `assets`, `keys`, `prefixes`, `tags` or `everything`";
            return Err(Failure::new(Code::BadRequest, detail));
        }
        if scopes.len() > MAX_ITEMS {
            let detail = format!("{} things to purge; at most {MAX_ITEMS} in one request", scopes.len());
            return Err(Failure::new(Code::BadRequest, detail));
        }
        let mut seen = HashSet::new();
        scopes.retain(|scope| seen.insert(scope.clone()));
        Ok((scopes, mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(Vec<PurgeScope>, PurgeMode), Failure> {
        Wish::read(body.as_bytes())?.scopes()
    }

    #[test]
    fn the_members_become_scopes_each_once() {
        let body = r#" {"tags":["t","t"],"assets":["a"],"keys":["k","t"],"prefixes":["p"],"mode":"stale"} "#;
        let text = str::to_owned;
        let expected = [
            PurgeScope::Asset(text("a")),
            PurgeScope::Key(text("k")),
            PurgeScope::Key(text("t")),
            PurgeScope::Prefix(text("p")),
            PurgeScope::Tag(text("t")),
        ];
        assert_eq!(read(body), Ok((expected.to_vec(), PurgeMode::Stale)));
        assert_eq!(read(r#"{"everything":true}"#), Ok((vec![PurgeScope::Everything], PurgeMode::Gone)));
    }

    #[test]
    fn a_hostile_body_is_refused() {
        let nested = format!(r#"{{"keys":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let many = format!(r#"{{"keys":[{}"a"]}}"#, r#""a","#.repeat(MAX_ITEMS));
        for body in [
            "",
            " ",
            "null",
            "true",
            "\"a\"",
            "[]",
            r#"[["a"],["b"],[],[],true,"gone"]"#,
            "{",
            "{}",
            r#"{"everything":false,"keys":[]}"#,
            r#"{"keys":["a"]}{}"#,
            r#"{"keys":["a"]} x"#,
            r#"{"keys":["a"],}"#,
            r#"{"keys":"a"}"#,
            r#"{"keys":null}"#,
            r#"{"keys":{"0":"a"}}"#,
            r#"{"keys":[1]}"#,
            r#"{"keys":[["a"]]}"#,
            r#"{"keys":["a"],"keys":["b"]}"#,
            r#"{"key":["a"]}"#,
            r#"{"Keys":["a"]}"#,
            r#"{"keys":["a"],"dry_run":true}"#,
            r#"{"everything":1}"#,
            r#"{"everything":"true"}"#,
            r#"{"keys":["a"],"mode":"soft"}"#,
            r#"{"keys":["a"],"mode":null}"#,
            r#"{"keys":["\ud800"]}"#,
            "{\"keys\":[\"a\nb\"]}",
            "{\"keys\":[\"a\"]}\0",
            "\u{feff}{\"keys\":[\"a\"]}",
            &nested,
            &many,
        ] {
            let refused = read(body).map_err(|failure| failure.code);
            assert_eq!(refused, Err(Code::BadRequest), "{}", body.chars().take(60).collect::<String>());
        }
        assert_eq!(
            Wish::read(b"{\"keys\":[\"\xff\"]}").map_err(|failure| failure.code).err(),
            Some(Code::BadRequest)
        );
    }
}
